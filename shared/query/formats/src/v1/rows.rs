//! The rows of a batch, read from columns of any type.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch,
        StringArray, TimestampNanosecondArray, UInt64Array, timezone::Tz,
    },
    compute::cast,
    datatypes::{
        DataType, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampNanosecondType, UInt64Type,
    },
    error::ArrowError,
};

use super::{cell::SeriesValue, epoch::Epoch};
use crate::rendered::RenderedValues;

/// The rows of a batch, by the columns that are shown.
#[derive(Debug)]
pub struct AnswerRows<'a>(Vec<SeriesColumn<'a>>);

impl<'a> AnswerRows<'a> {
    /// Reads the columns with the indexes `shown`. `rendered` has as many elements, and is kept from batch to batch.
    /// Fails if a type has no text form.
    pub(crate) fn new(
        batch: &RecordBatch,
        shown: &[usize],
        rendered: &'a mut [RenderedValues],
    ) -> Result<Self, ArrowError> {
        let columns = shown
            .iter()
            .zip(rendered)
            .map(|(index, rendered)| SeriesColumn::new(batch.column(*index), rendered));
        Ok(Self(columns.collect::<Result<_, _>>()?))
    }

    /// Returns the values of an existing row. With `epoch`, times are counts.
    pub(crate) fn cells(
        &self,
        row: usize,
        epoch: Option<Epoch>,
    ) -> impl Iterator<Item = SeriesValue<'_>> {
        self.0.iter().map(move |column| column.cell(row, epoch))
    }

    pub(super) fn columns(&mut self) -> &mut [SeriesColumn<'a>] {
        &mut self.0
    }
}

#[derive(Debug)]
pub(super) enum SeriesColumn<'a> {
    Boolean(BooleanArray),
    Integer(Int64Array),
    Unsigned(UInt64Array),
    Float(Float64Array),
    Text(StringArray),
    Dictionary(DictionaryColumn<'a>),
    Time(TimestampNanosecondArray, Option<Tz>),
}

impl<'a> SeriesColumn<'a> {
    fn new(values: &ArrayRef, rendered: &'a mut RenderedValues) -> Result<Self, ArrowError> {
        let as_type = |wanted: &DataType| cast(values, wanted);
        Ok(match values.data_type() {
            DataType::Boolean => Self::Boolean(values.as_boolean().clone()),
            DataType::Int64 => Self::Integer(values.as_primitive::<Int64Type>().clone()),
            DataType::UInt64 => Self::Unsigned(values.as_primitive::<UInt64Type>().clone()),
            DataType::Float64 => Self::Float(values.as_primitive::<Float64Type>().clone()),
            DataType::Utf8 => Self::Text(values.as_string().clone()),
            DataType::Dictionary(keys, texts)
                if **keys == DataType::Int32 && **texts == DataType::Utf8 =>
            {
                let values = values.as_dictionary::<Int32Type>();
                Self::Dictionary(DictionaryColumn {
                    keys: values.keys().clone(),
                    texts: values.values().as_string().clone(),
                    dictionary: Arc::clone(values.values()),
                    rendered,
                })
            }
            DataType::Timestamp(_, zone) => {
                let nanos = as_type(&DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()))?
                    .as_primitive::<TimestampNanosecondType>()
                    .clone();
                let zone = zone.as_ref().map(|zone| zone.parse()).transpose()?;
                Self::Time(nanos, zone)
            }
            kind if kind.is_signed_integer() => {
                Self::Integer(as_type(&DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            kind if kind.is_unsigned_integer() => {
                Self::Unsigned(as_type(&DataType::UInt64)?.as_primitive::<UInt64Type>().clone())
            }
            kind if kind.is_floating() => {
                Self::Float(as_type(&DataType::Float64)?.as_primitive::<Float64Type>().clone())
            }
            _ => Self::Text(as_type(&DataType::Utf8)?.as_string().clone()),
        })
    }

    /// Appends the value of an existing row as `render` does, and returns true. Appends nothing and returns false if the value
    /// is null, or that of no dictionary.
    pub(super) fn push_rendered(
        &mut self,
        row: usize,
        out: &mut Vec<u8>,
        render: impl FnOnce(&str, &mut Vec<u8>),
    ) -> bool {
        let Self::Dictionary(column) = self else {
            return false;
        };
        let Some(key) = column.key(row) else {
            return false;
        };
        let texts = &column.texts;
        column.rendered.prepare(&column.dictionary);
        column.rendered.push(key, out, |out| render(texts.value(key), out));
        true
    }

    /// Returns the value of an existing row. With `epoch`, times are counts.
    pub(super) fn cell(&self, row: usize, epoch: Option<Epoch>) -> SeriesValue<'_> {
        match self {
            Self::Boolean(values) if values.is_valid(row) => {
                SeriesValue::Boolean(values.value(row))
            }
            Self::Integer(values) if values.is_valid(row) => {
                SeriesValue::Integer(values.value(row))
            }
            Self::Unsigned(values) if values.is_valid(row) => {
                SeriesValue::Unsigned(values.value(row))
            }
            Self::Float(values) if values.is_valid(row) => SeriesValue::Float(values.value(row)),
            Self::Text(values) if values.is_valid(row) => SeriesValue::Text(values.value(row)),
            Self::Dictionary(column) => match column.key(row) {
                Some(key) => SeriesValue::Text(column.texts.value(key)),
                None => SeriesValue::Null,
            },
            Self::Time(values, zone) if values.is_valid(row) => match epoch {
                Some(epoch) => SeriesValue::Integer(epoch.count(values.value(row))),
                None => SeriesValue::Time(values.value(row), *zone),
            },
            _ => SeriesValue::Null,
        }
    }
}

/// The values of a dictionary column, such as a tag.
#[derive(Debug)]
pub(super) struct DictionaryColumn<'a> {
    keys: Int32Array,
    /// The values of the dictionary.
    texts: StringArray,
    /// The same values, as the texts that are rendered know them.
    dictionary: ArrayRef,
    rendered: &'a mut RenderedValues,
}

impl DictionaryColumn<'_> {
    /// Returns the index of the value of a row in the dictionary; `None` if the value is null.
    fn key(&self, row: usize) -> Option<usize> {
        let code = self.keys.is_valid(row).then(|| self.keys.value(row))?;
        let key = usize::try_from(code).ok()?;
        self.texts.is_valid(key).then_some(key)
    }
}
