//! Durations in the form of Prometheus, such as `1h30m`.

/// The units in the order in which a duration has them, in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Returns the milliseconds of a duration: numbers with units, each at most once and in descending order, or `0`.
pub fn parse_duration(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut millis = 0_u64;
    for (unit, unit_millis) in UNITS {
        let digits = rest.len() - rest.trim_start_matches(|char: char| char.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        // The unit `ms` begins like `m`.
        let is_millis = unit == "m" && after.starts_with("ms");
        if let Some(next) = after.strip_prefix(unit).filter(|_| digits > 0 && !is_millis) {
            let count: u64 = number.parse().ok()?;
            millis = millis.checked_add(count.checked_mul(unit_millis)?)?;
            rest = next;
        }
    }
    (rest.is_empty() && !text.is_empty()).then_some(millis)
}

/// Formats milliseconds as a duration.
pub(crate) fn format_duration(millis: u64) -> String {
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut rest = millis;
    let mut text = String::new();
    for (unit, unit_millis) in UNITS {
        // Prometheus writes years and weeks only if nothing remains.
        let is_exact = !matches!(unit, "y" | "w") || rest.is_multiple_of(unit_millis);
        let count = rest / unit_millis;
        if is_exact && count > 0 {
            text.push_str(&count.to_string());
            text.push_str(unit);
            rest %= unit_millis;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_units_in_descending_order() {
        for (text, millis) in [
            ("1m30s", Some(90_000)),
            ("15ms", Some(15)),
            ("1y2w3d", Some(33_004_800_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("30s1m", None),
            ("1m1m", None),
            ("90", None),
            ("-5m", None),
            ("", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(parse_duration(text), millis, "{text}");
        }
    }

    #[test]
    fn a_formatted_duration_is_parsed_again() {
        for millis in [1, 1_000, 90_000, 86_400_000, 8 * 86_400_000, 31_536_000_000] {
            assert_eq!(parse_duration(&format_duration(millis)), Some(millis));
        }
        assert_eq!(format_duration(5_400_000), "1h30m");
        assert_eq!(format_duration(0), "0s");
        assert_eq!(format_duration(8 * 86_400_000), "8d");
        assert_eq!(format_duration(14 * 86_400_000), "2w");
    }
}
