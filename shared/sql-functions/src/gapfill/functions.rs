//! The functions that stand for gap filling in SQL: `date_bin_gapfill`,
//! `date_bin_wallclock_gapfill`, `locf` and `interpolate`. None of them is ever executed.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::functions::datetime::date_bin;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::wallclock::{self, DateBinWallclock, OriginKind};

/// What the bins of a gap-filling query are aligned with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Clock {
    /// `date_bin`: an instant.
    Instants,
    /// `date_bin_wallclock`: the clock on the wall in the time's zone.
    Wall,
}

impl Clock {
    /// The function that computes the bin of a time.
    pub(super) fn binning_function(self) -> Arc<ScalarUDF> {
        match self {
            Self::Instants => date_bin(),
            Self::Wall => Arc::new(ScalarUDF::from(DateBinWallclock::new())),
        }
    }
}

/// How a column gets values in bins that have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fill {
    /// `locf`: the last observation is carried forward.
    Locf,
    /// `interpolate`: on the straight line between the neighbours, NULL before the first and after
    /// the last.
    Interpolate,
}

/// The meaning of a [`Placeholder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Meaning {
    Bin(Clock),
    Fill(Fill),
}

/// One of the functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Placeholder {
    meaning: Meaning,
    signature: Signature,
}

impl Placeholder {
    /// All of them.
    pub(crate) fn all() -> [Self; 4] {
        let fill = || Signature::user_defined(Volatility::Immutable);
        [
            (
                Meaning::Bin(Clock::Instants),
                wallclock::signature(OriginKind::Instant),
            ),
            (
                Meaning::Bin(Clock::Wall),
                wallclock::signature(OriginKind::Local),
            ),
            (Meaning::Fill(Fill::Locf), fill()),
            (Meaning::Fill(Fill::Interpolate), fill()),
        ]
        .map(|(meaning, signature)| Self { meaning, signature })
    }

    /// The meaning and the arguments of `expr` if it is a call of one of the functions.
    pub(super) fn called_by(expr: &Expr) -> Option<(Meaning, &[Expr])> {
        match expr {
            Expr::ScalarFunction(call) => call
                .func
                .inner()
                .downcast_ref::<Self>()
                .map(|called| (called.meaning, call.args.as_slice())),
            _ => None,
        }
    }
}

impl Meaning {
    /// The function's name in SQL.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bin(Clock::Instants) => "date_bin_gapfill",
            Self::Bin(Clock::Wall) => "date_bin_wallclock_gapfill",
            Self::Fill(Fill::Locf) => "locf",
            Self::Fill(Fill::Interpolate) => "interpolate",
        }
    }
}

impl ScalarUDFImpl for Placeholder {
    fn name(&self) -> &str {
        self.meaning.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match (self.meaning, types) {
            (Meaning::Fill(Fill::Locf), [any]) => Ok(vec![any.clone()]),
            (Meaning::Fill(Fill::Interpolate), [number]) if can_interpolate(number) => {
                Ok(vec![number.clone()])
            }
            (Meaning::Fill(Fill::Interpolate), [other]) => {
                plan_err!("interpolate takes numbers only, not {other}")
            }
            _ => plan_err!("{} takes one aggregate", self.name()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let time_or_value = match self.meaning {
            Meaning::Bin(_) => types.get(1),
            Meaning::Fill(_) => types.first(),
        };
        match time_or_value {
            Some(data_type) => Ok(data_type.clone()),
            None => plan_err!("{} lacks an argument", self.name()),
        }
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{} can only be used in a gap-filling query", self.name())
    }
}

/// Numbers, and selectors of numbers.
fn can_interpolate(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields
            .find("value")
            .is_some_and(|(_, value)| value.data_type().is_numeric()),
        other => other.is_numeric() || other.is_null(),
    }
}
