//! Numbers that a float column cannot hold: not-a-number, infinities, and the marker of the end of a series.

/// The bits of the value that Prometheus writes when a series ends.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The bits of the value that Prometheus writes for other results that are not a number.
pub const NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// Returns the name of a number that is not finite: `stale`, `NaN`, `+Inf` or `-Inf`; `None` if it is finite.
#[inline]
pub fn non_finite_name(value: f64) -> Option<&'static str> {
    if value.is_finite() {
        return None;
    }
    Some(if value.to_bits() == STALE_BITS {
        "stale"
    } else if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    })
}

/// Returns the number with a name; `None` if no number has this name.
pub fn non_finite_value(name: &str) -> Option<f64> {
    Some(match name {
        "stale" => f64::from_bits(STALE_BITS),
        "NaN" => f64::from_bits(NAN_BITS),
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_the_same_bits() {
        for bits in [STALE_BITS, NAN_BITS, f64::INFINITY.to_bits(), f64::NEG_INFINITY.to_bits()] {
            let name = non_finite_name(f64::from_bits(bits)).unwrap();
            assert_eq!(non_finite_value(name).unwrap().to_bits(), bits);
        }
        assert_eq!(non_finite_name(0.0), None);
        assert_eq!(non_finite_name(-f64::NAN), Some("NaN"));
        assert_eq!(non_finite_value("1"), None);
    }
}
