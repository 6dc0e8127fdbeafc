//! DataFusion's `lag` and `lead`, without its errors.
//!
//! * With `IGNORE NULLS`, the evaluator that sees a partition in parts forgets rows past a gap of nulls
//!   (<https://github.com/apache/datafusion/issues/25471>). The one that sees the whole partition does not.
//! * A limit above the window reaches the rows below it. It must not, if the function reads rows that follow: `lead`, but also
//!   `lag` with a negative offset, and both past any number of nulls.
//! * A function that is evaluated in the reverse order of rows is a flag of its operator, which the encoding for workers leaves
//!   out. The reverse of `lag` is `lead`, whatever the flag says.

use std::sync::{Arc, LazyLock};

use arrow::{array::ArrayRef, datatypes::FieldRef};
use datafusion::{
    common::Result,
    functions_window::lead_lag::{WindowShift, WindowShiftKind},
    logical_expr::{
        Documentation, PartitionEvaluator, ReversedUDWF, Signature, WindowUDF, WindowUDFImpl,
        function::{ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs},
    },
    physical_expr::PhysicalExpr,
};

static LAG: LazyLock<Arc<WindowUDF>> =
    LazyLock::new(|| Arc::new(RowShift(WindowShift::lag()).into()));

static LEAD: LazyLock<Arc<WindowUDF>> =
    LazyLock::new(|| Arc::new(RowShift(WindowShift::lead()).into()));

/// Returns `lag` and `lead`.
pub(crate) fn row_shifts() -> [Arc<WindowUDF>; 2] {
    [Arc::clone(&LAG), Arc::clone(&LEAD)]
}

/// The value of a row that is a number of rows before or after.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RowShift(WindowShift);

impl WindowUDFImpl for RowShift {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn expressions(&self, args: ExpressionArgs<'_>) -> Vec<Arc<dyn PhysicalExpr>> {
        self.0.expressions(args)
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs<'_>,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        let ignores_nulls = args.ignore_nulls();
        // The reverse function is another one already.
        let args = PartitionEvaluatorArgs::new(
            args.input_exprs(),
            args.input_fields(),
            false,
            ignores_nulls,
        );
        let evaluator = self.0.partition_evaluator(args)?;
        Ok(if ignores_nulls {
            Box::new(WholePartition(evaluator))
        } else {
            evaluator
        })
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        self.0.field(args)
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        ReversedUDWF::Reversed(Arc::clone(match self.0.kind() {
            WindowShiftKind::Lag => &LEAD,
            WindowShiftKind::Lead => &LAG,
        }))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }
}

/// An evaluator that sees all rows of a partition at once.
#[derive(Debug)]
struct WholePartition(Box<dyn PartitionEvaluator>);

impl PartitionEvaluator for WholePartition {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        self.0.evaluate_all(values, rows)
    }
}
