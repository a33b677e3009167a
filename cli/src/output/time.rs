//! Durations, written as people say them and read as they type them.

use std::time::Duration;

/// At most two units: `850ms`, `12s`, `3m20s`, `5h2m`, `12d`.
pub fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3600 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

/// Reads `500ms`, `10s`, `2m`, `1h` or plain seconds.
///
/// # Errors
/// Anything else, and zero.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit_ms = match &text[digits..] {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let count = text[..digits].parse::<u64>().unwrap_or(0);
    match count.checked_mul(unit_ms) {
        Some(ms) if ms > 0 => Ok(Duration::from_millis(ms)),
        _ => Err("write a duration such as 500ms, 10s, 2m or 1h".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (ms, text) in
            [(850, "850ms"), (12_300, "12s"), (200_000, "3m20s"), (120_000, "2m"), (18_120_000, "5h2m")]
        {
            assert_eq!(short(Duration::from_millis(ms)), text);
        }
        assert_eq!(short(Duration::from_secs(12 * 86_400)), "12d");
        assert_eq!(parse("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(parse("10").unwrap(), Duration::from_secs(10));
        assert_eq!(parse("2m").unwrap(), Duration::from_secs(120));
        for bad in ["", "0", "0s", "x", "1d", "-1s", "99999999999999999999h", "1.5s"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
