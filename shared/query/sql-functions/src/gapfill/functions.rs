//! The gap-filling functions of SQL: `date_bin_gapfill`, `date_bin_wallclock_gapfill`, `locf` and `interpolate`. They
//! are placeholders and are never executed.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::functions::datetime::date_bin;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

use crate::wallclock::{self, DateBinWallclock, OriginKind};

/// The alignment of the bins of a gap-filling query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BinAlignment {
    /// `date_bin`: aligned with an instant.
    Instants,
    /// `date_bin_wallclock`: aligned with the wall clock in the time's zone.
    Wall,
}

impl BinAlignment {
    /// Returns the function that computes the bin of a time.
    pub(super) fn binning_function(self) -> Arc<ScalarUDF> {
        match self {
            Self::Instants => date_bin(),
            Self::Wall => Arc::new(ScalarUDF::from(DateBinWallclock::new())),
        }
    }
}

/// The strategy that fills a column in bins without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum FillStrategy {
    /// `locf`: carries the last observation forward.
    Locf,
    /// `interpolate`: interpolates linearly between the neighbours; NULL before the first and after the last value.
    Interpolate,
}

/// The meaning of a [`GapFillPlaceholder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum GapFillFunction {
    Bin(BinAlignment),
    Fill(FillStrategy),
}

/// A gap-filling function in a plan before the analyzer rule replaces it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct GapFillPlaceholder {
    meaning: GapFillFunction,
    signature: Signature,
}

impl GapFillPlaceholder {
    /// Returns all four functions.
    pub(crate) fn all() -> [Self; 4] {
        let fill = || Signature::user_defined(Volatility::Immutable);
        [
            (
                GapFillFunction::Bin(BinAlignment::Instants),
                with_bounds(wallclock::signature(OriginKind::Instant)),
            ),
            (
                GapFillFunction::Bin(BinAlignment::Wall),
                with_bounds(wallclock::signature(OriginKind::Local)),
            ),
            (GapFillFunction::Fill(FillStrategy::Locf), fill()),
            (GapFillFunction::Fill(FillStrategy::Interpolate), fill()),
        ]
        .map(|(meaning, signature)| Self { meaning, signature })
    }

    /// Returns the meaning and the arguments of `expr` if it is a call of a gap-filling function.
    pub(super) fn called_by(expr: &Expr) -> Option<(GapFillFunction, &[Expr])> {
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

impl GapFillFunction {
    /// Returns the function's name in SQL.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bin(BinAlignment::Instants) => "date_bin_gapfill",
            Self::Bin(BinAlignment::Wall) => "date_bin_wallclock_gapfill",
            Self::Fill(FillStrategy::Locf) => "locf",
            Self::Fill(FillStrategy::Interpolate) => "interpolate",
        }
    }
}

impl ScalarUDFImpl for GapFillPlaceholder {
    fn name(&self) -> &str {
        self.meaning.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match (self.meaning, types) {
            (GapFillFunction::Fill(FillStrategy::Locf), [any]) => Ok(vec![any.clone()]),
            (GapFillFunction::Fill(FillStrategy::Interpolate), [number])
                if can_interpolate(number) =>
            {
                Ok(vec![number.clone()])
            }
            (GapFillFunction::Fill(FillStrategy::Interpolate), [other]) => {
                plan_err!("interpolate takes numbers only, not {other}")
            }
            _ => plan_err!("{} takes one aggregate", self.name()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let time_or_value = match self.meaning {
            GapFillFunction::Bin(_) => types.get(1),
            GapFillFunction::Fill(_) => types.first(),
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

/// Adds calls with the first and the last time of the range after the origin. In others, the predicates of the query
/// bound the range.
fn with_bounds(mut signature: Signature) -> Signature {
    if let TypeSignature::OneOf(calls) = &mut signature.type_signature {
        let bound = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let bounded = calls.iter().filter_map(|call| match call {
            TypeSignature::Exact(types) if types.len() == 3 => {
                let bounds = [bound.clone(), bound.clone()];
                Some(TypeSignature::Exact(types.iter().cloned().chain(bounds).collect()))
            }
            _ => None,
        });
        let bounded: Vec<TypeSignature> = bounded.collect();
        calls.extend(bounded);
    }
    signature
}

/// Returns whether a type can be interpolated: numbers, and selectors of numbers.
fn can_interpolate(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => {
            fields.find("value").is_some_and(|(_, value)| value.data_type().is_numeric())
        }
        other => other.is_numeric() || other.is_null(),
    }
}
