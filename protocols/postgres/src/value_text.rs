//! Values as PostgreSQL writes them, where the encoder writes other texts: floats and times.

use std::{
    fmt::{Display, LowerExp},
    ops::Range,
};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        DataType, Float32Type, Float64Type, Time64NanosecondType, TimeUnit,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
        TimestampSecondType,
    },
};

/// The powers of ten of the first digits of numbers that are written without an exponent.
const PLAIN_SINGLE: Range<i32> = -4..6;
const PLAIN_DOUBLE: Range<i32> = -4..15;

/// Returns the text of a value that is not null; `None` if the encoder writes it as PostgreSQL does.
pub(crate) fn value_text(column: &ArrayRef, row: usize) -> Option<String> {
    match column.data_type() {
        DataType::Float32 => {
            let number = column.as_primitive::<Float32Type>().value(row);
            Some(float_text(number, &PLAIN_SINGLE))
        }
        DataType::Float64 => {
            let number = column.as_primitive::<Float64Type>().value(row);
            Some(float_text(number, &PLAIN_DOUBLE))
        }
        DataType::Timestamp(unit, None) => time_text(column, *unit, row),
        // In UTC, because an offset of the encoder lacks its minutes.
        DataType::Timestamp(unit, Some(_)) => {
            time_text(column, *unit, row).map(|time| format!("{time}+00"))
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            let time = column.as_primitive::<Time64NanosecondType>().value_as_time(row)?;
            Some(without_zeros(&time.format("%H:%M:%S%.6f").to_string()))
        }
        _ => None,
    }
}

/// Returns the texts of the values of a list that is not null; `None` if the encoder writes them as PostgreSQL does.
pub(crate) fn list_texts(column: &ArrayRef, row: usize) -> Option<Vec<Option<String>>> {
    let values = column.as_list_opt::<i32>()?.value(row);
    if !matches!(
        values.data_type(),
        DataType::Float32
            | DataType::Float64
            | DataType::Timestamp(..)
            | DataType::Time64(TimeUnit::Nanosecond)
    ) {
        return None;
    }
    let text = |index| {
        if values.is_null(index) {
            None
        } else {
            value_text(&values, index)
        }
    };
    Some((0..values.len()).map(text).collect())
}

/// Returns the shortest text that leads back to a number.
fn float_text(number: impl Copy + Display + LowerExp, plain: &Range<i32>) -> String {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific.replace("inf", "Infinity");
    };
    match exponent.parse::<i32>() {
        Ok(power) if !plain.contains(&power) => format!("{digits}e{power:+03}"),
        _ => number.to_string(),
    }
}

/// Returns a time in UTC.
fn time_text(column: &ArrayRef, unit: TimeUnit, row: usize) -> Option<String> {
    let time = match unit {
        TimeUnit::Second => column.as_primitive::<TimestampSecondType>().value_as_datetime(row),
        TimeUnit::Millisecond => {
            column.as_primitive::<TimestampMillisecondType>().value_as_datetime(row)
        }
        TimeUnit::Microsecond => {
            column.as_primitive::<TimestampMicrosecondType>().value_as_datetime(row)
        }
        TimeUnit::Nanosecond => {
            column.as_primitive::<TimestampNanosecondType>().value_as_datetime(row)
        }
    };
    Some(without_zeros(&time?.format("%Y-%m-%d %H:%M:%S%.6f").to_string()))
}

/// Returns a time with decimals without the zeros at the end of its second.
fn without_zeros(time: &str) -> String {
    time.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Float32Array, Float64Array, Int64Array, ListArray, Time64NanosecondArray,
        TimestampNanosecondArray, TimestampSecondArray,
    };

    use super::*;

    fn texts(column: impl Array + 'static) -> Vec<String> {
        let values = Arc::new(column) as ArrayRef;
        (0..values.len()).map(|row| value_text(&values, row).unwrap()).collect()
    }

    #[test]
    fn floats_have_no_superfluous_digits() {
        let doubles = [
            (2.0, "2"),
            (0.1, "0.1"),
            (-0.0, "-0"),
            (0.0001, "0.0001"),
            (0.000_012, "1.2e-05"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e15, "1e+15"),
            (-1.5e300, "-1.5e+300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        let (numbers, expected): (Vec<f64>, Vec<&str>) = doubles.into_iter().unzip();
        assert_eq!(texts(Float64Array::from(numbers)), expected);
        let singles = Float32Array::from(vec![0.1, 100_000.0, 1_000_000.0]);
        assert_eq!(texts(singles), ["0.1", "100000", "1e+06"]);
    }

    #[test]
    fn times_have_no_zeros_at_the_end_of_their_second() {
        let plain = TimestampNanosecondArray::from(vec![0, 1_500_000, 999]);
        let expected = ["1970-01-01 00:00:00", "1970-01-01 00:00:00.0015", "1970-01-01 00:00:00"];
        assert_eq!(texts(plain), expected);
        let seconds = TimestampSecondArray::from(vec![600]);
        assert_eq!(texts(seconds), ["1970-01-01 00:10:00"]);
        let zoned = TimestampSecondArray::from(vec![600]).with_timezone("+05:30");
        assert_eq!(texts(zoned), ["1970-01-01 00:10:00+00"]);
        let times = Time64NanosecondArray::from(vec![36_000_000_000_000, 500_000_000]);
        assert_eq!(texts(times), ["10:00:00", "00:00:00.5"]);
    }

    #[test]
    fn the_values_of_lists_have_the_texts_of_single_values() {
        let values = [Some(vec![Some(2.0), None, Some(0.5)])];
        let floats = ListArray::from_iter_primitive::<Float64Type, _, _>(values);
        let expected = [Some("2".to_owned()), None, Some("0.5".to_owned())];
        let texts = list_texts(&(Arc::new(floats) as ArrayRef), 0).unwrap();
        assert_eq!(texts, expected);
        let single = Arc::new(Int64Array::from(vec![1])) as ArrayRef;
        assert_eq!(list_texts(&single, 0), None);
    }
}
