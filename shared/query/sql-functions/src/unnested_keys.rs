//! Columns that are a key of the rows below `unnest`, which DataFusion 55.2 takes for a key of the rows above it.
//!
//! An aggregate has one row for each group. `unnest` makes several rows of one, but the plan still says that all columns follow
//! from those of the group. So `ORDER BY` and `GROUP BY` ignore other columns, and `DISTINCT` keeps equal rows. A key that is the
//! result of a function is none for DataFusion.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::{
    common::{
        Column, DataFusionError, Result, internal_datafusion_err, internal_err,
        tree_node::{Transformed, TreeNode},
    },
    config::ConfigOptions,
    logical_expr::{
        ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs,
        ScalarUDF, ScalarUDFImpl, Signature, Unnest, Volatility,
    },
    optimizer::{
        AnalyzerRule, OptimizerContext, OptimizerRule, optimize_projections::OptimizeProjections,
    },
};

use crate::plan_schemas::with_computed_schemas;

/// Returns its argument.
static HIDDEN_KEY: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(HiddenKeyFunction { signature }.into())
});

/// Returns the function that the rule adds to plans.
pub(crate) fn hidden_key() -> Arc<ScalarUDF> {
    Arc::clone(&HIDDEN_KEY)
}

/// Hides the keys of the rows that are unnested.
#[derive(Debug)]
pub(crate) struct UnnestedKeysRule;

impl AnalyzerRule for UnnestedKeysRule {
    fn name(&self) -> &'static str {
        "hide_unnested_keys"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let is_affected = plan.exists(|node| {
            Ok(matches!(node, LogicalPlan::Unnest(unnest) if !keys(unnest).is_empty()))
        })?;
        if !is_affected {
            return Ok(plan);
        }
        // The planner has added columns that follow from a key to `GROUP BY`. Those that nothing reads go while they still follow.
        let pruned = OptimizeProjections::new().rewrite(plan, &OptimizerContext::new())?.data;
        with_computed_schemas(pruned.transform_up_with_subqueries(with_hidden_keys)?.data)
    }
}

fn with_hidden_keys(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Unnest(unnest) = &node else {
        return Ok(Transformed::no(node));
    };
    let schema = unnest.input.schema();
    let keys = keys(unnest);
    if keys.is_empty() {
        return Ok(Transformed::no(node));
    }
    let columns = schema.iter().enumerate().map(|(index, (relation, field))| {
        let column = Expr::Column(Column::new(relation.cloned(), field.name()));
        if keys.contains(&index) {
            HIDDEN_KEY.call(vec![column]).alias_qualified(relation.cloned(), field.name())
        } else {
            column
        }
    });
    let input = LogicalPlanBuilder::from(unnest.input.as_ref().clone())
        .project(columns)?
        .build()?;
    let hidden = LogicalPlan::Unnest(Unnest {
        input: Arc::new(input),
        ..unnest.clone()
    });
    hidden.recompute_schema().map(Transformed::yes)
}

/// Returns the indices of the columns of keys.
fn keys(unnest: &Unnest) -> BTreeSet<usize> {
    let dependencies = unnest.input.schema().functional_dependencies().iter();
    dependencies.flat_map(|one| one.source_indices.iter().copied()).collect()
}

/// A function that returns its argument.
#[derive(Debug, PartialEq, Eq, Hash)]
struct HiddenKeyFunction {
    signature: Signature,
}

impl ScalarUDFImpl for HiddenKeyFunction {
    fn name(&self) -> &'static str {
        "hidden_key"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type follows from the field of the argument")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let field = args.arg_fields.first();
        field.map(Arc::clone).ok_or_else(no_argument)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        args.args.into_iter().next().ok_or_else(no_argument)
    }
}

fn no_argument() -> DataFusionError {
    internal_datafusion_err!("hidden_key has an argument")
}
