//! Aggregates of one table, in queries and in the queries of views.

use std::sync::Arc;

use datafusion::{
    common::{
        Column, Result,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    execution::SessionState,
    logical_expr::{Aggregate, Expr, LogicalPlan, utils::split_conjunction},
};
use neap_catalog::{DatabaseCatalog, Table, ViewWindows};

use crate::views::definition::{DATE_BIN, bin_windows, source_table};

/// An aggregate of the rows of one table that meet conditions.
#[derive(Debug)]
pub(super) struct TableAggregate<'a> {
    /// The plan.
    pub(super) aggregate: &'a Aggregate,
    /// The table.
    pub(super) source: Arc<Table>,
    /// The keys of the groups.
    pub(super) keys: Vec<GroupingKey>,
    /// The conditions, with qualified columns.
    pub(super) conditions: Vec<&'a Expr>,
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
    pub(super) fn of(
        state: &SessionState,
        catalog: &DatabaseCatalog,
        aggregate: &'a Aggregate,
    ) -> Option<Self> {
        let source = source_table(catalog, &aggregate.input).ok()?;
        let mut conditions = Vec::new();
        let mut node = aggregate.input.as_ref();
        loop {
            node = match node {
                LogicalPlan::Filter(filter) => {
                    conditions.extend(split_conjunction(&filter.predicate));
                    &filter.input
                }
                LogicalPlan::SubqueryAlias(alias) => &alias.input,
                LogicalPlan::TableScan(scan) => {
                    let is_whole = scan.filters.is_empty() && scan.fetch.is_none();
                    is_whole.then_some(())?;
                    break;
                }
                _ => return None,
            };
        }
        let keys = aggregate.group_expr.iter();
        let keys = keys.map(|key| grouping_key(state, source, aggregate, key));
        Some(Self {
            aggregate,
            keys: keys.collect::<Option<_>>()?,
            conditions,
            source: Arc::clone(source),
        })
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

    /// Returns the aggregate functions, with unqualified columns.
    pub(super) fn functions(&self) -> Result<Vec<Expr>> {
        let functions = self.aggregate.aggr_expr.iter();
        functions
            .map(|function| unqualified(function.clone().unalias()))
            .collect()
    }
}

fn grouping_key(
    state: &SessionState,
    source: &Table,
    aggregate: &Aggregate,
    key: &Expr,
) -> Option<GroupingKey> {
    match key.clone().unalias() {
        Expr::ScalarFunction(call) if call.func.name() == DATE_BIN => {
            let windows = bin_windows(state, &call, aggregate.input.schema()).ok()?;
            Some(GroupingKey::Window(windows))
        }
        Expr::Column(column) if source.tags().any(|tag| tag.name == column.name) => {
            Some(GroupingKey::Tag(column.name))
        }
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
