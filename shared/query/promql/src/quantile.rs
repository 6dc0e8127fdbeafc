//! Quantiles of numbers.

use std::cmp::Ordering;

/// The order of numbers in which those that are no number come first.
pub(crate) fn ascending(one: f64, other: f64) -> Ordering {
    one.partial_cmp(&other).unwrap_or_else(|| other.is_nan().cmp(&one.is_nan()))
}

/// Returns a quantile, which is interpolated between two numbers. Changes the order of the numbers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank is between 0 and the number of values"
)]
pub(crate) fn quantile(quantile: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || quantile.is_nan() {
        return f64::NAN;
    }
    if quantile < 0.0 {
        return f64::NEG_INFINITY;
    }
    if quantile > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|one, other| ascending(*one, *other));
    let last = values.len() - 1;
    let rank = quantile * crate::number::from_count(last);
    let lower = rank.floor().max(0.0) as usize;
    let upper = (lower + 1).min(last);
    let weight = rank - rank.floor();
    match (values.get(lower), values.get(upper)) {
        (Some(lower), Some(upper)) => lower * (1.0 - weight) + upper * weight,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated_between_numbers() {
        let mut values = [4.0, 1.0, 2.0];
        assert_eq!(quantile(0.5, &mut values), 2.0);
        assert_eq!(quantile(0.75, &mut values), 3.0);
        assert_eq!(quantile(0.0, &mut values), 1.0);
        assert_eq!(quantile(1.0, &mut values), 4.0);
        assert_eq!(quantile(-1.0, &mut values), f64::NEG_INFINITY);
        assert!(quantile(0.5, &mut []).is_nan());
        assert!(quantile(f64::NAN, &mut values).is_nan());
    }

    #[test]
    fn what_is_no_number_is_below_all_numbers() {
        let mut values = [1.0, f64::NAN, f64::NEG_INFINITY];
        assert_eq!(quantile(1.0, &mut values), 1.0);
        assert!(quantile(0.0, &mut values).is_nan());
    }
}
