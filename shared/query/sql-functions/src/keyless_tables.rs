//! The tables of a `SELECT` with groups, as rows without keys.
//!
//! A plan knows columns that determine others, such as those of the groups of a derived table. DataFusion adds the others to the
//! expressions of `GROUP BY`, so that a statement can select them. Where they are not determined, as after `unnest` and after gap
//! filling, rows of one group fall apart, and nothing tells the columns that were added from those of the statement. As in other
//! databases, a statement selects only what it groups by. So the tables are put into parentheses twice, and the planner of relations
//! hides what it knows of the inner ones:
//!
//! ```text
//!   FROM a, b JOIN c ON ...    ──►    FROM ((a CROSS JOIN (b JOIN c ON ...)))
//! ```

use std::sync::Arc;

use datafusion::{
    common::{FunctionalDependencies, Result},
    logical_expr::{
        LogicalPlan, Projection,
        planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning},
    },
    sql::sqlparser::ast::{
        GroupByExpr, Join, JoinConstraint, JoinOperator, Select, TableFactor, TableWithJoins,
    },
};

use crate::asof_join::syntax::nested;

/// Puts the tables of a `SELECT` with groups into parentheses.
pub(crate) fn mark_tables(select: &mut Select) {
    let is_grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(groups, _) => !groups.is_empty(),
    };
    if !is_grouped {
        return;
    }
    let mut tables = std::mem::take(&mut select.from).into_iter();
    let Some(TableWithJoins { relation, mut joins }) = tables.next() else {
        return;
    };
    joins.extend(tables.map(cross_join));
    let table = if joins.is_empty() {
        relation
    } else {
        nested(relation, joins)
    };
    select.from = vec![TableWithJoins {
        relation: if may_have_keys(&table) {
            nested(table, Vec::new())
        } else {
            table
        },
        joins: Vec::new(),
    }];
}

/// Returns the join that a comma before tables stands for.
fn cross_join(tables: TableWithJoins) -> Join {
    let TableWithJoins { relation, joins } = tables;
    Join {
        relation: if joins.is_empty() {
            relation
        } else {
            nested(relation, joins)
        },
        global: false,
        join_operator: JoinOperator::CrossJoin(JoinConstraint::None),
    }
}

/// Whether something may be known of the columns of a table. A name of several parts is that of no `WITH`, and a table of a
/// function would not be evaluated for each row of an outer query in parentheses.
fn may_have_keys(table: &TableFactor) -> bool {
    match table {
        TableFactor::Table { name, .. } => name.0.len() == 1,
        TableFactor::Derived { lateral, .. } => !lateral,
        TableFactor::NestedJoin { .. } => true,
        _ => false,
    }
}

/// Plans tables in parentheses that are not joined.
#[derive(Debug)]
pub(crate) struct KeylessTablePlanner;

impl RelationPlanner for KeylessTablePlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        match relation {
            TableFactor::NestedJoin { table_with_joins, alias }
                if table_with_joins.joins.is_empty() =>
            {
                let plan = without_keys(context.plan(table_with_joins.relation)?)?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
            }
            other => Ok(RelationPlanning::Original(Box::new(other))),
        }
    }
}

fn without_keys(plan: LogicalPlan) -> Result<LogicalPlan> {
    if plan.schema().functional_dependencies().is_empty() {
        return Ok(plan);
    }
    let schema = plan.schema().as_ref().clone();
    let keyless = schema.with_functional_dependencies(FunctionalDependencies::empty())?;
    Ok(LogicalPlan::Projection(Projection::new_from_schema(
        Arc::new(plan),
        Arc::new(keyless),
    )))
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;

    fn marked(sql: &str) -> String {
        let mut statements = crate::parse_sql(sql, &GenericDialect {}, 50).unwrap();
        statements.pop_front().unwrap().to_string()
    }

    #[test]
    fn the_tables_below_groups_are_one_in_parentheses() {
        assert_eq!(
            marked("SELECT k FROM a, b JOIN c ON true GROUP BY k"),
            "SELECT k FROM ((a CROSS JOIN (b JOIN c ON true))) GROUP BY k"
        );
        assert_eq!(
            marked("SELECT k FROM (SELECT k FROM a GROUP BY k) AS t GROUP BY ALL"),
            "SELECT k FROM ((SELECT k FROM (a) GROUP BY k) AS t) GROUP BY ALL"
        );
        assert_eq!(
            marked("SELECT k FROM a, LATERAL (SELECT 1 AS k) AS l GROUP BY k"),
            "SELECT k FROM ((a CROSS JOIN LATERAL (SELECT 1 AS k) AS l)) GROUP BY k"
        );
    }

    #[test]
    fn tables_without_keys_stay() {
        for sql in [
            "SELECT k FROM a",
            "SELECT k FROM s.a GROUP BY k",
            "SELECT k FROM UNNEST([1, 2]) AS k GROUP BY k",
        ] {
            assert_eq!(marked(sql), sql);
        }
    }
}
