//! Status messages, in sizes that fit.

use omcp_proto::v1::StatusReport;

use crate::backends::set::Statuses;

/// Backends per message: at 3 KiB each at most, well below the limit of a gRPC message.
const STATUSES_MAX: usize = 500;

/// Cuts what is to be told into messages. A full report begins anew; its further pieces add to it.
pub fn reports(statuses: Statuses, full: bool) -> Vec<StatusReport> {
    let Statuses { present, mut gone } = statuses;
    let mut reports: Vec<_> = present
        .chunks(STATUSES_MAX)
        .map(|piece| StatusReport { full: false, statuses: piece.to_vec(), gone: Vec::new() })
        .collect();
    if reports.is_empty() && (full || !gone.is_empty()) {
        reports.push(StatusReport::default());
    }
    if let Some(first) = reports.first_mut() {
        first.full = full;
        first.gone.append(&mut gone);
    }
    reports
}

#[cfg(test)]
mod tests {
    use omcp_proto::v1::BackendStatus;

    use super::*;

    #[test]
    fn only_the_first_piece_is_full() {
        let statuses =
            Statuses { present: vec![BackendStatus::default(); STATUSES_MAX * 2 + 1], gone: vec![] };
        let full: Vec<_> =
            reports(statuses, true).iter().map(|report| (report.full, report.statuses.len())).collect();
        assert_eq!(full, [(true, STATUSES_MAX), (false, STATUSES_MAX), (false, 1)]);
    }

    #[test]
    fn an_empty_node_says_so_and_silence_is_no_message() {
        assert!(reports(Statuses::default(), true)[0].full);
        assert!(reports(Statuses::default(), false).is_empty());
        let gone = reports(Statuses { present: vec![], gone: vec!["a".into()] }, false);
        assert_eq!((gone.len(), gone[0].gone.len(), gone[0].full), (1, 1, false));
    }
}
