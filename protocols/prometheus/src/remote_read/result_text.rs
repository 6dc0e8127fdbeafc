//! Values in the JSON of Prometheus. Numbers are texts, formatted as by the package `strconv` of Go.

use neap_promql::{FloatHistogram, HistogramBucket, Labels};
use serde_json::Value;

/// The size of numbers from which and below which they have an exponent.
const EXPONENT_FROM: f64 = 1e21;
const EXPONENT_BELOW: f64 = 1e-6;

pub(crate) fn text_in_quotes(text: &str) -> String {
    Value::from(text).to_string()
}

/// Returns a time in seconds, with milliseconds if there are any.
pub(crate) fn time_text(at_ms: i64) -> String {
    let sign = if at_ms < 0 { "-" } else { "" };
    let millis = at_ms.unsigned_abs();
    let (seconds, fraction) = (millis / 1_000, millis % 1_000);
    if fraction == 0 {
        format!("{sign}{seconds}")
    } else {
        format!("{sign}{seconds}.{fraction:03}")
    }
}

/// Returns a number without an exponent, in quotes.
pub(crate) fn scalar_text(value: f64) -> String {
    if value.is_nan() {
        r#""NaN""#.to_owned()
    } else if value.is_infinite() {
        let sign = if value > 0.0 { '+' } else { '-' };
        format!(r#""{sign}Inf""#)
    } else {
        format!(r#""{value}""#)
    }
}

/// Returns a number in quotes.
pub(crate) fn value_text(value: f64) -> String {
    let absolute = value.abs();
    let has_exponent = absolute >= EXPONENT_FROM || (absolute < EXPONENT_BELOW && absolute > 0.0);
    if !absolute.is_finite() || !has_exponent {
        return scalar_text(value);
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, size) = match exponent.strip_prefix('-') {
        Some(size) => ('-', size),
        None => ('+', exponent),
    };
    format!(r#""{digits}e{sign}{size:0>2}""#)
}

/// Returns the labels of a series.
pub(crate) fn labels_text(labels: &Labels) -> String {
    let labels = labels.iter().map(|(name, value)| {
        let (name, value) = (text_in_quotes(name), text_in_quotes(value));
        format!("{name}:{value}")
    });
    format!("{{{}}}", labels.collect::<Vec<_>>().join(","))
}

/// Returns a native histogram.
pub(crate) fn histogram_text(histogram: &FloatHistogram) -> String {
    let (count, sum) = (value_text(histogram.count), value_text(histogram.sum));
    let texts: Vec<String> = histogram.buckets().iter().map(bucket_text).collect();
    let buckets = if texts.is_empty() {
        String::new()
    } else {
        format!(r#","buckets":[{}]"#, texts.join(","))
    };
    format!(r#"{{"count":{count},"sum":{sum}{buckets}}}"#)
}

/// Returns a bucket, which begins with the number of the bounds that it contains.
fn bucket_text(bucket: &HistogramBucket) -> String {
    let bounds = match (bucket.lower_inclusive, bucket.upper_inclusive) {
        (false, true) => 0,
        (true, false) => 1,
        (false, false) => 2,
        (true, true) => 3,
    };
    let (lower, upper) = (value_text(bucket.lower), value_text(bucket.upper));
    format!("[{bounds},{lower},{upper},{}]", value_text(bucket.count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_text_of_go() {
        for (value, text) in [
            (1.0, "1"),
            (-0.0, "-0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (1e-6, "0.000001"),
            (1e-7, "1e-07"),
            (5e-324, "5e-324"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(value_text(value), format!("\"{text}\""));
        }
        assert_eq!(scalar_text(1e21), "\"1000000000000000000000\"");
        assert_eq!(scalar_text(f64::NEG_INFINITY), "\"-Inf\"");
    }

    #[test]
    fn times_are_seconds() {
        for (at_ms, text) in [
            (0, "0"),
            (1_435_781_430_781, "1435781430.781"),
            (1_050, "1.050"),
            (-1_005, "-1.005"),
        ] {
            assert_eq!(time_text(at_ms), text);
        }
    }

    #[test]
    fn buckets_name_the_bounds_that_they_contain() {
        let bucket = |lower_inclusive, upper_inclusive| {
            bucket_text(&HistogramBucket {
                lower: -0.5,
                upper: 1.0,
                lower_inclusive,
                upper_inclusive,
                count: 3.0,
            })
        };
        assert_eq!(bucket(false, true), r#"[0,"-0.5","1","3"]"#);
        assert_eq!(bucket(true, false), r#"[1,"-0.5","1","3"]"#);
        assert_eq!(bucket(false, false), r#"[2,"-0.5","1","3"]"#);
        assert_eq!(bucket(true, true), r#"[3,"-0.5","1","3"]"#);
        let empty = FloatHistogram { sum: f64::NAN, ..FloatHistogram::default() };
        assert_eq!(histogram_text(&empty), r#"{"count":"0","sum":"NaN"}"#);
    }
}
