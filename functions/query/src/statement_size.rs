//! The size of an SQL statement once its parts are put in place of the names that stand for them.
//!
//! The time and memory of planning follow the size of the plan, and planning ends at a timeout only between two steps. A
//! short statement may have a huge plan: 30 common table expressions that each join the one before with itself are a join
//! of 2³⁰ tables, and `CUBE` of 24 expressions is 2²⁴ groupings. So statements are measured, and refused, before they are
//! planned.

use std::{collections::BTreeMap, ops::ControlFlow, ptr::NonNull};

use datafusion::{
    common::{DataFusionError, Result, not_impl_err, plan_err},
    config::Dialect,
    sql::{
        parser::{CopyToSource, Statement},
        sqlparser::ast::{
            Expr, GroupByExpr, Ident, ObjectName, Query, Select, SetExpr, SetOperator,
            SetQuantifier, Visit, Visitor,
        },
    },
};

use crate::dialect::{parse_statements, tokenize};

/// Maximum number of tables of a statement, counting those of a common table expression at each reference.
const MAX_TABLES: u64 = 1_000;

/// Maximum number of tables that one `SELECT` joins, counted in the same way. Each join has the columns of all tables
/// before it.
const MAX_JOINED_TABLES: u64 = 100;

/// Maximum number of grouping sets of a `SELECT`.
const MAX_GROUPING_SETS: u64 = 4_096;

/// Maximum number of expressions that a statement has beyond those in its text.
const MAX_ADDED_EXPRESSIONS: u64 = 100_000;

/// The words without which a short statement has the size of its text, and nothing that DataFusion ignores.
const MEASURED_WORDS: [&str; 6] = ["with", "cube", "rollup", "sets", "except", "intersect"];

/// Statements up to this length, in bytes, are measured only if they have one of [`MEASURED_WORDS`]: they can't have too
/// many tables.
const SHORT_BYTES: usize = 2_000;

/// Returns the number of expressions that planning a statement adds to those in its text. Text that is no SQL has none: its
/// parser gives the reason.
/// Fails if the statement is too large, or DataFusion would ignore a part of it.
pub(crate) fn added_expressions(sql: &str) -> Result<u64> {
    if sql.len() <= SHORT_BYTES
        && !MEASURED_WORDS.iter().any(|word| contains_ignoring_case(sql, word))
    {
        return Ok(0);
    }
    let dialect = tokenize(sql).map_or(Dialect::Generic, |(dialect, _)| dialect);
    added_in_dialect(sql, dialect)
}

/// Returns the same number for a statement that is planned in this dialect.
/// Errors: same as [`added_expressions`].
pub(crate) fn added_in_dialect(sql: &str, dialect: Dialect) -> Result<u64> {
    let parsed = parse_statements(sql, dialect);
    let mut meter = SizeMeter::default();
    for statement in parsed.iter().flatten() {
        meter.measure(statement)?;
    }
    Ok(meter.total.expressions.saturating_sub(meter.in_text))
}

/// Returns a name as DataFusion compares it.
fn normalized(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_lowercase(),
    }
}

fn contains_ignoring_case(sql: &str, word: &str) -> bool {
    sql.as_bytes()
        .windows(word.len())
        .any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

/// The size of a part of a statement.
#[derive(Clone, Copy, Debug, Default)]
struct PartSize {
    expressions: u64,
    tables: u64,
    /// The number of tables whose columns a row may have.
    joined_tables: u64,
}

impl PartSize {
    /// Adds a part whose rows are joined with those of this one.
    fn join(&mut self, part: Self) {
        self.joined_tables = self.joined_tables.saturating_add(part.joined_tables);
        self.add(part);
    }

    /// Adds a part whose rows have the columns of this one.
    fn append(&mut self, part: Self) {
        self.joined_tables = self.joined_tables.max(part.joined_tables);
        self.add(part);
    }

    fn add(&mut self, part: Self) {
        self.expressions = self.expressions.saturating_add(part.expressions);
        self.tables = self.tables.saturating_add(part.tables);
    }
}

/// A part of a statement that is being visited.
#[derive(Debug)]
enum OpenPart {
    /// A query, with the common table expressions that are complete.
    Query {
        size: PartSize,
        names: BTreeMap<String, PartSize>,
    },
    Select(PartSize),
}

impl OpenPart {
    fn size(&mut self) -> &mut PartSize {
        match self {
            Self::Query { size, .. } | Self::Select(size) => size,
        }
    }
}

#[derive(Debug, Default)]
struct SizeMeter {
    open: Vec<OpenPart>,
    /// The names of the common table expressions whose queries are not complete.
    definitions: BTreeMap<NonNull<Query>, String>,
    total: PartSize,
    /// The number of expressions in the text.
    in_text: u64,
}

impl SizeMeter {
    fn measure(&mut self, statement: &Statement) -> Result<()> {
        let flow = match statement {
            Statement::Statement(statement) => statement.visit(self),
            Statement::Explain(explained) => return self.measure(&explained.statement),
            Statement::CopyTo(copy) => match &copy.source {
                CopyToSource::Query(query) => query.visit(self),
                CopyToSource::Relation(_) => ControlFlow::Continue(()),
            },
            Statement::CreateExternalTable(_) | Statement::Reset(_) => ControlFlow::Continue(()),
        };
        match flow {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// Adds a complete part to the one around it.
    fn close(&mut self, part: PartSize) {
        match self.open.last_mut() {
            Some(OpenPart::Query { size, .. }) => size.append(part),
            Some(OpenPart::Select(size)) => size.join(part),
            None => self.total.append(part),
        }
    }

    fn check(&self, part: PartSize) -> Result<()> {
        let added = part.expressions.saturating_sub(self.in_text);
        if part.tables > MAX_TABLES {
            return plan_err!(
                "the statement reads {} tables, counting those of WITH at each reference, more than {MAX_TABLES}",
                part.tables
            );
        }
        if part.joined_tables > MAX_JOINED_TABLES {
            return plan_err!(
                "a SELECT joins {} tables, counting those of WITH at each reference, more than {MAX_JOINED_TABLES}",
                part.joined_tables
            );
        }
        if added > MAX_ADDED_EXPRESSIONS {
            return plan_err!(
                "WITH and GROUP BY add {added} expressions to those of the statement, more than {MAX_ADDED_EXPRESSIONS}"
            );
        }
        Ok(())
    }

    /// Returns the size of the common table expression that a name stands for.
    fn named(&self, name: &str) -> Option<PartSize> {
        self.open.iter().rev().find_map(|part| match part {
            OpenPart::Query { names, .. } => names.get(name).copied(),
            OpenPart::Select(_) => None,
        })
    }
}

/// Refuses `EXCEPT ALL` and `INTERSECT ALL`. DataFusion 55.2 looks for each row of the left side among those of the right side, and
/// does not count them.
fn check_set_operations(body: &SetExpr) -> Result<()> {
    let mut open = vec![body];
    while let Some(part) = open.pop() {
        let SetExpr::SetOperation { op, set_quantifier, left, right } = part else {
            continue;
        };
        if *set_quantifier == SetQuantifier::All && *op != SetOperator::Union {
            return not_impl_err!(
                "{op} ALL is not supported; write {op} with row_number() OVER (PARTITION BY ...) as a further column of both sides"
            );
        }
        open.extend([left.as_ref(), right.as_ref()]);
    }
    Ok(())
}

fn to_flow(result: Result<()>) -> ControlFlow<DataFusionError> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl Visitor for SizeMeter {
    type Break = DataFusionError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<DataFusionError> {
        for definition in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = normalized(&definition.alias.name);
            self.definitions.insert(NonNull::from(&*definition.query), name);
        }
        self.open
            .push(OpenPart::Query { size: PartSize::default(), names: BTreeMap::new() });
        to_flow(check_set_operations(&query.body))
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<DataFusionError> {
        let Some(OpenPart::Query { size, .. }) = self.open.pop() else {
            return ControlFlow::Continue(());
        };
        let checked = to_flow(self.check(size));
        let definition = self.definitions.remove(&NonNull::from(query));
        match (definition, self.open.last_mut()) {
            (Some(name), Some(OpenPart::Query { names, .. })) => {
                names.insert(name, size);
            }
            _ => self.close(size),
        }
        checked
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<DataFusionError> {
        self.open.push(OpenPart::Select(PartSize::default()));
        let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) =
            &select.group_by;
        if let Some(modifier) = modifiers.first() {
            // DataFusion 55.2 ignores it.
            return to_flow(not_impl_err!(
                "GROUP BY ... {modifier} is not supported; write GROUP BY ROLLUP (...) or CUBE (...)"
            ));
        }
        let GroupByExpr::Expressions(expressions, _) = &select.group_by else {
            return ControlFlow::Continue(());
        };
        let (mut sets, mut width) = (1_u64, 0_u64);
        for expression in expressions {
            let (of_expression, columns) = grouping_sets(expression);
            sets = sets.saturating_mul(of_expression);
            width = width.saturating_add(columns);
        }
        if sets > MAX_GROUPING_SETS {
            let sets = if sets == u64::MAX {
                "too many".to_owned()
            } else {
                sets.to_string()
            };
            return to_flow(plan_err!(
                "GROUP BY has {sets} grouping sets, more than {MAX_GROUPING_SETS}"
            ));
        }
        if let Some(part) = self.open.last_mut()
            && sets > 1
        {
            part.size().expressions = sets.saturating_mul(width);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &Select) -> ControlFlow<DataFusionError> {
        let Some(OpenPart::Select(size)) = self.open.pop() else {
            return ControlFlow::Continue(());
        };
        self.close(size);
        to_flow(self.check(size))
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<DataFusionError> {
        let name = match relation.0.as_slice() {
            [part] => part.as_ident(),
            _ => None,
        };
        let named = name.and_then(|name| self.named(&normalized(name)));
        let table = PartSize { expressions: 1, tables: 1, joined_tables: 1 };
        self.in_text += 1;
        self.close(named.map_or(table, |named| PartSize {
            expressions: named.expressions.saturating_add(1),
            tables: named.tables.saturating_add(1),
            joined_tables: named.joined_tables.max(1),
        }));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<DataFusionError> {
        self.in_text += 1;
        if let Some(part) = self.open.last_mut() {
            let size = part.size();
            size.expressions = size.expressions.saturating_add(1);
        }
        ControlFlow::Continue(())
    }
}

/// Returns the number of grouping sets of an expression of `GROUP BY`, and the number of its columns.
fn grouping_sets(expression: &Expr) -> (u64, u64) {
    let columns = |sets: &[Vec<Expr>]| sets.iter().map(Vec::len).sum::<usize>() as u64;
    match expression {
        Expr::Cube(sets) => {
            let number =
                u32::try_from(sets.len()).ok().and_then(|exponent| 2_u64.checked_pow(exponent));
            (number.unwrap_or(u64::MAX), columns(sets))
        }
        Expr::Rollup(sets) => (sets.len() as u64 + 1, columns(sets)),
        Expr::GroupingSets(sets) => (sets.len().max(1) as u64, columns(sets)),
        _ => (1, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(sql: &str) -> Option<String> {
        added_expressions(sql).err().map(|error| error.strip_backtrace())
    }

    /// Common table expressions, each of which reads the one before by `body`.
    fn chain(length: usize, body: &str) -> String {
        let mut sql = "WITH c0 AS (SELECT * FROM t)".to_owned();
        for number in 1..length {
            let before = format!("c{}", number - 1);
            sql += &format!(", c{number} AS ({})", body.replace("$", &before));
        }
        sql + &format!(" SELECT count(*) FROM c{}", length - 1)
    }

    #[test]
    fn a_quoted_name_is_another_one() {
        let mut sql = "WITH c0 AS (SELECT * FROM t), \"C0\" AS (SELECT 1)".to_owned();
        for number in 1..30 {
            let before = number - 1;
            sql += &format!(
                ", c{number} AS (SELECT a.* FROM C{before} a JOIN c{before} b ON a.time = b.time), \"C{number}\" AS (SELECT 1)"
            );
        }
        let refusal = refusal(&(sql + " SELECT count(*) FROM c29"));
        assert!(refusal.is_some_and(|text| text.contains("tables, counting those of WITH")));
    }

    #[test]
    fn expressions_that_multiply_by_reference_are_refused() {
        for body in [
            "SELECT a.* FROM $ a JOIN $ b ON a.time = b.time",
            "SELECT * FROM $ a, $ b",
            "SELECT * FROM $ UNION ALL SELECT * FROM $",
            "SELECT * FROM $ WHERE v IN (SELECT v FROM $)",
            "SELECT * FROM (SELECT * FROM $) a CROSS JOIN \"$\" b",
        ] {
            let refusal = refusal(&chain(30, body)).expect(body);
            assert_contains!(refusal, "tables, counting those of WITH");
            assert_eq!(self::refusal(&chain(6, body)), None, "{body}");
        }
    }

    #[test]
    fn an_expression_is_refused_where_it_is_defined() {
        let unused = chain(30, "SELECT * FROM $ a, $ b").replace("FROM c29", "FROM t");
        assert!(refusal(&unused).is_some());
        let nested = format!("EXPLAIN SELECT * FROM ({})", chain(30, "SELECT * FROM $ a, $ b"));
        assert!(refusal(&nested).is_some());
        let copied = format!("COPY ({}) TO 'x.csv'", chain(30, "SELECT * FROM $ a, $ b"));
        assert!(refusal(&copied).is_some());
    }

    #[test]
    fn long_chains_and_joins_are_refused() {
        let body = "SELECT * FROM $";
        assert!(refusal(&chain(3_000, body)).is_some());
        assert_eq!(refusal(&chain(200, body)), None);
        let joined = |tables: usize| {
            let tables: Vec<_> = (0..tables).map(|number| format!("t AS t{number}")).collect();
            format!("SELECT count(*) FROM {}", tables.join(", "))
        };
        assert!(refusal(&joined(20_000)).unwrap().contains("20000 tables"));
        assert!(refusal(&joined(200)).unwrap().contains("joins 200 tables"));
        assert_eq!(refusal(&joined(60)), None);
        let nearest = chain(30, "SELECT a.v FROM $ AS a ASOF JOIN $ AS b USING (v)");
        assert!(refusal(&nearest).unwrap().contains("tables, counting those of WITH"));
        let union = vec!["SELECT v FROM t"; 500].join(" UNION ALL ");
        assert_eq!(refusal(&format!("SELECT count(*) FROM ({union})")), None);
    }

    #[test]
    fn grouping_sets_are_counted_before_they_exist() {
        let columns = (0..24).map(|number| format!("v + {number}")).collect::<Vec<_>>().join(", ");
        for (grouping, sets) in [
            (format!("CUBE ({columns})"), "16777216"),
            (format!("ROLLUP ({columns}), ROLLUP ({columns}), ROLLUP ({columns})"), "15625"),
            (format!("CUBE ({})", vec!["v"; 70].join(", ")), "too many"),
        ] {
            let sql = format!("SELECT count(*) FROM t GROUP BY {grouping}");
            let refusal = refusal(&sql).unwrap();
            assert_contains!(refusal, &format!("{sets} grouping sets"));
        }
        let sql = format!("SELECT count(*) FROM t GROUP BY ROLLUP ({columns})");
        assert!(added_expressions(&sql).unwrap() >= 500);
    }

    #[test]
    fn expressions_of_a_reference_are_added() {
        let wide = vec!["v + 1 AS a"; 2_000].join(", ");
        let references = vec!["SELECT a FROM wide"; 60].join(" UNION ALL ");
        let refusal =
            refusal(&format!("WITH wide AS (SELECT {wide} FROM t) {references}")).unwrap();
        assert_contains!(refusal, "expressions to those of the statement");
        let list = vec!["1"; 100_000].join(", ");
        assert_eq!(added_expressions(&format!("SELECT * FROM t WHERE v IN ({list})")).unwrap(), 0);
    }

    #[test]
    fn a_name_is_that_of_the_innermost_query() {
        let inner = "SELECT * FROM (WITH c0 AS (SELECT * FROM u) SELECT * FROM c0)";
        assert_eq!(refusal(&format!("WITH c0 AS (SELECT * FROM t) {inner}")), None);
        assert_eq!(refusal("this is no SQL with errors"), None);
    }
}
