//! The scan of a message, and what is built on it, beside `serde_json`.

mod model;
mod reference;

use model::{Facts, Refusal};
use reference::Reference;

use crate::batch;
use crate::envelope::{Envelope, Kind, ScanError, ScanErrorKind, ScanLimits, canonical_id};
use crate::splice::{compact, with_id_and_progress_token};

/// So small that most inputs reach them.
const NARROW: ScanLimits = ScanLimits { max_depth: 3, max_members: 3 };

/// Takes the input for a message.
///
/// # Panics
/// The scan accepts or refuses what `serde_json` does not, finds something else, or what is built on it does.
pub fn run(input: &[u8]) {
    let scanned = Envelope::scan(input, &ScanLimits::default());
    let Ok(text) = std::str::from_utf8(input) else {
        return assert_eq!(scanned.map(drop).map_err(|error| error.kind), Err(ScanErrorKind::NotUtf8));
    };
    let reference = Reference(text);
    check_verdict(&reference, &scanned);
    check_narrow(&reference, scanned.is_ok());
    match scanned {
        Ok(envelope) => {
            check_id(text, &envelope);
            check_compact(text, &envelope);
            check_splice(input, &envelope);
        }
        Err(error) if error.kind == ScanErrorKind::BatchArray => check_batch(text),
        Err(_) => {}
    }
}

fn check_verdict(reference: &Reference<'_>, scanned: &Result<Envelope, ScanError>) {
    let text = reference.0;
    if !reference.fits(&ScanLimits::default()) {
        return assert!(scanned.is_err(), "a limit does not hold");
    }
    let found = match scanned {
        Ok(envelope) => Ok(Facts::of(text, envelope)),
        Err(error) => Err(Refusal { code: error.code(), id: error.id.clone() }),
    };
    assert_eq!(found, reference.judge(), "{text}");
}

fn check_narrow(reference: &Reference<'_>, accepted: bool) {
    let narrow = Envelope::scan(reference.0.as_bytes(), &NARROW);
    assert_eq!(narrow.is_ok(), accepted && reference.fits(&NARROW), "a limit does not hold: {}", reference.0);
}

fn check_id(text: &str, envelope: &Envelope) {
    let Some(id) = envelope.id(text.as_bytes()) else { return };
    let canonical = canonical_id(id);
    assert_eq!(canonical_id(&canonical), canonical, "two spellings of one id");
    let value = |raw: &[u8]| serde_json::from_slice::<String>(raw).ok();
    assert_eq!(value(&canonical), value(id), "another id");
}

/// Without whitespace a message says the same.
fn check_compact(text: &str, envelope: &Envelope) {
    let bytes = compact(text.as_bytes());
    let dense = std::str::from_utf8(&bytes).expect("compact text is text");
    let again = Envelope::scan(&bytes, &ScanLimits::default()).expect("a compact message is a message");
    assert!(!again.has_raw_newline());
    assert_eq!(Facts::of(dense, &again).values(dense), Facts::of(text, envelope).values(text));
}

fn check_splice(input: &[u8], envelope: &Envelope) {
    let changed = with_id_and_progress_token(input, envelope, b"12345", b"\"a token\"");
    let again = Envelope::scan(&changed, &ScanLimits::default()).expect("a changed message is a message");
    assert_eq!(again.id(&changed), envelope.id_range().map(|_| &b"12345"[..]));
    assert_eq!(again.progress_token(&changed), envelope.progress_token_range().map(|_| &b"\"a token\""[..]));
    assert_eq!((again.kind(), again.method(&changed)), (envelope.kind(), envelope.method(input)));
}

fn check_batch(text: &str) {
    let elements = reference::elements(text);
    let messages =
        elements.iter().map(|at| Envelope::scan(&text.as_bytes()[at.clone()], &ScanLimits::default()));
    let kinds: Option<Vec<Kind>> = messages.map(|scanned| Some(scanned.ok()?.kind())).collect();
    let items = batch::split(text.as_bytes(), &ScanLimits::default()).ok();
    let found = items.as_ref().map(|items| items.iter().map(|item| item.envelope.kind()).collect());
    assert_eq!(found, kinds, "{text}");
    if let Some(items) = items {
        assert!(items.iter().map(|item| &item.range).eq(&elements), "an element stands elsewhere");
    }
}
