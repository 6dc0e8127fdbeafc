//! Values as PostgreSQL writes them in text: booleans, numbers and times.

use std::fmt::{Display, LowerExp, Write as _};

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray},
    datatypes::{
        ArrowNativeType, ArrowPrimitiveType, ArrowTimestampType, DataType, Float32Type,
        Float64Type, Int16Type, Int32Type, Int64Type, Time64NanosecondType, TimeUnit,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
        TimestampSecondType, UInt64Type,
    },
};
use bytes::{BufMut, BytesMut};
use chrono::{Datelike, NaiveDateTime, NaiveTime, Timelike};
use postgres_types::IsNull;

/// Adds the text of a value that is not null. Times outside of the calendar become null.
type TextWriter = fn(&ArrayRef, usize, &mut BytesMut) -> IsNull;

/// Formats the values of a column as text. Its type is matched once, not for each value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextFormatter<'a> {
    values: &'a ArrayRef,
    write: TextWriter,
}

impl<'a> TextFormatter<'a> {
    /// Returns `None` for types whose values others write.
    pub(crate) fn new(values: &'a ArrayRef) -> Option<Self> {
        let write: TextWriter = match values.data_type() {
            DataType::Boolean => put_boolean,
            DataType::Int16 => put_integer::<Int16Type>,
            DataType::Int32 => put_integer::<Int32Type>,
            DataType::Int64 => put_integer::<Int64Type>,
            DataType::UInt64 => put_integer::<UInt64Type>,
            DataType::Float32 => put_single,
            DataType::Float64 => put_double,
            DataType::Timestamp(TimeUnit::Second, _) => put_timestamp::<TimestampSecondType>,
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                put_timestamp::<TimestampMillisecondType>
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                put_timestamp::<TimestampMicrosecondType>
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                put_timestamp::<TimestampNanosecondType>
            }
            DataType::Time64(TimeUnit::Nanosecond) => put_time_of_day,
            _ => return None,
        };
        Some(Self { values, write })
    }

    /// Adds the text of the value of a row, if it is not null.
    pub(crate) fn put(self, row: usize, output: &mut BytesMut) -> IsNull {
        if self.values.is_null(row) {
            IsNull::Yes
        } else {
            (self.write)(self.values, row, output)
        }
    }

    /// Adds the text of the list of a row, if it is not null. The values are those of all lists.
    pub(crate) fn put_list(self, lists: &ListArray, row: usize, output: &mut BytesMut) -> IsNull {
        if lists.is_null(row) {
            return IsNull::Yes;
        }
        let [start, end] = [row, row + 1].map(|index| lists.value_offsets()[index].as_usize());
        // These texts alone need quotes, because they have a space.
        let quote = if let DataType::Timestamp(..) = self.values.data_type() {
            "\""
        } else {
            ""
        };
        output.put_u8(b'{');
        for index in start..end {
            if index > start {
                output.put_u8(b',');
            }
            let text_start = output.len();
            output.extend_from_slice(quote.as_bytes());
            if let IsNull::No = self.put(index, output) {
                output.extend_from_slice(quote.as_bytes());
            } else {
                output.truncate(text_start);
                output.extend_from_slice(b"NULL");
            }
        }
        output.put_u8(b'}');
        IsNull::No
    }
}

fn put_boolean(values: &ArrayRef, row: usize, output: &mut BytesMut) -> IsNull {
    output.put_u8(if values.as_boolean().value(row) {
        b't'
    } else {
        b'f'
    });
    IsNull::No
}

fn put_integer<T>(values: &ArrayRef, row: usize, output: &mut BytesMut) -> IsNull
where
    T: ArrowPrimitiveType,
    T::Native: itoa::Integer,
{
    let number = values.as_primitive::<T>().value(row);
    output.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    IsNull::No
}

fn put_single(values: &ArrayRef, row: usize, output: &mut BytesMut) -> IsNull {
    let number = values.as_primitive::<Float32Type>().value(row);
    let is_plain = number == 0.0 || (1e-4..1e6).contains(&number.abs());
    put_float(number, is_plain, output)
}

fn put_double(values: &ArrayRef, row: usize, output: &mut BytesMut) -> IsNull {
    let number = values.as_primitive::<Float64Type>().value(row);
    let is_plain = number == 0.0 || (1e-4..1e15).contains(&number.abs());
    put_float(number, is_plain, output)
}

/// Adds the shortest text that leads back to a number, without an exponent if it is plain.
fn put_float(number: impl Display + LowerExp, is_plain: bool, output: &mut BytesMut) -> IsNull {
    // Writing into the buffer does not fail.
    if is_plain {
        write!(output, "{number}").ok();
        return IsNull::No;
    }
    let scientific = format!("{number:e}");
    if let Some((digits, exponent)) = scientific.split_once('e') {
        let (sign, power) =
            exponent.strip_prefix('-').map_or(('+', exponent), |power| ('-', power));
        write!(output, "{digits}e{sign}{power:0>2}").ok();
    } else {
        output.extend_from_slice(scientific.replace("inf", "Infinity").as_bytes());
    }
    IsNull::No
}

/// Adds a time in UTC, because an offset of `arrow-pg` lacks its minutes.
fn put_timestamp<T: ArrowTimestampType>(
    values: &ArrayRef,
    row: usize,
    output: &mut BytesMut,
) -> IsNull {
    let Some(time) = values.as_primitive::<T>().value_as_datetime(row) else {
        return IsNull::Yes;
    };
    put_date(time, output);
    put_time(time.time(), output);
    if let DataType::Timestamp(_, Some(_)) = values.data_type() {
        output.extend_from_slice(b"+00");
    }
    IsNull::No
}

fn put_time_of_day(values: &ArrayRef, row: usize, output: &mut BytesMut) -> IsNull {
    let Some(time) = values.as_primitive::<Time64NanosecondType>().value_as_time(row) else {
        return IsNull::Yes;
    };
    put_time(time, output);
    IsNull::No
}

/// Adds a date and a space. Years without four digits have a sign.
fn put_date(time: NaiveDateTime, output: &mut BytesMut) {
    let mut text = *b"0000-00-00 ";
    put_digits(&mut text[5..7], time.month());
    put_digits(&mut text[8..10], time.day());
    match u32::try_from(time.year()) {
        Ok(year @ 0..=9_999) => {
            put_digits(&mut text[..4], year);
            output.extend_from_slice(&text);
        }
        _ => {
            write!(output, "{:+05}", time.year()).ok();
            output.extend_from_slice(&text[4..]);
        }
    }
}

/// Adds a time of a day with microseconds, without the zeros at their end.
fn put_time(time: NaiveTime, output: &mut BytesMut) {
    let mut text = *b"00:00:00.000000";
    put_digits(&mut text[..2], time.hour());
    put_digits(&mut text[3..5], time.minute());
    put_digits(&mut text[6..8], time.second());
    let microseconds = time.nanosecond() / 1_000;
    put_digits(&mut text[9..], microseconds);
    let end = if microseconds == 0 {
        8
    } else {
        text.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + 1)
    };
    output.extend_from_slice(&text[..end]);
}

/// Writes the last digits of a number, as many as there are places.
fn put_digits(places: &mut [u8], number: u32) {
    let mut rest = number;
    for place in places.iter_mut().rev() {
        *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, StringArray,
        Time64NanosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
        TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
    };
    use proptest::prelude::*;

    use super::*;

    /// Returns the text of a value; `None` is null.
    fn text(put: impl FnOnce(&mut BytesMut) -> IsNull) -> Option<String> {
        let mut output = BytesMut::from("before ");
        let is_null = put(&mut output);
        let written = output.strip_prefix(b"before ").unwrap();
        if let IsNull::Yes = is_null {
            assert!(written.is_empty());
            return None;
        }
        Some(String::from_utf8(written.to_vec()).unwrap())
    }

    /// Returns the texts of a column; null is `null`.
    fn texts(column: impl Array + 'static) -> Vec<String> {
        let values = Arc::new(column) as ArrayRef;
        let formatter = TextFormatter::new(&values).unwrap();
        (0..values.len())
            .map(|row| text(|output| formatter.put(row, output)).unwrap_or("null".to_owned()))
            .collect()
    }

    /// Returns the texts of the lists of a column; null is `null`.
    fn list_texts(lists: &ListArray) -> Vec<String> {
        let formatter = TextFormatter::new(lists.values()).unwrap();
        (0..lists.len())
            .map(|row| {
                text(|output| formatter.put_list(lists, row, output)).unwrap_or("null".to_owned())
            })
            .collect()
    }

    #[test]
    fn booleans_are_letters() {
        let values = BooleanArray::from(vec![Some(true), None, Some(false)]);
        assert_eq!(texts(values), ["t", "null", "f"]);
    }

    #[test]
    fn whole_numbers_have_all_digits() {
        let small = Int16Array::from(vec![Some(i16::MIN), None, Some(0), Some(i16::MAX)]);
        assert_eq!(texts(small), ["-32768", "null", "0", "32767"]);
        let medium = Int32Array::from(vec![i32::MIN, -10, i32::MAX]);
        assert_eq!(texts(medium), ["-2147483648", "-10", "2147483647"]);
        let large = Int64Array::from(vec![i64::MIN, 100, i64::MAX]);
        let expected = ["-9223372036854775808", "100", "9223372036854775807"];
        assert_eq!(texts(large), expected);
        let unsigned = UInt64Array::from(vec![0, u64::MAX]);
        assert_eq!(texts(unsigned), ["0", "18446744073709551615"]);
    }

    #[test]
    fn doubles_have_no_superfluous_digits() {
        let doubles = [
            (2.0, "2"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (0.0, "0"),
            (-0.0, "-0"),
            (-123.456, "-123.456"),
            (14_871.466_378_840_501, "14871.466378840501"),
            (-925_008.683_116_030_2, "-925008.6831160302"),
            (0.0001, "0.0001"),
            (0.0001_f64.next_up(), "0.00010000000000000002"),
            (0.0001_f64.next_down(), "9.999999999999999e-05"),
            (0.000_012, "1.2e-05"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e15_f64.next_down(), "999999999999999.9"),
            (1e15, "1e+15"),
            (1e22, "1e+22"),
            (-1.5e300, "-1.5e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::from_bits(1), "5e-324"),
            (f64::NAN, "NaN"),
            (-f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        let (numbers, expected): (Vec<f64>, Vec<&str>) = doubles.into_iter().unzip();
        assert_eq!(texts(Float64Array::from(numbers)), expected);
        let random: [(u64, &str); 6] = [
            (0xf2a7_4de4_52e6_b438, "-1.989032661366619e+244"),
            (0x6513_270e_269e_0d37, "7.761117632285041e+178"),
            (0x0c5c_7fd0_a6a3_a450, "3.980498358697587e-249"),
            (0xd23f_0824_128b_2f33, "-1.5432835417340557e+88"),
            (0x1818_e811_892f_902b, "1.3647584518757569e-192"),
            (0x9531_985d_5d9d_c9f8, "-1.3701135617873088e-206"),
        ];
        let (bits, expected): (Vec<u64>, Vec<&str>) = random.into_iter().unzip();
        let numbers: Vec<f64> = bits.into_iter().map(f64::from_bits).collect();
        assert_eq!(texts(Float64Array::from(numbers)), expected);
    }

    #[test]
    fn singles_have_no_superfluous_digits() {
        let singles = [
            (0.1, "0.1"),
            (-0.0, "-0"),
            (0.0001, "0.0001"),
            (0.0001_f32.next_down(), "9.999999e-05"),
            (100_000.0, "100000"),
            (1e6_f32.next_down(), "999999.94"),
            (1_000_000.0, "1e+06"),
            (16_777_216.0, "1.6777216e+07"),
            (f32::MAX, "3.4028235e+38"),
            (f32::MIN_POSITIVE, "1.1754944e-38"),
            (f32::from_bits(1), "1e-45"),
            (f32::NAN, "NaN"),
            (f32::NEG_INFINITY, "-Infinity"),
        ];
        let (numbers, expected): (Vec<f32>, Vec<&str>) = singles.into_iter().unzip();
        assert_eq!(texts(Float32Array::from(numbers)), expected);
    }

    #[test]
    fn times_have_no_zeros_at_the_end_of_their_second() {
        let times = [
            (0, "1970-01-01 00:00:00"),
            (1_500_000, "1970-01-01 00:00:00.0015"),
            (999, "1970-01-01 00:00:00"),
            (1_000, "1970-01-01 00:00:00.000001"),
            (-1, "1969-12-31 23:59:59.999999"),
            (-1_001, "1969-12-31 23:59:59.999998"),
            (946_684_799_999_999_999, "1999-12-31 23:59:59.999999"),
            (951_868_799_120_000_000, "2000-02-29 23:59:59.12"),
            (1_234_567_890_123_456_789, "2009-02-13 23:31:30.123456"),
            (-4_567_890_123_456_789_012, "1825-04-01 21:37:56.54321"),
            (i64::MIN, "1677-09-21 00:12:43.145224"),
            (i64::MAX, "2262-04-11 23:47:16.854775"),
        ];
        let (values, expected): (Vec<i64>, Vec<&str>) = times.into_iter().unzip();
        assert_eq!(texts(TimestampNanosecondArray::from(values)), expected);
        let zoned = TimestampSecondArray::from(vec![600]).with_timezone("+05:30");
        assert_eq!(texts(zoned), ["1970-01-01 00:10:00+00"]);
        let days = vec![36_000_000_000_000, 500_000_000, 86_399_999_999_999, -1];
        let expected = ["10:00:00", "00:00:00.5", "23:59:59.999999", "null"];
        assert_eq!(texts(Time64NanosecondArray::from(days)), expected);
    }

    #[test]
    fn years_without_four_digits_have_a_sign() {
        let seconds = [
            (-30_641_760_000, "0999-01-01 00:00:00"),
            (-62_167_219_200, "0000-01-01 00:00:00"),
            (-62_167_219_201, "-0001-12-31 23:59:59"),
            (253_402_300_799, "9999-12-31 23:59:59"),
            (253_402_300_800, "+10000-01-01 00:00:00"),
            (8_210_266_876_799, "+262142-12-31 23:59:59"),
            (8_210_266_876_800, "null"),
            (-8_334_601_228_800, "-262143-01-01 00:00:00"),
            (-8_334_601_228_801, "null"),
            (i64::MIN, "null"),
            (i64::MAX, "null"),
        ];
        let (values, expected): (Vec<i64>, Vec<&str>) = seconds.into_iter().unzip();
        assert_eq!(texts(TimestampSecondArray::from(values)), expected);
        let millis = TimestampMillisecondArray::from(vec![253_402_300_800_000, i64::MAX]);
        assert_eq!(texts(millis), ["+10000-01-01 00:00:00", "null"]);
        let micros = TimestampMicrosecondArray::from(vec![-62_167_219_200_000_001, i64::MIN]);
        assert_eq!(texts(micros), ["-0001-12-31 23:59:59.999999", "null"]);
    }

    #[test]
    fn the_values_of_lists_have_the_texts_of_single_values() {
        let floats = [
            Some(vec![Some(1.5)]),
            Some(vec![Some(2.0), None, Some(f64::NAN)]),
            None,
            Some(vec![]),
        ];
        let lists = ListArray::from_iter_primitive::<Float64Type, _, _>(floats);
        assert_eq!(list_texts(&lists.slice(1, 3)), ["{2,NULL,NaN}", "null", "{}"]);
        // A time outside of the calendar is null.
        let times = [Some(vec![Some(0), None, Some(i64::MAX)])];
        let lists = ListArray::from_iter_primitive::<TimestampSecondType, _, _>(times);
        assert_eq!(list_texts(&lists), ["{\"1970-01-01 00:00:00\",NULL,NULL}"]);
        let other = Arc::new(StringArray::from(vec!["a"])) as ArrayRef;
        assert!(TextFormatter::new(&other).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn floats_lead_back_to_their_numbers(bits: u64, single_bits: u32) {
            let (number, single) = (f64::from_bits(bits), f32::from_bits(single_bits));
            prop_assume!(!number.is_nan() && !single.is_nan());
            let shown = texts(Float64Array::from(vec![number])).concat();
            prop_assert_eq!(shown.parse::<f64>().unwrap().to_bits(), bits);
            let shown = texts(Float32Array::from(vec![single])).concat();
            prop_assert_eq!(shown.parse::<f32>().unwrap().to_bits(), single_bits);
        }

        #[test]
        fn times_have_the_digits_of_the_calendar(value: i64) {
            let array = TimestampNanosecondArray::from(vec![value]);
            let time = array.value_as_datetime(0).unwrap();
            let digits = time.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
            let expected = digits.trim_end_matches('0').trim_end_matches('.');
            prop_assert_eq!(texts(array).concat(), expected);
        }
    }
}
