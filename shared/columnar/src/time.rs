//! The times of a batch.

use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, StringArray, cast::AsArray, timezone::Tz,
};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_cast::{cast, parse::string_to_datetime};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use chrono::{
    DateTime, NaiveDateTime, NaiveTime, TimeZone, Utc,
    format::{Parsed, StrftimeItems, parse},
};
use neap_line_protocol::Precision;

use crate::{
    convert::is_text,
    error::RowRefusal,
    mapping::{TimeColumn, TimeFormat},
    render::render_value,
};

const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// The times of the rows of a batch, before they are converted to nanoseconds.
#[derive(Debug)]
pub(crate) struct TimeValues {
    /// The column as given.
    column: ArrayRef,
    nulls: Option<NullBuffer>,
    encoding: TimeEncoding,
    zone: Option<Tz>,
}

#[derive(Debug)]
enum TimeEncoding {
    /// Integers in a unit. In zones without an offset if `is_local`.
    Integer {
        values: Int64Array,
        precision: Precision,
        is_local: bool,
    },
    /// Numbers with a fraction.
    Float {
        values: Float64Array,
        precision: Precision,
    },
    /// Days since the Unix epoch.
    Days(Int64Array),
    /// Texts. Those that contain only an integer are in the precision; `None` if integers have no meaning.
    Rfc3339 {
        values: StringArray,
        precision: Option<Precision>,
    },
    Strftime {
        values: StringArray,
        pattern: String,
    },
}

impl TimeValues {
    /// Reads the column of a batch. Integers without a unit are in `precision`. Returns `None` if the type of the
    /// column has no times.
    pub(crate) fn new(
        column: &ArrayRef,
        mapping: &TimeColumn,
        precision: Precision,
    ) -> Result<Option<Self>, ArrowError> {
        let integers = || -> Result<Int64Array, ArrowError> {
            Ok(cast(column, &DataType::Int64)?.as_primitive().clone())
        };
        let encoding = match column.data_type() {
            DataType::Timestamp(unit, zone) => TimeEncoding::Integer {
                values: integers()?,
                precision: unit_precision(*unit),
                is_local: zone.is_none() && mapping.zone.is_some(),
            },
            DataType::Date64 => TimeEncoding::Integer {
                values: integers()?,
                precision: Precision::Millisecond,
                is_local: mapping.zone.is_some(),
            },
            DataType::Date32 => TimeEncoding::Days(integers()?),
            data_type if has_numeric_time(data_type) || is_text(data_type) => {
                Self::encoding_of_values(column, &mapping.format, precision)?
            }
            _ => return Ok(None),
        };
        Ok(Some(Self {
            column: ArrayRef::clone(column),
            nulls: column.logical_nulls(),
            encoding,
            zone: mapping.zone,
        }))
    }

    fn encoding_of_values(
        column: &ArrayRef,
        format: &TimeFormat,
        precision: Precision,
    ) -> Result<TimeEncoding, ArrowError> {
        let texts = || -> Result<StringArray, ArrowError> {
            Ok(cast(column, &DataType::Utf8)?.as_string().clone())
        };
        let data_type = column.data_type();
        let precision = match format {
            TimeFormat::Rfc3339 => {
                return Ok(TimeEncoding::Rfc3339 {
                    values: texts()?,
                    precision: None,
                });
            }
            TimeFormat::Strftime(pattern) => {
                return Ok(TimeEncoding::Strftime {
                    values: texts()?,
                    pattern: pattern.clone(),
                });
            }
            TimeFormat::Auto if is_text(data_type) => {
                return Ok(TimeEncoding::Rfc3339 {
                    values: texts()?,
                    precision: Some(precision),
                });
            }
            TimeFormat::Auto => precision,
            TimeFormat::Unit(unit) => *unit,
        };
        Ok(if data_type.is_integer() {
            TimeEncoding::Integer {
                values: cast(column, &DataType::Int64)?.as_primitive().clone(),
                precision,
                is_local: false,
            }
        } else if is_text(data_type) {
            TimeEncoding::Rfc3339 {
                values: texts()?,
                precision: Some(precision),
            }
        } else {
            TimeEncoding::Float {
                values: cast(column, &DataType::Float64)?.as_primitive().clone(),
                precision,
            }
        })
    }

    /// Returns the time of each row in nanoseconds, and the rows whose time is refused. Rows without a time get
    /// `default_time`.
    pub(crate) fn decode_all(&self, default_time: i64) -> (Vec<i64>, Option<BooleanBuffer>) {
        let mut all_valid = true;
        let times = (0..self.column.len()).map(|row| {
            let time = self.decode(row, default_time);
            all_valid &= time.is_ok();
            time.unwrap_or_default()
        });
        let times = times.collect();
        let refused = (!all_valid).then(|| {
            BooleanBuffer::collect_bool(self.column.len(), |row| {
                self.decode(row, default_time).is_err()
            })
        });
        (times, refused)
    }

    /// Returns whether a row has a time of its own.
    pub(crate) fn has_time(&self, row: usize) -> bool {
        let is_valid = self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        let is_blank = match &self.encoding {
            TimeEncoding::Rfc3339 { values, .. } => values.value(row).trim().is_empty(),
            _ => false,
        };
        is_valid && !is_blank
    }

    /// Returns the time of a row in nanoseconds.
    pub(crate) fn decode(&self, row: usize, default_time: i64) -> Result<i64, RowRefusal> {
        if !self.has_time(row) {
            return Ok(default_time);
        }
        let time = match &self.encoding {
            TimeEncoding::Integer {
                values,
                precision,
                is_local,
            } if values.is_valid(row) => {
                let value = values.value(row);
                let nanos = precision
                    .to_nanos(value)
                    .ok_or(RowRefusal::TimestampOutOfRange(value, *precision))?;
                if *is_local {
                    self.to_utc(DateTime::from_timestamp_nanos(nanos).naive_utc())
                } else {
                    Some(nanos)
                }
            }
            TimeEncoding::Integer { .. } => None,
            TimeEncoding::Float { values, precision } => {
                float_to_nanos(values.value(row), *precision)
            }
            TimeEncoding::Days(values) => {
                let nanos = values.value(row).checked_mul(NANOS_PER_DAY);
                match (nanos, self.zone) {
                    (Some(nanos), Some(_)) => {
                        self.to_utc(DateTime::from_timestamp_nanos(nanos).naive_utc())
                    }
                    (nanos, _) => nanos,
                }
            }
            TimeEncoding::Rfc3339 { values, precision } => {
                return self.parse_text(values.value(row), *precision);
            }
            TimeEncoding::Strftime { values, pattern } => {
                self.parse_pattern(values.value(row), pattern)
            }
        };
        time.ok_or_else(|| RowRefusal::Timestamp(render_value(self.column.as_ref(), row)))
    }

    fn parse_text(&self, text: &str, precision: Option<Precision>) -> Result<i64, RowRefusal> {
        let text = text.trim();
        let refusal = || RowRefusal::Timestamp(text.to_owned());
        if let Some(precision) = precision {
            if let Ok(value) = text.parse::<i64>() {
                return precision
                    .to_nanos(value)
                    .ok_or(RowRefusal::TimestampOutOfRange(value, precision));
            }
            if let Ok(value) = text.parse::<f64>() {
                return float_to_nanos(value, precision).ok_or_else(refusal);
            }
        }
        let nanos = match self.zone {
            Some(zone) => string_to_datetime(&zone, text)
                .ok()
                .and_then(|time| time.timestamp_nanos_opt()),
            None => string_to_datetime(&Utc, text)
                .ok()
                .and_then(|time| time.timestamp_nanos_opt()),
        };
        nanos.ok_or_else(refusal)
    }

    fn parse_pattern(&self, text: &str, pattern: &str) -> Option<i64> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, StrftimeItems::new(pattern)).ok()?;
        if parsed.offset().is_some() {
            return parsed.to_datetime().ok()?.timestamp_nanos_opt();
        }
        if parsed.timestamp().is_some() {
            let time = parsed.to_naive_datetime_with_offset(0).ok()?;
            return time.and_utc().timestamp_nanos_opt();
        }
        let local = match parsed.to_naive_datetime_with_offset(0) {
            Ok(local) => local,
            Err(_) => parsed.to_naive_date().ok()?.and_time(NaiveTime::MIN),
        };
        self.to_utc(local)
    }

    /// Returns a time of the zone in nanoseconds; `None` if the zone skips or repeats it, or if it does not fit.
    fn to_utc(&self, local: NaiveDateTime) -> Option<i64> {
        match self.zone {
            Some(zone) => zone
                .from_local_datetime(&local)
                .single()?
                .timestamp_nanos_opt(),
            None => local.and_utc().timestamp_nanos_opt(),
        }
    }
}

fn has_numeric_time(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_floating() || data_type.is_decimal()
}

/// Returns whether the type of a time column has times.
pub(crate) fn has_times(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Null => true,
        DataType::Dictionary(_, values) => has_times(values),
        DataType::RunEndEncoded(_, values) => has_times(values.data_type()),
        data_type => has_numeric_time(data_type) || is_text(data_type),
    }
}

fn unit_precision(unit: TimeUnit) -> Precision {
    match unit {
        TimeUnit::Second => Precision::Second,
        TimeUnit::Millisecond => Precision::Millisecond,
        TimeUnit::Microsecond => Precision::Microsecond,
        TimeUnit::Nanosecond => Precision::Nanosecond,
    }
}

/// Returns a number of units in nanoseconds; `None` if it does not fit.
///
/// The fraction is converted apart, because a float of today's nanoseconds is exact to 256 ns only.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the whole part is checked, and the fraction is less than a unit"
)]
fn float_to_nanos(value: f64, precision: Precision) -> Option<i64> {
    /// 2^63, the first float that is too large.
    const END: f64 = 9_223_372_036_854_775_808.0;
    let whole = value.trunc();
    if !(-END..END).contains(&whole) {
        return None;
    }
    let whole = whole as i64;
    let unit = precision.unit_nanos(whole);
    let fraction = (value.fract() * unit as f64).round() as i64;
    whole.checked_mul(unit)?.checked_add(fraction)
}
