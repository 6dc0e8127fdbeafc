//! The numbers of data points, and their forms in columns.

use neap_rows::columnar::{ColumnConflict, TableBatch};

use super::ItemError;

/// A number of a data point or an exemplar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Float(f64),
    Integer(i64),
}

impl Number {
    /// Returns the number; `None`: there is none.
    pub(super) fn from_value(
        as_double: Option<f64>,
        as_int: Option<i64>,
    ) -> Result<Option<Self>, ItemError> {
        match (as_double, as_int) {
            (Some(_), Some(_)) => Err(ItemError::SeveralValues),
            (Some(number), None) if !number.is_finite() => Err(ItemError::NotFinite(number)),
            (Some(number), None) => Ok(Some(Self::Float(number))),
            (None, Some(number)) => Ok(Some(Self::Integer(number))),
            (None, None) => Ok(None),
        }
    }

    pub(super) fn add(self, name: &str, row: &mut TableBatch) -> Result<(), ColumnConflict> {
        match self {
            Self::Float(number) => row.float(name, number),
            Self::Integer(number) => row.integer(name, number),
        }
    }
}

/// Whether a number may decrease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberKind {
    Gauge,
    Counter,
}

/// Adds a float field, unless the number is absent, infinite or not a number.
pub(super) fn add_finite(
    row: &mut TableBatch,
    name: &str,
    number: Option<f64>,
) -> Result<(), ItemError> {
    match number.filter(|number| number.is_finite()) {
        Some(number) => Ok(row.float(name, number)?),
        None => Ok(()),
    }
}

/// Converts a count to a float, as all counts of the prometheus schemas are stored.
#[expect(
    clippy::cast_precision_loss,
    reason = "the schemas store counts as floats"
)]
pub(super) fn count_float(count: u64) -> f64 {
    count as f64
}

/// Returns a bound or a quantile as text without an exponent.
pub(super) fn bound_text(bound: f64) -> String {
    match bound {
        _ if bound.is_finite() => bound.to_string(),
        _ if bound.is_nan() => "NaN".to_owned(),
        _ if bound > 0.0 => "+Inf".to_owned(),
        _ => "-Inf".to_owned(),
    }
}
