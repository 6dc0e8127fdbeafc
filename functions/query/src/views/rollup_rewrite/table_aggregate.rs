//! Aggregates of one table, in queries and in the queries of views.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::DataType;
use datafusion::{
    common::{
        Column, DFSchema, Result, plan_err,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    execution::SessionState,
    logical_expr::{
        Aggregate, Expr, ExprSchemable, LogicalPlan, Projection, utils::split_conjunction,
    },
};
use neap_catalog::{DatabaseCatalog, Table, ViewWindows};
use neap_schema::TIME_COLUMN;

use crate::views::definition::{DATE_BIN, bin_windows, source_table};

/// An aggregate of the rows of one table that meet conditions.
#[derive(Debug)]
pub(super) struct TableAggregate<'a> {
    /// The plan.
    pub(super) aggregate: &'a Aggregate,
    pub(super) source: Arc<Table>,
    pub(super) keys: Vec<GroupingKey>,
    /// The conditions, with qualified columns of the table.
    pub(super) conditions: Vec<&'a Expr>,
    columns: TableColumns,
}

/// The columns of the input of an aggregate, as expressions over the columns of the table.
#[derive(Debug)]
struct TableColumns {
    schema: Arc<DFSchema>,
    /// The columns of a projection above the table, by name; `None` if there is no projection.
    projected: Option<HashMap<String, Expr>>,
}

/// A key of the groups of an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GroupingKey {
    /// `date_bin(length, time[, origin])`
    Window(ViewWindows),
    /// The tag with this name.
    Tag(String),
}

impl<'a> TableAggregate<'a> {
    /// Analyses an aggregate; `None` if it has another form.
    pub(super) fn from_plan(
        state: &SessionState,
        catalog: &DatabaseCatalog,
        aggregate: &'a Aggregate,
    ) -> Option<Self> {
        let mut conditions = Vec::new();
        let mut projected = None;
        let mut node = aggregate.input.as_ref();
        loop {
            node = match node {
                LogicalPlan::Filter(filter) => {
                    conditions.extend(split_conjunction(&filter.predicate));
                    &filter.input
                }
                LogicalPlan::SubqueryAlias(alias) => &alias.input,
                // Conditions above a projection have other columns than the table.
                LogicalPlan::Projection(projection)
                    if conditions.is_empty() && projected.is_none() =>
                {
                    projected = Some(projected_columns(projection)?);
                    &projection.input
                }
                LogicalPlan::TableScan(scan) => {
                    let is_whole = scan.filters.is_empty() && scan.fetch.is_none();
                    is_whole.then_some(())?;
                    break;
                }
                _ => return None,
            };
        }
        let source = source_table(catalog, node).ok()?;
        let columns = TableColumns {
            schema: Arc::new(DFSchema::try_from(source.arrow_schema()).ok()?),
            projected,
        };
        let keys = aggregate.group_expr.iter().map(|key| {
            let of_table = columns.of_table(key.clone().unalias_nested().data).ok()?;
            grouping_key(state, source, &columns.schema, of_table)
        });
        Some(Self {
            aggregate,
            keys: keys.collect::<Option<_>>()?,
            conditions,
            source: Arc::clone(source),
            columns,
        })
    }

    /// Returns an expression over the input of the aggregate as one over the columns of the table, without qualifiers, and
    /// without conversions to the type that a value has.
    pub(super) fn of_table(&self, expr: Expr) -> Result<Expr> {
        self.columns.of_table(expr)
    }

    /// Returns the windows by which the rows are grouped; the inner `None`: by none; the outer `None`: by several.
    pub(super) fn windows(&self) -> Option<Option<ViewWindows>> {
        let mut windows = self.keys.iter().filter_map(|key| match key {
            GroupingKey::Window(windows) => Some(*windows),
            GroupingKey::Tag(_) => None,
        });
        let first = windows.next();
        windows.next().is_none().then_some(first)
    }

    /// Returns the tags by which the rows are grouped.
    pub(super) fn tags(&self) -> impl Iterator<Item = &String> {
        self.keys.iter().filter_map(|key| match key {
            GroupingKey::Window(_) => None,
            GroupingKey::Tag(tag) => Some(tag),
        })
    }

    /// Returns the aggregate functions, over unqualified columns of the table.
    pub(super) fn functions(&self) -> Result<Vec<Expr>> {
        let functions = self.aggregate.aggr_expr.iter();
        functions
            .map(|function| self.of_table(function.clone().unalias_nested().data))
            .collect()
    }
}

impl TableColumns {
    fn of_table(&self, expr: Expr) -> Result<Expr> {
        let over_table = expr.transform_down(|expr| {
            let Expr::Column(column) = expr else {
                return Ok(Transformed::no(expr));
            };
            let of_table = match &self.projected {
                None => Expr::Column(Column::new_unqualified(column.name)),
                Some(projected) => match projected.get(&column.name) {
                    Some(expr) => expr.clone(),
                    None => return plan_err!("the input has no column '{}'", column.name),
                },
            };
            Ok(Transformed::new(of_table, true, TreeNodeRecursion::Jump))
        })?;
        let without_casts = over_table.data.transform_up(|expr| {
            Ok(match expr {
                Expr::Cast(cast) if self.has_type(&cast.expr, cast.field.data_type()) => {
                    Transformed::yes(*cast.expr)
                }
                other => Transformed::no(other),
            })
        });
        without_casts.data()
    }

    fn has_type(&self, expr: &Expr, data_type: &DataType) -> bool {
        expr.get_type(&self.schema).is_ok_and(|known| known == *data_type)
    }
}

/// Returns the columns of a projection by their names; `None` if its column `time` is not that of its input.
fn projected_columns(projection: &Projection) -> Option<HashMap<String, Expr>> {
    let fields = projection.schema.fields().iter();
    let columns: HashMap<String, Expr> = fields
        .zip(&projection.expr)
        .map(|(field, expr)| {
            let expr = unqualified(expr.clone().unalias()).ok()?;
            Some((field.name().clone(), expr))
        })
        .collect::<Option<_>>()?;
    let time = columns.get(TIME_COLUMN)?;
    let is_time = matches!(time, Expr::Column(column) if column.name == TIME_COLUMN);
    is_time.then_some(columns)
}

fn grouping_key(
    state: &SessionState,
    source: &Table,
    schema: &Arc<DFSchema>,
    key: Expr,
) -> Option<GroupingKey> {
    match key {
        Expr::ScalarFunction(call) if call.func.name() == DATE_BIN => {
            let windows = bin_windows(state, &call, schema).ok()?;
            Some(GroupingKey::Window(windows))
        }
        Expr::Column(column) if source.is_tag(&column.name) => Some(GroupingKey::Tag(column.name)),
        _ => None,
    }
}

/// Removes the qualifiers of columns, so that expressions of different queries can be compared.
pub(super) fn unqualified(expr: Expr) -> Result<Expr> {
    renamed(expr, &|name| Some(name.to_owned()))
}

/// Replaces columns by unqualified ones with other names. Columns without a new name keep theirs.
pub(super) fn renamed(expr: Expr, new_name: &dyn Fn(&str) -> Option<String>) -> Result<Expr> {
    let replaced = expr.transform(|expr| {
        Ok(match expr {
            Expr::Column(column) => {
                let name = new_name(&column.name).unwrap_or(column.name);
                Transformed::yes(Expr::Column(Column::new_unqualified(name)))
            }
            other => Transformed::no(other),
        })
    });
    replaced.data()
}
