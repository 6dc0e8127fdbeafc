//! `ROLLUP` and `CUBE` with elements of several expressions, or with an element several times.
//!
//! DataFusion 55.2 refuses both, and answers the equal grouping sets:
//!
//! ```text
//!   ROLLUP ((a, b), c)    ──►    GROUPING SETS ((a, b, c), (a, b), ())
//!   CUBE (a, a)           ──►    GROUPING SETS ((a, a), (a), (a), ())
//! ```

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    ops::ControlFlow,
};

use datafusion::sql::sqlparser::ast::{Expr, GroupByExpr, Select, SelectItem, visit_expressions};

/// The names of columns, or texts of other expressions, by the aliases that the list of a `SELECT` has for them.
type Aliases = HashMap<String, String>;

/// The number of expressions that the grouping sets of a text may have, with the parts of expressions. They are not measured
/// before they exist.
#[derive(Debug)]
pub(crate) struct ExpansionBudget {
    expressions: usize,
}

impl Default for ExpansionBudget {
    fn default() -> Self {
        Self { expressions: 10_000 }
    }
}

impl ExpansionBudget {
    /// Takes what this number of grouping sets of the elements needs. Returns whether there is enough.
    fn take(&mut self, elements: &[Vec<Expr>], sets: usize) -> bool {
        let needed = sets.saturating_mul(size_of_elements(elements));
        let Some(rest) = self.expressions.checked_sub(needed) else {
            return false;
        };
        self.expressions = rest;
        true
    }
}

/// Replaces such elements of `GROUP BY` by their grouping sets, as far as there is a budget for these.
pub(crate) fn expand(select: &mut Select, budget: &mut ExpansionBudget) {
    let GroupByExpr::Expressions(groups, _) = &mut select.group_by else {
        return;
    };
    if !groups.iter().any(|group| matches!(group, Expr::Rollup(_) | Expr::Cube(_))) {
        return;
    }
    let aliases = aliases(&select.projection);
    for group in groups {
        let sets = match &*group {
            Expr::Rollup(elements) if is_refused(elements, &aliases) => rollup(elements, budget),
            Expr::Cube(elements) if is_refused(elements, &aliases) => cube(elements, budget),
            _ => None,
        };
        if let Some(sets) = sets {
            *group = Expr::GroupingSets(sets);
        }
    }
}

/// Whether the elements are not single expressions that differ from each other.
fn is_refused(elements: &[Vec<Expr>], aliases: &Aliases) -> bool {
    let mut known = HashSet::new();
    elements.iter().any(|element| match element.as_slice() {
        [expr] => !known.insert(compared_name(expr, aliases)),
        _ => true,
    })
}

/// Returns a text that equal expressions have in common. Others may have it, too: their grouping sets are right as well.
fn compared_name(expr: &Expr, aliases: &Aliases) -> String {
    let name = column_name(expr);
    aliases.get(&name).cloned().unwrap_or(name)
}

fn aliases(projection: &[SelectItem]) -> Aliases {
    let named = projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } => {
            Some((alias.value.to_lowercase(), column_name(expr)))
        }
        _ => None,
    });
    named.collect()
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
fn rollup(elements: &[Vec<Expr>], budget: &mut ExpansionBudget) -> Option<Vec<Vec<Expr>>> {
    let sets = elements.len() + 1;
    budget.take(elements, sets).then(|| {
        let lengths = (0..sets).rev();
        lengths
            .map(|length| elements.iter().take(length).flatten().cloned().collect())
            .collect()
    })
}

/// Returns the grouping sets of `CUBE`. Returns `None` if they have too many expressions.
fn cube(elements: &[Vec<Expr>], budget: &mut ExpansionBudget) -> Option<Vec<Vec<Expr>>> {
    let sets = u32::try_from(elements.len())
        .ok()
        .and_then(|exponent| 2_usize.checked_pow(exponent))?;
    budget.take(elements, sets).then(|| {
        let set = |bits: usize| {
            let places = elements.iter().enumerate();
            let chosen = places.filter(|(place, _)| (bits >> place) & 1 == 1);
            chosen.flat_map(|(_, element)| element).cloned().collect()
        };
        (0..sets).rev().map(set).collect()
    })
}

/// Returns the number of elements, and of their expressions with all parts.
fn size_of_elements(elements: &[Vec<Expr>]) -> usize {
    let mut size = elements.len();
    for element in elements {
        let ControlFlow::Continue(()) = visit_expressions(element, |_| {
            size += 1;
            ControlFlow::<Infallible>::Continue(())
        });
    }
    size
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
        let pairs = "
            ROLLUP (a, A) ==> GROUPING SETS ((a, A), (a), ())
            ROLLUP (a, t.a) ==> GROUPING SETS ((a, t.a), (a), ())
            ROLLUP (b, d) ==> GROUPING SETS ((b, d), (b), ())
            ROLLUP ((a, b), c) ==> GROUPING SETS ((a, b, c), (a, b), ())
            CUBE (a, a), b ==> GROUPING SETS ((a, a), (a), (a), ()), b
            CUBE ((a, b), c) ==> GROUPING SETS ((a, b, c), (c), (a, b), ())
        ";
        for (elements, expected) in neap_test_inputs::text_pairs(pairs) {
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
        let list = format!("a IN ({})", vec!["1"; 3_000].join(", "));
        let long = format!("CUBE ({list}, {list})");
        assert_eq!(groups(&long), long);
        // Several elements, subqueries and statements share the budget of their text.
        let cube = format!("CUBE ({})", ["a"; 8].join(", "));
        let several = vec![cube.as_str(); 100].join(", ");
        assert!(groups(&several).ends_with(&cube));
        let statements = vec![format!("SELECT 1 FROM t GROUP BY {cube}"); 100].join("; ");
        let mut parsed = crate::parse_sql(&statements, &GenericDialect {}, 50).unwrap();
        assert!(parsed.pop_back().unwrap().to_string().ends_with(&cube));
    }

    #[tokio::test]
    async fn an_alias_of_a_column_is_the_column() {
        let sql = "SELECT room, home.room AS r, grouping(room) AS g, count(*) AS n FROM home GROUP BY ROLLUP (room, r) \
                   ORDER BY room, g, n";
        insta::assert_snapshot!(table(&session(), sql).await, @r"
        | room        | r           | g | n  |
        | Kitchen     | Kitchen     | 0 | 13 |
        | Kitchen     | Kitchen     | 0 | 13 |
        | Living Room | Living Room | 0 | 13 |
        | Living Room | Living Room | 0 | 13 |
        |             |             | 1 | 26 |
        ");
        let sql = "SELECT room FROM home GROUP BY ROLLUP ((room, co), missing)";
        let refusal = error(&session(), sql).await;
        assert!(refusal.contains("missing"));
    }
}
