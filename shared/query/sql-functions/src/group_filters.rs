//! Filters that DataFusion's `push_down_filter` must not move below groups.
//!
//! The rule moves a filter below an aggregate if all of its columns are groups. A condition without columns, such as `false` from a
//! join or `(SELECT max(v) FROM t) > 1`, is moved, too. But an aggregate without groups, or with a total of grouping sets, has a row
//! for no rows: `SELECT count(*) FROM t HAVING (SELECT max(v) FROM t) < 0` would return 0 instead of nothing. A condition that is
//! evaluated anew for each row, such as `random() < 0.5`, would choose rows instead of groups, and so change their counts, or lists
//! instead of their elements.

use datafusion::{
    common::Result,
    logical_expr::{Expr, GroupingSet, LogicalPlan, utils::split_conjunction},
};

/// Whether groups, windows, distinct rows and elements of lists under a filter are the same if the filter is moved below them. True of
/// other plans.
pub(crate) fn keeps_groups(plan: &LogicalPlan) -> Result<bool> {
    let mut conditions = Vec::new();
    let mut input = plan;
    // The rule makes one filter of several.
    while let LogicalPlan::Filter(filter) = input {
        conditions.extend(split_conjunction(&filter.predicate));
        input = &filter.input;
    }
    let has_volatile = || conditions.iter().any(|condition| condition.is_volatile());
    let has_constant = || conditions.iter().any(|condition| !condition.any_column_refs());
    Ok(match input {
        LogicalPlan::Aggregate(aggregate) => {
            !(has_volatile() || has_total(&aggregate.group_expr) && has_constant())
        }
        LogicalPlan::Window(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::Extension(_) => !has_volatile(),
        _ => true,
    })
}

/// Whether groups include that of all rows, which also exists if there are none.
fn has_total(groups: &[Expr]) -> bool {
    match groups {
        [] | [Expr::GroupingSet(GroupingSet::Rollup(_) | GroupingSet::Cube(_))] => true,
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => sets.iter().any(Vec::is_empty),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{row_count, session};

    async fn count(sql: &str) -> usize {
        row_count(&session(), sql).await
    }

    #[tokio::test]
    async fn a_condition_without_columns_removes_the_total() {
        for sql in [
            "SELECT count(*) FROM home HAVING (SELECT max(co) FROM home) < 0",
            "SELECT * FROM (SELECT count(*) AS n FROM home) AS d WHERE (SELECT max(co) FROM home) < 0",
            "SELECT * FROM (SELECT room, count(*) AS n FROM home GROUP BY ROLLUP (room)) AS d WHERE (SELECT max(co) FROM home) < 0",
            "SELECT count(*) FROM home HAVING random() < 0",
        ] {
            assert_eq!(count(sql).await, 0, "{sql}");
        }
    }

    #[tokio::test]
    async fn a_join_without_matches_has_no_total() {
        for groups in ["", "GROUP BY ROLLUP (room)"] {
            let sql = format!(
                "SELECT d.n FROM home LEFT JOIN (SELECT count(*) AS n FROM home {groups}) AS d ON false WHERE d.n IS NULL"
            );
            assert_eq!(count(&sql).await, 26, "{sql}");
        }
    }

    #[tokio::test]
    async fn a_volatile_condition_chooses_groups() {
        let groups = "SELECT room, count(*) AS n FROM home GROUP BY room HAVING random() < 0.5";
        let sql = format!("SELECT * FROM ({groups}) AS d WHERE n <> 13");
        let windows = "SELECT count(*) OVER () AS n FROM home";
        let of_windows = format!("SELECT * FROM ({windows}) AS d WHERE random() < 0.5 AND n <> 26");
        let list = (0..40).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
        let elements = format!("SELECT time, room, unnest(make_array({list})) AS x FROM home");
        let of_lists = format!(
            "SELECT time, room FROM ({elements}) AS d WHERE random() < 0.5 GROUP BY time, room HAVING count(*) = 40"
        );
        for sql in [sql, of_windows, of_lists] {
            assert_eq!(count(&sql).await, 0, "{sql}");
        }
    }
}
