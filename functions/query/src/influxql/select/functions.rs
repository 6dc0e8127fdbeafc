//! The functions of the session that plans are made of.

use std::sync::Arc;

use datafusion::{
    common::Result,
    execution::{FunctionRegistry, SessionState},
    logical_expr::{AggregateUDF, Expr, ScalarUDF, WindowUDF},
};

/// Finds functions of `neap-sql-functions` by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Functions<'a>(pub(super) &'a SessionState);

impl Functions<'_> {
    /// A function of single values.
    pub(super) fn scalar(&self, name: &str) -> Result<Arc<ScalarUDF>> {
        self.0.udf(name)
    }

    /// A call of such a function.
    pub(super) fn call(&self, name: &str, args: Vec<Expr>) -> Result<Expr> {
        Ok(self.scalar(name)?.call(args))
    }

    /// A function of groups.
    pub(super) fn aggregate(&self, name: &str) -> Result<Arc<AggregateUDF>> {
        self.0.udaf(name)
    }

    /// A function of series.
    pub(super) fn window(&self, name: &str) -> Result<Arc<WindowUDF>> {
        self.0.udwf(name)
    }
}
