//! Whether a view has the groups and the rows of an aggregate.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use datafusion::{
    common::tree_node::TreeNode,
    execution::SessionState,
    functions_aggregate::expr_fn::count,
    logical_expr::{
        Expr, Operator, ident, lit,
        utils::{disjunction, split_binary},
    },
};
use neap_catalog::ViewWindows;
use neap_manifest::TimeRange;
use neap_schema::{ColumnType, TIME_COLUMN};

use super::{
    stored_view::StoredView,
    table_aggregate::{TableAggregate, renamed, unqualified},
    times::time_range,
};

/// How the groups of an aggregate are made of those of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupMatch {
    /// Each group is a row of the view.
    Same,
    /// Each group consists of any number of rows of the view.
    Merged,
}

/// The rows of a view that an aggregate needs.
#[derive(Debug)]
pub(super) struct ViewMatch {
    pub(super) groups: GroupMatch,
    /// The times of the rows of the source.
    pub(super) times: TimeRange,
    /// Conditions with the unqualified columns of the view: on tags, and on the number of values.
    pub(super) conditions: Vec<Expr>,
    /// If only rows with a value of one of these fields count, the fields.
    pub(super) required_fields: Option<BTreeSet<String>>,
}

impl ViewMatch {
    /// Compares an aggregate with a view; `None` if the view lacks groups or rows.
    pub(super) fn find(
        state: &SessionState,
        aggregate: &TableAggregate<'_>,
        stored: &StoredView,
    ) -> Option<Self> {
        let windows = aggregate.windows()?;
        if windows.is_some_and(|windows| !consists_of(windows, stored.windows)) {
            return None;
        }
        let tags: BTreeSet<&String> = aggregate.tags().collect();
        if tags.iter().any(|tag| stored.tag(tag).is_none()) {
            return None;
        }
        let is_same = windows.is_some_and(|windows| windows.length_ns == stored.windows.length_ns)
            && tags.len() == stored.tag_count();
        let groups = if is_same {
            GroupMatch::Same
        } else {
            GroupMatch::Merged
        };
        let mut found = Self {
            groups,
            times: TimeRange::ALL,
            conditions: Vec::new(),
            required_fields: None,
        };
        let mut open: Vec<&Expr> = stored.conditions.iter().collect();
        for condition in &aggregate.conditions {
            let plain = unqualified((*condition).clone()).ok()?;
            if stored.conditions.contains(&plain) {
                // All rows of the view meet it.
                open.retain(|one| **one != plain)
            } else {
                found.add_condition(state, aggregate, stored, condition)?
            }
        }
        open.is_empty().then_some(found)
    }

    fn add_condition(
        &mut self,
        state: &SessionState,
        aggregate: &TableAggregate<'_>,
        stored: &StoredView,
        condition: &Expr,
    ) -> Option<()> {
        let columns = condition.column_refs();
        if columns.iter().any(|column| column.name == TIME_COLUMN) {
            let schema = aggregate.aggregate.input.schema();
            let range = time_range(state, schema, condition)?;
            self.times = TimeRange {
                first: self.times.first.max(range.first),
                last: self.times.last.min(range.last),
            };
            return Some(());
        }
        if let Some(fields) = required_fields(aggregate, condition) {
            return self.require(fields, stored);
        }
        let has_columns = columns.iter().all(|column| stored.tag(&column.name).is_some());
        if !has_columns || condition.is_volatile() || has_subquery(condition) {
            return None;
        }
        let name = |name: &str| stored.tag(name).cloned();
        self.conditions.push(renamed(condition.clone(), &name).ok()?);
        Some(())
    }

    /// Leaves out rows of the view without values of these fields. Their numbers tell.
    fn require(&mut self, fields: BTreeSet<String>, stored: &StoredView) -> Option<()> {
        if let Some(known) = &self.required_fields {
            return (*known == fields).then_some(());
        }
        let counts = fields
            .iter()
            .map(|field| {
                let counted = stored.value(&count(ident(field)), &DataType::Int64)?;
                Some(ident(counted).gt(lit(0_i64)))
            })
            .collect::<Option<Vec<_>>>()?;
        self.conditions.extend(disjunction(counts));
        self.required_fields = Some(fields);
        Some(())
    }
}

/// Returns the fields of a condition of the form `field IS NOT NULL [OR ...]`; `None` if it has another form. Queries in
/// InfluxQL have one, because only rows with a selected field count there.
fn required_fields(aggregate: &TableAggregate<'_>, condition: &Expr) -> Option<BTreeSet<String>> {
    let alternatives = split_binary(condition, Operator::Or);
    let fields = alternatives.into_iter().map(|alternative| {
        let Expr::IsNotNull(value) = alternative else {
            return None;
        };
        let Expr::Column(column) = value.as_ref() else {
            return None;
        };
        let found = aggregate.source.column(&column.name)?;
        let is_field = !matches!(found.column_type, ColumnType::Tag | ColumnType::Time);
        is_field.then(|| column.name.clone())
    });
    fields.collect()
}

/// Whether each window consists of whole windows of a view.
fn consists_of(windows: ViewWindows, parts: ViewWindows) -> bool {
    let shift = i128::from(windows.origin_ns) - i128::from(parts.origin_ns);
    let length = i128::from(parts.length_ns.max(1));
    i128::from(windows.length_ns) % length == 0 && shift % length == 0
}

fn has_subquery(expr: &Expr) -> bool {
    let is_subquery = |expr: &Expr| {
        matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
        )
    };
    expr.exists(|expr| Ok(is_subquery(expr))).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(length_ns: i64, origin_ns: i64) -> ViewWindows {
        ViewWindows { length_ns, origin_ns }
    }

    #[test]
    fn multiples_of_windows_with_the_same_alignment_consist_of_them() {
        assert!(consists_of(windows(60, 0), windows(20, 0)));
        assert!(consists_of(windows(60, 45), windows(20, 5)));
        assert!(consists_of(windows(60, -15), windows(20, 5)));
        assert!(!consists_of(windows(60, 10), windows(20, 0)));
        assert!(!consists_of(windows(50, 0), windows(20, 0)));
        assert!(!consists_of(windows(20, 0), windows(60, 0)));
    }
}
