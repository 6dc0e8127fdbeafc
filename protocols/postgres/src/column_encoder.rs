//! Encodes the values of a column: common types here, and the others one by one by `arrow-pg`.

use arrow::{
    array::{
        Array, ArrayAccessor, ArrayRef, AsArray, BooleanArray, DictionaryArray, Float32Array,
        Float64Array, Int16Array, Int32Array, Int64Array, ListArray, StringArray, StringViewArray,
        TimestampNanosecondArray,
    },
    datatypes::{DataType, Field, Int8Type, Int32Type, TimeUnit},
};
use arrow_pg::encoder::{Encoder, encode_value};
use bytes::{BufMut, BytesMut};
use pgwire::{
    api::{
        Type,
        results::{FieldFormat, FieldInfo},
    },
    error::PgWireResult,
    types::ToSqlText,
};
use postgres_types::{IsNull, ToSql};

use crate::value_text::TextFormatter;

/// The length of a null.
const NULL: i32 = -1;

/// The start of PostgreSQL's times, 2000-01-01, in microseconds since 1970.
const TIME_BASE: i64 = 946_684_800_000_000;

/// A column of a batch in the format that a client asks for. Its type is matched once, not for each value.
#[derive(Debug)]
pub(crate) enum ColumnEncoder<'a> {
    /// In binary, as are the numbers and times below.
    Boolean(&'a BooleanArray),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Time(&'a TimestampNanosecondArray),
    /// In both formats, which are the same for texts.
    Text(&'a StringArray),
    TextView(&'a StringViewArray),
    Tag(&'a DictionaryArray<Int32Type>, &'a StringArray),
    /// Booleans, numbers and times in text.
    ValueText(TextFormatter<'a>),
    /// Lists of them in text, and the formatter of their values.
    ListText(&'a ListArray, TextFormatter<'a>),
    Other(OtherColumn<'a>),
}

impl<'a> ColumnEncoder<'a> {
    /// Selects the encoder of a column. The types of PostgreSQL tell apart columns with the same arrays: numbers and object
    /// ids, texts and single characters.
    pub(crate) fn new(column: &'a ArrayRef, arrow_field: &'a Field, field: &'a FieldInfo) -> Self {
        let other = OtherColumn { column, arrow_field, field };
        match (column.data_type(), field.datatype()) {
            (DataType::Utf8, &Type::TEXT) => Self::Text(column.as_string()),
            (DataType::Utf8View, &Type::TEXT) => Self::TextView(column.as_string_view()),
            (DataType::Dictionary(..), &Type::TEXT) => {
                Self::tag(column).unwrap_or(Self::Other(other))
            }
            _ if field.format() == FieldFormat::Text => {
                Self::value_text(column).unwrap_or(Self::Other(other))
            }
            (DataType::Boolean, &Type::BOOL) => Self::Boolean(column.as_boolean()),
            (DataType::Int16, &Type::INT2) => Self::Int16(column.as_primitive()),
            (DataType::Int32, &Type::INT4) => Self::Int32(column.as_primitive()),
            (DataType::Int64, &Type::INT8) => Self::Int64(column.as_primitive()),
            (DataType::Float32, &Type::FLOAT4) => Self::Float32(column.as_primitive()),
            (DataType::Float64, &Type::FLOAT8) => Self::Float64(column.as_primitive()),
            (DataType::Timestamp(TimeUnit::Nanosecond, None), &Type::TIMESTAMP) => {
                Self::Time(column.as_primitive())
            }
            _ => Self::Other(other),
        }
    }

    fn tag(column: &'a ArrayRef) -> Option<Self> {
        let keys = column.as_dictionary_opt::<Int32Type>()?;
        Some(Self::Tag(keys, keys.values().as_string_opt()?))
    }

    fn value_text(column: &'a ArrayRef) -> Option<Self> {
        if let Some(lists) = column.as_list_opt::<i32>() {
            Some(Self::ListText(lists, TextFormatter::new(lists.values())?))
        } else {
            TextFormatter::new(column).map(Self::ValueText)
        }
    }

    /// Adds the value of a row, after its length.
    ///
    /// # Errors
    /// PostgreSQL's type does not have the value.
    pub(crate) fn put(&self, row: usize, output: &mut BytesMut) -> PgWireResult<()> {
        match *self {
            Self::Boolean(values) => {
                put_fixed(value(values, row).map(|value| [u8::from(value)]), output);
            }
            Self::Int16(values) => put_fixed(value(values, row).map(i16::to_be_bytes), output),
            Self::Int32(values) => put_fixed(value(values, row).map(i32::to_be_bytes), output),
            Self::Int64(values) => put_fixed(value(values, row).map(i64::to_be_bytes), output),
            Self::Float32(values) => put_fixed(value(values, row).map(f32::to_be_bytes), output),
            Self::Float64(values) => put_fixed(value(values, row).map(f64::to_be_bytes), output),
            Self::Time(values) => {
                let time = value(values, row).map(microseconds);
                put_fixed(time.map(i64::to_be_bytes), output);
            }
            Self::Text(values) => put_text(value(values, row), output),
            Self::TextView(values) => put_text(value(values, row), output),
            Self::Tag(keys, values) => {
                put_text(keys.key(row).and_then(|key| value(values, key)), output);
            }
            Self::ValueText(formatter) => {
                return put_value(output, |output| Ok(formatter.put(row, output)));
            }
            Self::ListText(lists, formatter) => {
                return put_value(output, |output| Ok(formatter.put_list(lists, row, output)));
            }
            Self::Other(column) => return column.encode(row, &mut ValueWriter(output)),
        }
        Ok(())
    }
}

/// Adds the number of the values of a row, and the values.
///
/// # Errors
/// PostgreSQL's type does not have a value.
pub(crate) fn put_row(
    columns: &[ColumnEncoder<'_>],
    row: usize,
    output: &mut BytesMut,
) -> PgWireResult<()> {
    output.put_i16(i16::try_from(columns.len()).unwrap_or(i16::MAX));
    columns.iter().try_for_each(|column| column.put(row, output))
}

/// Returns the value of a row; `None` is null.
fn value<A: ArrayAccessor>(values: A, row: usize) -> Option<A::Item> {
    values.is_valid(row).then(|| values.value(row))
}

/// Adds a value whose length is known when this is compiled.
fn put_fixed<const N: usize>(value: Option<[u8; N]>, output: &mut BytesMut) {
    match value {
        Some(bytes) => {
            output.put_i32(length(N));
            output.extend_from_slice(&bytes);
        }
        None => output.put_i32(NULL),
    }
}

fn put_text(value: Option<&str>, output: &mut BytesMut) {
    match value {
        Some(text) => {
            output.put_i32(length(text.len()));
            output.extend_from_slice(text.as_bytes());
        }
        None => output.put_i32(NULL),
    }
}

/// Adds a value that `write` adds, after its length.
fn put_value(
    output: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut) -> PgWireResult<IsNull>,
) -> PgWireResult<()> {
    let start = output.len();
    output.put_i32(NULL);
    if let IsNull::No = write(output)? {
        let bytes = length(output.len() - start - size_of::<i32>());
        output[start..start + size_of::<i32>()].copy_from_slice(&bytes.to_be_bytes());
    }
    Ok(())
}

/// Returns the length of a value. Messages that are longer are refused.
fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

/// Returns a time in nanoseconds since 1970 in microseconds since 2000, rounded towards 2000.
fn microseconds(time: i64) -> i64 {
    let is_rounded_up = time.div_euclid(1_000) < TIME_BASE && time.rem_euclid(1_000) != 0;
    time.div_euclid(1_000) + i64::from(is_rounded_up) - TIME_BASE
}

/// A column whose values are encoded one by one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OtherColumn<'a> {
    column: &'a ArrayRef,
    arrow_field: &'a Field,
    field: &'a FieldInfo,
}

impl OtherColumn<'_> {
    fn encode(&self, row: usize, encoder: &mut impl Encoder) -> PgWireResult<()> {
        let (column, field) = (self.column, self.field);
        // The encoder of intervals takes nulls for values, and that of small numbers writes one byte, not two.
        if column.is_null(row) {
            encoder.encode_field(&None::<bool>, field)
        } else if let Some(numbers) = column.as_primitive_opt::<Int8Type>() {
            encoder.encode_field(&i16::from(numbers.value(row)), field)
        } else {
            encode_value(encoder, column, row, self.arrow_field, field)
        }
    }
}

/// Writes the values that `arrow-pg` encodes.
struct ValueWriter<'a>(&'a mut BytesMut);

impl Encoder for ValueWriter<'_> {
    type Item = ();

    fn encode_field<T>(&mut self, value: &T, field: &FieldInfo) -> PgWireResult<()>
    where
        T: ToSql + ToSqlText + Sized,
    {
        let data_type = field.datatype();
        put_value(self.0, |output| {
            Ok(match field.format() {
                FieldFormat::Text => {
                    value.to_sql_text(data_type, output, field.format_options())?
                }
                FieldFormat::Binary => value.to_sql(data_type, output)?,
            })
        })
    }

    fn take_row(&mut self) -> Self::Item {}
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use arrow::{
        array::{
            BinaryArray, Date32Array, Decimal128Array, DurationMillisecondArray,
            FixedSizeListArray, Int8Array, IntervalDayTimeArray, IntervalMonthDayNanoArray,
            LargeStringArray, NullArray, StructArray, Time32SecondArray, Time64MicrosecondArray,
            Time64NanosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
            TimestampSecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
        },
        datatypes::{
            Float64Type, Int64Type, IntervalDayTime, IntervalMonthDayNano, Schema,
            TimestampNanosecondType,
        },
    };
    use arrow_pg::datatypes::{PG_CHAR_KEY, PG_OID_ALIAS_KEY};
    use pgwire::api::results::DataRowEncoder;

    use super::*;
    use crate::columns::columns;

    const TEXTS: [Option<&str>; 5] = [
        Some("a"),
        None,
        Some(""),
        Some("{\"é\", \\N}\t\n"),
        Some("longer than the texts that a view has in place"),
    ];

    /// The start of PostgreSQL's times and its neighbours, in nanoseconds, are also values of the other units.
    const TIMES: [Option<i64>; 13] = [
        Some(0),
        None,
        Some(i64::MIN),
        Some(i64::MAX),
        Some(-1),
        Some(1),
        Some(-1_000),
        Some(999),
        Some(TIME_BASE * 1_000 - 1_001),
        Some(TIME_BASE * 1_000 - 1),
        Some(TIME_BASE * 1_000),
        Some(TIME_BASE * 1_000 + 1_999),
        Some(TIME_BASE),
    ];

    const TEXT: i16 = 0;
    const BINARY: i16 = 1;

    /// Compares the bytes of a column, and of a slice of it, with those of the encoder of `arrow-pg`. Returns whether the
    /// column has an encoder of its own.
    fn compared(column: &ArrayRef, metadata: &[(&str, &str)], format: i16) -> bool {
        let metadata: HashMap<String, String> = metadata
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let arrow_field = Field::new("v", column.data_type().clone(), true).with_metadata(metadata);
        let schema = Schema::new(vec![arrow_field.clone()]);
        let fields = columns(&schema, &[format]).unwrap();
        let mut reference = DataRowEncoder::new(Arc::clone(&fields));
        for part in [Arc::clone(column), column.slice(1, column.len() - 2)] {
            let encoder = ColumnEncoder::new(&part, &arrow_field, &fields[0]);
            let other = OtherColumn { column: &part, arrow_field: &arrow_field, field: &fields[0] };
            for row in 0..part.len() {
                let mut output = BytesMut::new();
                encoder.put(row, &mut output).unwrap();
                other.encode(row, &mut reference).unwrap();
                let expected = reference.take_row().data;
                let data_type = part.data_type();
                assert_eq!(output, expected, "{data_type}, row {row}, format {format}");
            }
        }
        let encoder = ColumnEncoder::new(column, &arrow_field, &fields[0]);
        !matches!(encoder, ColumnEncoder::Other(_))
    }

    /// Compares columns in formats, and whether they have an encoder of their own in each.
    fn assert_compared<const N: usize, const F: usize>(
        columns: [ArrayRef; N],
        own: [(i16, bool); F],
    ) {
        for column in columns {
            for (format, is_own) in own {
                let compared = compared(&column, &[], format);
                assert_eq!(compared, is_own, "{column:?}, format {format}");
            }
        }
    }

    #[test]
    fn booleans_and_whole_numbers_have_the_bytes_of_arrow_pg() {
        assert_compared(
            [
                Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
                Arc::new(Int16Array::from(vec![Some(i16::MIN), None, Some(-1), Some(i16::MAX)])),
                Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(-1), Some(i32::MAX)])),
                Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(-1), Some(i64::MAX)])),
                Arc::new(Int64Array::from(vec![1, 2, 3])),
            ],
            [(TEXT, true), (BINARY, true)],
        );
        let unsigned = UInt64Array::from(vec![Some(0), None, Some(u64::MAX)]);
        assert_compared([Arc::new(unsigned)], [(TEXT, true), (BINARY, false)]);
    }

    #[test]
    fn binary_floats_and_times_have_the_bytes_of_arrow_pg() {
        assert_compared(
            [
                Arc::new(Float32Array::from(vec![
                    Some(f32::NAN),
                    None,
                    Some(-0.0),
                    Some(f32::MAX),
                ])),
                Arc::new(Float64Array::from(vec![
                    Some(f64::NAN),
                    None,
                    Some(-0.0),
                    Some(f64::MIN_POSITIVE),
                    Some(f64::NEG_INFINITY),
                ])),
                Arc::new(TimestampNanosecondArray::from(TIMES.to_vec())),
            ],
            [(BINARY, true)],
        );
    }

    #[test]
    fn texts_have_the_bytes_of_arrow_pg() {
        let keys = Int32Array::from(vec![Some(4), None, Some(1), Some(0), Some(4)]);
        let texts: [ArrayRef; 4] = [
            Arc::new(StringArray::from(TEXTS.to_vec())),
            Arc::new(StringViewArray::from(TEXTS.to_vec())),
            Arc::new(DictionaryArray::<Int32Type>::from_iter(TEXTS)),
            // The value of a key may be null.
            Arc::new(DictionaryArray::new(keys, Arc::new(StringArray::from(TEXTS.to_vec())))),
        ];
        assert_compared(texts, [(TEXT, true), (BINARY, true)]);
        let ids: ArrayRef = Arc::new(Int32Array::from(vec![Some(-1), None, Some(26)]));
        assert!(compared(&ids, &[(PG_OID_ALIAS_KEY, "oid")], TEXT));
        assert!(!compared(&ids, &[(PG_OID_ALIAS_KEY, "oid")], BINARY));
        let characters: ArrayRef = Arc::new(StringArray::from(vec![Some("r"), None, Some("view")]));
        for format in [TEXT, BINARY] {
            assert!(!compared(&characters, &[(PG_CHAR_KEY, "")], format));
        }
    }

    fn assert_others<const N: usize>(others: [ArrayRef; N]) {
        assert_compared(others, [(TEXT, false), (BINARY, false)]);
    }

    #[test]
    fn other_numbers_and_texts_have_the_bytes_of_arrow_pg() {
        let bytes = [Some(&b"\0\xff"[..]), None, Some(&b""[..])];
        let float_keys = Int32Array::from(vec![Some(0), None, Some(1)]);
        let floats = Float64Array::from(vec![Some(0.5), None]);
        assert_others([
            Arc::new(NullArray::new(3)),
            Arc::new(Int8Array::from(vec![Some(i8::MIN), None, Some(1)])),
            Arc::new(UInt8Array::from(vec![Some(0), None, Some(u8::MAX)])),
            Arc::new(UInt16Array::from(vec![Some(0), None, Some(u16::MAX)])),
            Arc::new(UInt32Array::from(vec![Some(0), None, Some(u32::MAX)])),
            Arc::new(Decimal128Array::from(vec![Some(-12_345), None, Some(0)])),
            Arc::new(BinaryArray::from(bytes.to_vec())),
            Arc::new(LargeStringArray::from(TEXTS.to_vec())),
            Arc::new(DictionaryArray::<Int8Type>::from_iter(TEXTS)),
            Arc::new(DictionaryArray::new(float_keys, Arc::new(floats))),
        ]);
    }

    #[test]
    fn other_times_have_the_bytes_of_arrow_pg() {
        let seconds = TimestampSecondArray::from(vec![Some(0), None, Some(1)]);
        let micros = vec![Some(1), None, Some(86_399_999_999)];
        let day = Some(IntervalDayTime::new(1, -2));
        let month = Some(IntervalMonthDayNano::new(1, -2, 3_999));
        let zoned = TimestampNanosecondArray::from(TIMES.to_vec()).with_timezone("+05:30");
        assert_compared(
            [
                Arc::new(TimestampSecondArray::from(TIMES.to_vec())),
                Arc::new(TimestampMillisecondArray::from(TIMES.to_vec())),
                Arc::new(TimestampMicrosecondArray::from(TIMES.to_vec())),
                Arc::new(zoned),
                Arc::new(seconds.with_timezone("-01:00")),
                Arc::new(Time64NanosecondArray::from(micros.clone())),
            ],
            [(BINARY, false)],
        );
        assert_others([
            Arc::new(Date32Array::from(vec![Some(-1), None, Some(20_000)])),
            Arc::new(Time32SecondArray::from(vec![Some(0), None, Some(1)])),
            Arc::new(Time64MicrosecondArray::from(micros)),
            Arc::new(DurationMillisecondArray::from(vec![Some(-1), None, Some(1)])),
            Arc::new(IntervalDayTimeArray::from(vec![day, None, day])),
            Arc::new(IntervalMonthDayNanoArray::from(vec![month, None, month])),
        ]);
    }

    #[test]
    fn lists_and_structs_have_the_bytes_of_arrow_pg() {
        let numbers = [Some(vec![Some(1), None]), None, Some(vec![])];
        let floats = [Some(vec![Some(0.5), None]), None, Some(vec![])];
        let times = [Some(TIMES), None, Some(TIMES)];
        let pairs = [Some([Some(1), None]), None, Some([Some(2), Some(3)])];
        let child = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])) as ArrayRef;
        let child_field = Arc::new(Field::new("n", DataType::Int64, true));
        let fixed = FixedSizeListArray::from_iter_primitive::<Int64Type, _, _>(pairs, 2);
        let numbers = ListArray::from_iter_primitive::<Int64Type, _, _>(numbers);
        assert_compared([Arc::new(numbers)], [(TEXT, true), (BINARY, false)]);
        let floats = ListArray::from_iter_primitive::<Float64Type, _, _>(floats);
        let times = ListArray::from_iter_primitive::<TimestampNanosecondType, _, _>(times);
        assert_compared([Arc::new(floats), Arc::new(times)], [(BINARY, false)]);
        assert_others([Arc::new(fixed), Arc::new(StructArray::from(vec![(child_field, child)]))]);
    }
}
