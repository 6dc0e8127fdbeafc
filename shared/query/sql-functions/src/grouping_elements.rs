//! `ROLLUP` and `CUBE` with elements of several expressions, or with an element several times.
//!
//! DataFusion 55.2 refuses both, and answers the equal grouping sets:
//!
//! ```text
//!   ROLLUP ((a, b), c)    ──►    GROUPING SETS ((a, b, c), (a, b), ())
//!   CUBE (a, a)           ──►    GROUPING SETS ((a, a), (a), (a), ())
//! ```

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::{Expr, GroupByExpr, Select, SelectItem};

/// Maximum number of expressions of the grouping sets of an element of `GROUP BY`. They are not measured before they exist.
const MAX_EXPRESSIONS: usize = 10_000;

/// Replaces such elements of `GROUP BY` by their grouping sets.
pub(crate) fn expand(select: &mut Select) {
    let GroupByExpr::Expressions(groups, _) = &mut select.group_by else {
        return;
    };
    for group in groups {
        let sets = match &*group {
            Expr::Rollup(elements) if is_refused(elements, &select.projection) => rollup(elements),
            Expr::Cube(elements) if is_refused(elements, &select.projection) => cube(elements),
            _ => None,
        };
        if let Some(sets) = sets {
            *group = Expr::GroupingSets(sets);
        }
    }
}

/// Whether the elements are not single expressions that differ from each other.
fn is_refused(elements: &[Vec<Expr>], projection: &[SelectItem]) -> bool {
    let mut known = HashSet::new();
    elements.iter().any(|element| match element.as_slice() {
        [expr] => !known.insert(compared_name(expr, projection)),
        _ => true,
    })
}

/// Returns a text that equal expressions have in common. Others may have it, too: their grouping sets are right as well.
fn compared_name(expr: &Expr, projection: &[SelectItem]) -> String {
    let name = column_name(expr);
    let named = projection.iter().find_map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } if alias.value.to_lowercase() == name => {
            Some(column_name(expr))
        }
        _ => None,
    });
    named.unwrap_or(name)
}

/// Returns the name of a column without its table, and the text of another expression, in lower case.
fn column_name(expr: &Expr) -> String {
    let column = match expr {
        Expr::Identifier(column) => Some(column),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    let name = column.map_or_else(|| expr.to_string(), |column| column.value.clone());
    name.to_lowercase()
}

/// Returns the grouping sets of `ROLLUP`. Returns `None` if they have too many expressions.
fn rollup(elements: &[Vec<Expr>]) -> Option<Vec<Vec<Expr>>> {
    let sets = elements.len() + 1;
    has_room(elements, sets).then(|| {
        let lengths = (0..sets).rev();
        lengths
            .map(|length| elements.iter().take(length).flatten().cloned().collect())
            .collect()
    })
}

/// Returns the grouping sets of `CUBE`. Returns `None` if they have too many expressions.
fn cube(elements: &[Vec<Expr>]) -> Option<Vec<Vec<Expr>>> {
    let sets = u32::try_from(elements.len())
        .ok()
        .and_then(|exponent| 2_usize.checked_pow(exponent))?;
    has_room(elements, sets).then(|| {
        let set = |bits: usize| {
            let places = elements.iter().enumerate();
            let chosen = places.filter(|(place, _)| (bits >> place) & 1 == 1);
            chosen.flat_map(|(_, element)| element).cloned().collect()
        };
        (0..sets).rev().map(set).collect()
    })
}

/// Whether so many grouping sets have few enough expressions.
fn has_room(elements: &[Vec<Expr>], sets: usize) -> bool {
    let width: usize = elements.iter().map(|element| element.len().max(1)).sum();
    sets.saturating_mul(width) <= MAX_EXPRESSIONS
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;

    use crate::testing::{error, session, table};

    /// Returns a statement with this `GROUP BY` as it is planned.
    fn groups(elements: &str) -> String {
        let sql = format!("SELECT a, b AS d FROM t GROUP BY {elements}");
        let mut statements = crate::parse_sql(&sql, &GenericDialect {}, 50).unwrap();
        let text = statements.pop_front().unwrap().to_string();
        text.split_once("GROUP BY ").unwrap().1.to_owned()
    }

    #[test]
    fn elements_that_differ_stay() {
        for elements in [
            "ROLLUP (a, b)",
            "CUBE (a, b + 1, c), ROLLUP (a)",
            "GROUPING SETS ((a, a), (a))",
            "a, a",
        ] {
            assert_eq!(groups(elements), elements);
        }
    }

    #[test]
    fn grouping_sets_are_those_of_the_elements() {
        for (elements, expected) in [
            ("ROLLUP (a, A)", "GROUPING SETS ((a, A), (a), ())"),
            ("ROLLUP (a, t.a)", "GROUPING SETS ((a, t.a), (a), ())"),
            ("ROLLUP (b, d)", "GROUPING SETS ((b, d), (b), ())"),
            (
                "ROLLUP ((a, b), c)",
                "GROUPING SETS ((a, b, c), (a, b), ())",
            ),
            ("CUBE (a, a), b", "GROUPING SETS ((a, a), (a), (a), ()), b"),
            (
                "CUBE ((a, b), c)",
                "GROUPING SETS ((a, b, c), (c), (a, b), ())",
            ),
        ] {
            assert_eq!(groups(elements), expected);
        }
    }

    #[test]
    fn too_many_grouping_sets_are_not_made() {
        for elements in [vec!["a"; 70], vec!["a"; 24], vec!["(a, b)"; 1_000]] {
            let cube = format!("CUBE ({})", elements.join(", "));
            assert_eq!(groups(&cube), cube);
        }
        let rollup = format!("ROLLUP ({})", vec!["a"; 200].join(", "));
        assert_eq!(groups(&rollup), rollup);
    }

    #[tokio::test]
    async fn an_alias_of_a_column_is_the_column() {
        let sql = "SELECT room, home.room AS r, grouping(room) AS g, count(*) AS n FROM home GROUP BY ROLLUP (room, r) \
                   ORDER BY room, g, n";
        insta::assert_snapshot!(table(&session(), sql).await, @r"
        +-------------+-------------+---+----+
        | room        | r           | g | n  |
        +-------------+-------------+---+----+
        | Kitchen     | Kitchen     | 0 | 13 |
        | Kitchen     | Kitchen     | 0 | 13 |
        | Living Room | Living Room | 0 | 13 |
        | Living Room | Living Room | 0 | 13 |
        |             |             | 1 | 26 |
        +-------------+-------------+---+----+
        ");
        let refusal = error(
            &session(),
            "SELECT room FROM home GROUP BY ROLLUP ((room, co), missing)",
        );
        assert!(refusal.await.contains("missing"));
    }
}
