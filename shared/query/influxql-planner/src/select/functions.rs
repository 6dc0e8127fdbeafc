//! Looks up the session's functions, which plans are made of.

use std::sync::Arc;

use datafusion::{
    common::Result,
    execution::{FunctionRegistry, SessionState},
    logical_expr::{AggregateUDF, Expr, ScalarUDF, WindowUDF},
};

/// Looks up functions of `neap-sql-functions` by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionFunctions<'a>(pub(super) &'a SessionState);

impl SessionFunctions<'_> {
    pub(super) fn scalar(&self, name: &str) -> Result<Arc<ScalarUDF>> {
        self.0.udf(name)
    }

    /// Returns a call of a scalar function.
    pub(super) fn call(&self, name: &str, args: Vec<Expr>) -> Result<Expr> {
        Ok(self.scalar(name)?.call(args))
    }

    pub(super) fn aggregate(&self, name: &str) -> Result<Arc<AggregateUDF>> {
        self.0.udaf(name)
    }

    pub(super) fn window(&self, name: &str) -> Result<Arc<WindowUDF>> {
        self.0.udwf(name)
    }
}
