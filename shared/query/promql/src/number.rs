//! Numbers as Go computes and writes them.

/// Writes a number with the fewest digits that lead back to it, without an exponent.
pub(crate) fn format_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

/// Returns the smaller number, or not-a-number if one of both is not a number and the other one may be greater.
pub(crate) fn min(one: f64, other: f64) -> f64 {
    if [one, other].contains(&f64::NEG_INFINITY) {
        f64::NEG_INFINITY
    } else if one.is_nan() || other.is_nan() {
        f64::NAN
    } else {
        one.min(other)
    }
}

/// Returns the greater number, or not-a-number if one of both is not a number and the other one may be smaller.
pub(crate) fn max(one: f64, other: f64) -> f64 {
    if [one, other].contains(&f64::INFINITY) {
        f64::INFINITY
    } else if one.is_nan() || other.is_nan() {
        f64::NAN
    } else {
        one.max(other)
    }
}

/// Returns 1 for true and 0 for false.
pub(crate) fn from_bool(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

// Prometheus rounds in the same way.
pub(crate) fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1_000.0
}

/// Returns a number of things.
// Prometheus rounds in the same way.
pub(crate) fn from_count(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_exponent() {
        for (value, text) in [
            (1e21, "1000000000000000000000"),
            (0.1, "0.1"),
            (-0.0, "-0"),
            (5.0, "5"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(format_float(value), text);
        }
    }

    #[test]
    fn bounds_of_no_number_are_no_number() {
        assert!(min(f64::NAN, 1.0).is_nan());
        assert!(max(1.0, f64::NAN).is_nan());
        assert_eq!((min(1.0, 2.0), max(1.0, 2.0)), (1.0, 2.0));
        assert_eq!(min(f64::NAN, f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert_eq!(max(f64::INFINITY, f64::NAN), f64::INFINITY);
    }
}
