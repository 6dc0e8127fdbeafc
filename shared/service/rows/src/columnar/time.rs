//! The times of a batch.

use arrow_array::{
    Array, ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray, cast::AsArray,
    timezone::Tz,
};
use arrow_buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow_cast::parse::string_to_datetime;
use arrow_schema::{ArrowError, DataType, TimeUnit};
use chrono::{
    DateTime, NaiveDateTime, NaiveTime, TimeZone, Utc,
    format::{Parsed, StrftimeItems, parse},
};

use crate::{
    columnar::{
        cast::cast,
        convert::{is_moment, is_text, widen_decimals},
        error::RowRefusal,
        mapping::{TimeColumn, TimeFormat},
        render::render_value,
    },
    line_protocol::Precision,
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
    /// Numbers with digits after the point: as many as the scale of the array says.
    Decimal {
        values: Decimal128Array,
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
                return Ok(TimeEncoding::Rfc3339 { values: texts()?, precision: None });
            }
            TimeFormat::Strftime(pattern) => {
                return Ok(TimeEncoding::Strftime { values: texts()?, pattern: pattern.clone() });
            }
            TimeFormat::Auto if is_text(data_type) => {
                return Ok(TimeEncoding::Rfc3339 { values: texts()?, precision: Some(precision) });
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
            TimeEncoding::Rfc3339 { values: texts()?, precision: Some(precision) }
        } else if data_type.is_decimal() {
            TimeEncoding::Decimal { values: widen_decimals(column)?, precision }
        } else {
            TimeEncoding::Float {
                values: cast(column, &DataType::Float64)?.as_primitive().clone(),
                precision,
            }
        })
    }

    /// Returns the time of each row in nanoseconds, and the rows whose time is refused. Rows without a time get
    /// `default_time`.
    pub(crate) fn decode_all(
        &self,
        default_time: i64,
    ) -> (ScalarBuffer<i64>, Option<BooleanBuffer>) {
        if let TimeEncoding::Integer { values, precision: Precision::Nanosecond, is_local: false } =
            &self.encoding
            && self.nulls.is_none()
            && values.null_count() == 0
        {
            return (shared_or_copied(values.values()), None);
        }
        let mut all_valid = true;
        let times = (0..self.column.len()).map(|row| {
            let time = self.decode(row, default_time);
            all_valid &= time.is_ok();
            time.unwrap_or_default()
        });
        let times = times.collect::<Vec<_>>().into();
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
            TimeEncoding::Integer { values, precision, is_local } if values.is_valid(row) => {
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
            // A value that does not fit in 128 bits has become null.
            TimeEncoding::Decimal { values, precision } => values
                .is_valid(row)
                .then(|| Decimal { digits: values.value(row), scale: i32::from(values.scale()) })
                .and_then(|decimal| decimal.to_nanos(*precision)),
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
            if let Some(value) = Decimal::parse(text) {
                return value.to_nanos(precision).ok_or_else(refusal);
            }
        }
        let nanos = match self.zone {
            Some(zone) => {
                string_to_datetime(&zone, text).ok().and_then(|time| time.timestamp_nanos_opt())
            }
            None => string_to_datetime(&Utc, text).ok().and_then(|time| time.timestamp_nanos_opt()),
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
            Some(zone) => zone.from_local_datetime(&local).single()?.timestamp_nanos_opt(),
            None => local.and_utc().timestamp_nanos_opt(),
        }
    }
}

/// Returns the values without copying them, unless they are a small part of their memory, such as of the body of a message,
/// which would be kept with them.
fn shared_or_copied(values: &ScalarBuffer<i64>) -> ScalarBuffer<i64> {
    let buffer = values.inner();
    if buffer.capacity() / 2 > buffer.len() {
        values.to_vec().into()
    } else {
        values.clone()
    }
}

fn has_numeric_time(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_floating() || data_type.is_decimal()
}

/// Returns whether the type of a time column has times. Of dictionaries and runs, only one level is decoded.
pub(crate) fn has_times(data_type: &DataType) -> bool {
    let are_times =
        |values: &DataType| is_moment(values) || has_numeric_time(values) || is_text(values);
    match data_type {
        DataType::Null => true,
        DataType::Dictionary(_, values) => are_times(values),
        DataType::RunEndEncoded(_, values) => are_times(values.data_type()),
        data_type => are_times(data_type),
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

/// An exact number with a fraction: `digits` divided by 10 to the power of `scale`.
#[derive(Clone, Copy, Debug)]
struct Decimal {
    digits: i128,
    scale: i32,
}

impl Decimal {
    /// Maximum number of digits after the point. More are cut: they are much less than a nanosecond.
    const MAX_SCALE: u32 = 18;

    /// Parses digits with an optional sign, point and exponent. Returns `None` if the text is not such a number.
    fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let end = fraction.len().min(Self::MAX_SCALE as usize);
        let fraction = fraction.get(..end)?;
        let digits = [whole, fraction].concat().parse().ok()?;
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        Some(Self { digits, scale })
    }

    /// Returns a number of units in nanoseconds; `None` if it does not fit.
    fn to_nanos(self, precision: Precision) -> Option<i64> {
        if self.digits == 0 {
            return Some(0);
        }
        let Ok(scale) = u32::try_from(self.scale) else {
            let factor = 10i128.checked_pow(self.scale.unsigned_abs())?;
            let whole = i64::try_from(self.digits.checked_mul(factor)?).ok()?;
            return precision.to_nanos(whole);
        };
        let extra = scale.saturating_sub(Self::MAX_SCALE);
        // A divisor that does not fit is larger than all digits.
        let digits = 10i128.checked_pow(extra).map_or(0, |divisor| self.digits / divisor);
        let divisor = 10i128.checked_pow(scale - extra)?;
        let whole = i64::try_from(digits / divisor).ok()?;
        let unit = precision.unit_nanos(whole);
        let nanos = digits % divisor * i128::from(unit);
        let half = divisor / 2 * nanos.signum();
        let fraction = i64::try_from((nanos + half) / divisor).ok()?;
        whole.checked_mul(unit)?.checked_add(fraction)
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
