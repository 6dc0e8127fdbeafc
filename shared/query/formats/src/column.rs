//! One column of a batch, prepared for writing its values row by row.
//!
//! Everything that can be decided once per batch (type, nulls, the text before a value) is decided when the [`ColumnWriter`]
//! is created. Values of dictionaries are rendered once and then copied. The rendered texts outlive the batch, because
//! batches of one result often share their dictionaries.

use std::io::Write;
use std::sync::LazyLock;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, AsArray, BooleanArray, LargeStringArray, PrimitiveArray,
    StringArray, StringViewArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{max, min};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, FieldRef, Float32Type, Float64Type,
    Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use arrow::temporal_conversions::{
    date32_to_datetime, date64_to_datetime, timestamp_ms_to_datetime, timestamp_s_to_datetime,
    timestamp_us_to_datetime,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::NaiveDateTime;

use super::number::{push_f32, push_f64, push_integer};
use super::rendered::RenderedValues;
use super::text::{Dialect, push_text};
use super::timestamp::TimestampFormatter;

static JSON_OPTIONS: LazyLock<EncoderOptions> = LazyLock::new(EncoderOptions::default);

/// The state of a column that is kept from batch to batch.
#[derive(Debug)]
pub(crate) struct ColumnState {
    prefix: Vec<u8>,
    memo: RenderedValues,
}

impl ColumnState {
    /// Creates a column whose values are each preceded by `prefix`.
    pub(crate) fn new(prefix: Vec<u8>) -> Self {
        Self { prefix, memo: RenderedValues::default() }
    }
}

/// A column of a batch; writes any of its values.
pub(crate) struct ColumnWriter<'a> {
    prefix: &'a [u8],
    dialect: Dialect,
    values: ColumnValues<'a>,
    nulls: Option<NullBuffer>,
}

impl<'a> ColumnWriter<'a> {
    /// Prepares `array` for writing in `dialect`.
    ///
    /// # Errors
    ///
    /// The type has no text form.
    pub(crate) fn new(
        state: &'a mut ColumnState,
        field: &'a FieldRef,
        array: &'a ArrayRef,
        dialect: Dialect,
    ) -> Result<Self, ArrowError> {
        let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let values = match array.data_type() {
            DataType::Dictionary(_, _) => ColumnValues::Dictionary(DictionaryValues::new(
                array,
                field,
                dialect,
                &mut state.memo,
            )?),
            _ => ColumnValues::new(array, field, dialect)?,
        };
        Ok(Self { prefix: &state.prefix, dialect, values, nulls })
    }

    /// Whether the value of `row` is null.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the prefix only.
    pub(crate) fn write_prefix(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix);
    }

    /// Appends the prefix and the value of `row`, which is not null.
    pub(crate) fn write(&mut self, row: usize, out: &mut Vec<u8>) {
        match &mut self.values {
            ColumnValues::Dictionary(dictionary) => {
                dictionary.write(row, self.prefix, self.dialect, out);
            }
            values => {
                out.extend_from_slice(self.prefix);
                values.write(row, self.dialect, out);
            }
        }
    }
}

/// The values of a column by type. Types without their own variant use arrow's writers.
enum ColumnValues<'a> {
    Boolean(&'a BooleanArray),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt64(&'a [u64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
    Timestamp {
        values: &'a [i64],
        text: TimestampFormatter,
        unusual: ArrayFormatter<'a>,
    },
    Dictionary(DictionaryValues<'a>),
    Json(NullableEncoder<'a>),
    Display(ArrayFormatter<'a>),
}

impl<'a> ColumnValues<'a> {
    fn new(array: &'a ArrayRef, field: &'a FieldRef, dialect: Dialect) -> Result<Self, ArrowError> {
        check_dates(array)?;
        Ok(match array.data_type() {
            DataType::Boolean => Self::Boolean(array.as_boolean()),
            DataType::Int32 => Self::Int32(array.as_primitive::<Int32Type>().values()),
            DataType::Int64 => Self::Int64(array.as_primitive::<Int64Type>().values()),
            DataType::UInt64 => Self::UInt64(array.as_primitive::<UInt64Type>().values()),
            DataType::Float32 => Self::Float32(array.as_primitive::<Float32Type>().values()),
            DataType::Float64 => Self::Float64(array.as_primitive::<Float64Type>().values()),
            DataType::Utf8 => Self::Utf8(array.as_string()),
            DataType::LargeUtf8 => Self::LargeUtf8(array.as_string()),
            DataType::Utf8View => Self::Utf8View(array.as_string_view()),
            DataType::Timestamp(unit, None) => Self::timestamp(array, *unit, false, dialect)?,
            DataType::Timestamp(unit, Some(zone)) if is_utc(zone) => {
                Self::timestamp(array, *unit, true, dialect)?
            }
            _ if dialect == Dialect::Json => match make_encoder(field, array, &JSON_OPTIONS) {
                Ok(encoder) => Self::Json(encoder),
                // Unions and maps whose keys are not strings have no JSON form of their own.
                Err(_) => Self::display(array)?,
            },
            _ => Self::display(array)?,
        })
    }

    fn timestamp(
        array: &'a ArrayRef,
        unit: TimeUnit,
        zulu: bool,
        dialect: Dialect,
    ) -> Result<Self, ArrowError> {
        let values = match unit {
            TimeUnit::Second => array.as_primitive::<TimestampSecondType>().values(),
            TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().values(),
            TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().values(),
            TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().values(),
        };
        let text = TimestampFormatter::new(unit, zulu, dialect == Dialect::Json);
        Ok(Self::Timestamp { values, text, unusual: formatter(array)? })
    }

    fn display(array: &'a ArrayRef) -> Result<Self, ArrowError> {
        formatter(array).map(Self::Display)
    }

    fn write(&mut self, row: usize, dialect: Dialect, out: &mut Vec<u8>) {
        match self {
            Self::Boolean(values) => {
                let text: &[u8] = if values.value(row) { b"true" } else { b"false" };
                out.extend_from_slice(text);
            }
            Self::Int32(values) => push_integer(values[row], out),
            Self::Int64(values) => push_integer(values[row], out),
            Self::UInt64(values) => push_integer(values[row], out),
            Self::Float32(values) => push_f32(values[row], dialect, out),
            Self::Float64(values) => push_f64(values[row], dialect, out),
            Self::Utf8(values) => push_text(values.value(row), dialect, out),
            Self::LargeUtf8(values) => push_text(values.value(row), dialect, out),
            Self::Utf8View(values) => push_text(values.value(row), dialect, out),
            Self::Timestamp { values, text, unusual } => {
                if !text.push(values[row], out) {
                    push_displayed(unusual, row, dialect, out);
                }
            }
            Self::Dictionary(dictionary) => dictionary.write(row, b"", dialect, out),
            Self::Json(encoder) => encoder.encode(row, out),
            Self::Display(formatter) => push_displayed(formatter, row, dialect, out),
        }
    }
}

/// Checks that all times of an array have a date, because arrow writes an error text in the place of others.
fn check_dates(array: &ArrayRef) -> Result<(), ArrowError> {
    let have_dates = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            have_dates::<TimestampSecondType>(array.as_primitive(), timestamp_s_to_datetime)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            have_dates::<TimestampMillisecondType>(array.as_primitive(), timestamp_ms_to_datetime)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            have_dates::<TimestampMicrosecondType>(array.as_primitive(), timestamp_us_to_datetime)
        }
        DataType::Date32 => have_dates::<Date32Type>(array.as_primitive(), date32_to_datetime),
        DataType::Date64 => have_dates::<Date64Type>(array.as_primitive(), date64_to_datetime),
        _ => true,
    };
    if have_dates {
        return Ok(());
    }
    let text = "a time is out of range: years from -262143 to 262142 can be written";
    Err(ArrowError::CastError(text.to_owned()))
}

fn have_dates<T: ArrowPrimitiveType>(
    times: &PrimitiveArray<T>,
    date: fn(T::Native) -> Option<NaiveDateTime>,
) -> bool
where
    T::Native: ArrowNativeTypeOp,
{
    let extremes = [min(times), max(times)];
    extremes.into_iter().flatten().all(|time| date(time).is_some())
}

fn formatter(array: &ArrayRef) -> Result<ArrayFormatter<'_>, ArrowError> {
    ArrayFormatter::try_new(array, &FormatOptions::new().with_display_error(true))
}

/// Appends arrow's text for the value of `row`.
fn push_displayed(formatter: &ArrayFormatter<'_>, row: usize, dialect: Dialect, out: &mut Vec<u8>) {
    let value = formatter.value(row);
    match dialect {
        // Writing to a vector cannot fail, and errors of the value are displayed.
        Dialect::Plain => _ = write!(out, "{value}"),
        Dialect::Json | Dialect::Csv => push_text(&value.to_string(), dialect, out),
    }
}

/// Whether times in the zone always end with `Z`. (Other zones have offset 0 for a part of the year only.)
fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "Etc/UTC" | "Z" | "+00:00")
}

/// A dictionary column: the index into the dictionary per row, and the rendered values.
struct DictionaryValues<'a> {
    keys: Vec<usize>,
    values: Box<ColumnValues<'a>>,
    memo: &'a mut RenderedValues,
}

impl<'a> DictionaryValues<'a> {
    fn new(
        array: &'a ArrayRef,
        field: &'a FieldRef,
        dialect: Dialect,
        memo: &'a mut RenderedValues,
    ) -> Result<Self, ArrowError> {
        let dictionary = array.as_any_dictionary();
        let values = dictionary.values();
        memo.prepare(values);
        // All rows of an empty dictionary are null, so their keys are never looked at.
        let keys = if values.is_empty() {
            Vec::new()
        } else {
            dictionary.normalized_keys()
        };
        Ok(Self {
            keys,
            values: Box::new(ColumnValues::new(values, field, dialect)?),
            memo,
        })
    }

    fn write(&mut self, row: usize, prefix: &[u8], dialect: Dialect, out: &mut Vec<u8>) {
        let key = self.keys[row];
        let values = &mut self.values;
        self.memo.push(key, out, |out| {
            out.extend_from_slice(prefix);
            values.write(key, dialect, out);
        });
    }
}
