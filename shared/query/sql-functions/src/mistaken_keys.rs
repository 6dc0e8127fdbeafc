//! Columns that are a key of the rows below an operator, which DataFusion 55.2 takes for a key of the rows above it.
//!
//! An aggregate has one row for each group, as has `DISTINCT`, and `row_number` another number in each row. The plan says that all
//! columns follow from these. So `ORDER BY` and `GROUP BY` ignore other columns, and `DISTINCT` and joins are left out. This is
//! passed on where it does not hold:
//!
//! * `unnest` makes several rows of one.
//! * After a join, the key of one side determines the columns of that side. Groups by these and others are taken for groups by
//!   the key: `SELECT DISTINCT g.k, o.v FROM (SELECT k, max(v) AS m ... GROUP BY k) AS g JOIN o ...`.
//! * A conversion has the name of its argument, and so `GROUP BY k::BOOLEAN, v` is taken for `GROUP BY k, v`.
//!
//! A key that is the result of a function is none for DataFusion.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::{
    common::{
        Column, DFSchema, DataFusionError, FunctionalDependence, Result, TableReference,
        internal_datafusion_err, internal_err,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    config::ConfigOptions,
    logical_expr::{
        Aggregate, ColumnarValue, Distinct, Expr, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs,
        ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
    optimizer::AnalyzerRule,
};

/// Returns its argument.
static HIDDEN_KEY: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(HiddenKeyFunction { signature }.into())
});

/// Returns the function that the rule adds to plans.
pub(crate) fn hidden_key() -> Arc<ScalarUDF> {
    Arc::clone(&HIDDEN_KEY)
}

/// Hides the keys of the inputs of operators that would pass on wrong ones.
#[derive(Debug)]
pub(crate) struct MistakenKeysRule;

impl AnalyzerRule for MistakenKeysRule {
    fn name(&self) -> &'static str {
        "hide_mistaken_keys"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        if !may_mistake_keys(&plan)? {
            return Ok(plan);
        }
        // The planner of relations has left out keys, and those above a hidden key are gone.
        plan.transform_up_with_subqueries(|node| with_hidden_keys(node.recompute_schema()?))
            .data()
    }
}

/// Whether an operator has an input with keys that it may pass on wrongly.
fn may_mistake_keys(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::Unnest(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => {
                for input in node.inputs() {
                    found |= input.exists(|below| Ok(creates_keys(below)))?;
                }
            }
            LogicalPlan::Sort(sort) => {
                let exprs = sort.expr.iter().map(|order| &order.expr);
                found |= !NamedColumns::new(sort.input.schema(), exprs).converted.is_empty();
            }
            _ => {}
        }
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(found)
}

fn creates_keys(node: &LogicalPlan) -> bool {
    matches!(
        node,
        LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) | LogicalPlan::Window(_)
    )
}

fn with_hidden_keys(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let known = with_keys_of_distinct(node)?;
    let keys = mistaken_keys(&known);
    if keys.is_empty() {
        return Ok(Transformed::yes(known));
    }
    known
        .map_children(|input| with_hidden_columns(input, &keys).map(Transformed::yes))?
        .map_data(LogicalPlan::recompute_schema)
}

/// Replaces `DISTINCT` by the aggregate that an optimizer rule makes of it. The plan does not know the key of its rows before.
fn with_keys_of_distinct(node: LogicalPlan) -> Result<LogicalPlan> {
    match node {
        LogicalPlan::Distinct(Distinct::All(input)) if !input.schema().fields().is_empty() => {
            let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
            Aggregate::try_new(input, columns, Vec::new()).map(LogicalPlan::Aggregate)
        }
        other => Ok(other),
    }
}

fn with_hidden_columns(plan: LogicalPlan, hidden: &BTreeSet<usize>) -> Result<LogicalPlan> {
    let with_hidden =
        |(index, (relation, field)): (usize, (Option<&TableReference>, &FieldRef))| {
            let column = Expr::Column(Column::new(relation.cloned(), field.name()));
            if hidden.contains(&index) {
                HIDDEN_KEY.call(vec![column]).alias_qualified(relation.cloned(), field.name())
            } else {
                column
            }
        };
    let columns: Vec<Expr> = plan.schema().iter().enumerate().map(with_hidden).collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// Returns the indices of the columns of the input of an operator that DataFusion would take for a key of its rows, although they
/// are none.
fn mistaken_keys(node: &LogicalPlan) -> BTreeSet<usize> {
    match node {
        LogicalPlan::Unnest(unnest) => keys(unnest.input.schema(), |_| true),
        LogicalPlan::Aggregate(aggregate) => {
            keys_of_groups(aggregate.input.schema(), &aggregate.group_expr)
        }
        LogicalPlan::Distinct(Distinct::On(distinct)) => {
            keys_of_groups(distinct.input.schema(), &distinct.on_expr)
        }
        LogicalPlan::Sort(sort) => {
            let exprs = sort.expr.iter().map(|order| &order.expr);
            let named = NamedColumns::new(sort.input.schema(), exprs);
            keys(sort.input.schema(), |key| named.converts(key))
        }
        _ => BTreeSet::new(),
    }
}

/// Returns the columns of keys that an aggregate with these groups would pass on wrongly.
fn keys_of_groups(schema: &DFSchema, groups: &[Expr]) -> BTreeSet<usize> {
    // DataFusion derives no keys from grouping sets.
    if groups.iter().any(|group| matches!(group, Expr::GroupingSet(_))) {
        return BTreeSet::new();
    }
    let named = NamedColumns::new(schema, groups);
    keys(schema, |key| {
        let is_grouped = key.source_indices.iter().all(|column| named.all.contains(column));
        let is_key = !named.converts(key) && determines_all(key, named.read.iter().copied());
        is_grouped && !is_key
    })
}

/// Returns the columns of those keys that meet a condition.
fn keys(schema: &DFSchema, condition: impl Fn(&FunctionalDependence) -> bool) -> BTreeSet<usize> {
    let dependencies = schema.functional_dependencies().iter();
    dependencies
        .filter(|&key| condition(key))
        .flat_map(|key| key.source_indices.iter().copied())
        .collect()
}

fn determines_all(key: &FunctionalDependence, columns: impl IntoIterator<Item = usize>) -> bool {
    columns
        .into_iter()
        .all(|column| key.target_indices.contains(&column) || key.source_indices.contains(&column))
}

/// Columns of the input of an operator, by its expressions.
#[derive(Debug, Default)]
struct NamedColumns {
    /// Those with the name of an expression.
    all: BTreeSet<usize>,
    /// Those with the name of an expression that has another value.
    converted: BTreeSet<usize>,
    /// Those that an expression reads.
    read: BTreeSet<usize>,
}

impl NamedColumns {
    fn new<'a>(schema: &DFSchema, exprs: impl IntoIterator<Item = &'a Expr>) -> Self {
        let names = schema.field_names();
        let mut columns = Self::default();
        for expr in exprs {
            let name = expr.schema_name().to_string();
            if let Some(named) = names.iter().position(|known| *known == name) {
                columns.all.insert(named);
                if !matches!(expr, Expr::Column(_)) {
                    columns.converted.insert(named);
                }
            }
            let read = expr.column_refs().into_iter();
            columns
                .read
                .extend(read.filter_map(|column| schema.maybe_index_of_column(column)));
        }
        columns
    }

    /// Whether a column of a key has the name of an expression that has another value.
    fn converts(&self, key: &FunctionalDependence) -> bool {
        key.source_indices.iter().any(|column| self.converted.contains(column))
    }
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
