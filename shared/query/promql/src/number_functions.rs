//! Functions of numbers and of times.

use std::f64::consts::PI;

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};

use crate::number::seconds;

pub(crate) type NumberFunction = fn(f64) -> f64;

pub(crate) type TimeFunction = fn(DateTime<Utc>) -> f64;

/// Returns the inverse of the hyperbolic cosine, which is precise near 1 too.
fn acosh(value: f64) -> f64 {
    if value > 2.0 {
        return value.acosh();
    }
    let above = value - 1.0;
    (above + (2.0 * above + above * above).sqrt()).ln_1p()
}

/// Returns the sign of a number: 1, -1, or the number itself if it is 0 or not a number.
fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

pub(crate) fn number_function(name: &str) -> Option<NumberFunction> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => acosh,
        "atanh" => f64::atanh,
        "rad" => |value| value * PI / 180.0,
        "deg" => |value| value * 180.0 / PI,
        "sgn" => sign,
        _ => return None,
    })
}

/// Rounds a number to the nearest multiple. Half of a multiple is rounded up.
pub(crate) fn round(value: f64, multiple: f64) -> f64 {
    // A division by the inverse has fewer rounding errors.
    let inverse = 1.0 / multiple;
    (value * inverse + 0.5).floor() / inverse
}

/// Returns the number of days in the month of a time.
fn days_in_month(time: DateTime<Utc>) -> f64 {
    let (year, month) = if time.month() == 12 {
        (time.year() + 1, 1)
    } else {
        (time.year(), time.month() + 1)
    };
    let last = NaiveDate::from_ymd_opt(year, month, 1).and_then(|first| first.pred_opt());
    last.map_or(f64::NAN, |last| last.day().into())
}

pub(crate) fn time_function(name: &str) -> Option<TimeFunction> {
    Some(match name {
        "days_in_month" => days_in_month,
        "day_of_month" => |time| time.day().into(),
        "day_of_week" => |time| time.weekday().num_days_from_sunday().into(),
        "day_of_year" => |time| time.ordinal().into(),
        "hour" => |time| time.hour().into(),
        "minute" => |time| time.minute().into(),
        "month" => |time| time.month().into(),
        "year" => |time| time.year().into(),
        _ => return None,
    })
}

/// Applies a function of times to a number of seconds since 1970.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a conversion from f64 truncates and saturates, as it should"
)]
pub(crate) fn apply_to_seconds(function: TimeFunction, seconds: f64) -> f64 {
    DateTime::from_timestamp(seconds as i64, 0).map_or(f64::NAN, function)
}

/// Applies a function of times to a number of milliseconds since 1970.
pub(crate) fn apply_to_milliseconds(function: TimeFunction, milliseconds: i64) -> f64 {
    apply_to_seconds(function, seconds(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, value: f64) -> f64 {
        number_function(name).unwrap()(value)
    }

    #[test]
    fn numbers_are_rounded_to_multiples() {
        assert_eq!(round(2.5, 1.0), 3.0);
        assert_eq!(round(-2.5, 1.0), -2.0);
        assert_eq!(round(7.3, 5.0), 5.0);
        assert!((round(0.128, 0.01) - 0.13).abs() < 1e-12);
    }

    #[test]
    fn functions_have_their_values() {
        assert_eq!(call("rad", 180.0), PI);
        assert_eq!(call("deg", PI), 180.0);
        assert_eq!(call("sgn", -3.0), -1.0);
        assert_eq!(call("sgn", 0.0), 0.0);
        assert!(call("sgn", f64::NAN).is_nan());
        // acosh(1 + x) is √(2x) for small x.
        assert!((call("acosh", 1.0 + 1e-10) / 2e-10_f64.sqrt() - 1.0).abs() < 1e-6);
        assert!(call("acosh", 0.5).is_nan());
        assert!((call("acosh", 3.0) - 3.0_f64.acosh()).abs() < 1e-15);
    }

    #[test]
    fn times_have_parts() {
        // Thursday, 29 February 2024, 12:34:56.
        let time = 1_709_210_096.0;
        for (name, expected) in [
            ("days_in_month", 29.0),
            ("day_of_month", 29.0),
            ("day_of_week", 4.0),
            ("day_of_year", 60.0),
            ("hour", 12.0),
            ("minute", 34.0),
            ("month", 2.0),
            ("year", 2024.0),
        ] {
            let function = time_function(name).unwrap();
            assert_eq!(apply_to_seconds(function, time), expected, "{name}");
        }
        // 31 December 1969.
        assert_eq!(apply_to_seconds(time_function("days_in_month").unwrap(), -1.0), 31.0);
        assert!(apply_to_seconds(time_function("year").unwrap(), f64::INFINITY).is_nan());
    }
}
