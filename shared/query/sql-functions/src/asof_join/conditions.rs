//! The conditions of a match in an execution plan, and the order of inputs that they need.

use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::{
    common::{JoinType, Result, internal_err},
    logical_expr::Operator,
    physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr},
};

/// The expressions of one input.
#[derive(Debug, Clone)]
pub(super) struct JoinInputExprs {
    pub(super) keys: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) time: Arc<dyn PhysicalExpr>,
}

impl JoinInputExprs {
    pub(super) const KEY_ORDER: SortOptions = SortOptions { descending: false, nulls_first: true };
}

/// The conditions of a match.
#[derive(Debug, Clone)]
pub(super) struct AsOfConditions {
    /// The expressions of both inputs that are equal.
    pub(super) on: Vec<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)>,
    /// The expressions of both inputs that are compared with `operator`.
    pub(super) times: (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>),
    pub(super) operator: Operator,
    pub(super) join_type: JoinType,
}

impl AsOfConditions {
    pub(super) fn left(&self) -> JoinInputExprs {
        JoinInputExprs {
            keys: self.on.iter().map(|(left, _)| Arc::clone(left)).collect(),
            time: Arc::clone(&self.times.0),
        }
    }

    pub(super) fn right(&self) -> JoinInputExprs {
        JoinInputExprs {
            keys: self.on.iter().map(|(_, right)| Arc::clone(right)).collect(),
            time: Arc::clone(&self.times.1),
        }
    }

    /// The order of the times of inputs: from the latest one on if matches are later, so that matches always come first.
    pub(super) fn time_order(&self) -> SortOptions {
        SortOptions {
            descending: matches!(self.operator, Operator::Lt | Operator::LtEq),
            nulls_first: true,
        }
    }

    /// Returns the order of an input: keys, then times.
    pub(super) fn ordering(&self, input: &JoinInputExprs) -> Result<LexOrdering> {
        let keys = input
            .keys
            .iter()
            .map(|key| PhysicalSortExpr::new(Arc::clone(key), JoinInputExprs::KEY_ORDER));
        let time = PhysicalSortExpr::new(Arc::clone(&input.time), self.time_order());
        match LexOrdering::new(keys.chain([time])) {
            Some(ordering) => Ok(ordering),
            None => internal_err!("an ASOF JOIN compares times"),
        }
    }
}
