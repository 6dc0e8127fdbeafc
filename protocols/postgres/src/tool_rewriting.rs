//! Rewrites what `datafusion-pg-catalog` leaves in statements of tools, and the engine can't plan.

use std::{collections::HashSet, ops::ControlFlow};

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, Query, SelectItem, SetExpr, Statement, TableFactor,
    Value, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};

/// Aggregates, of which a correlated subquery may consist.
const AGGREGATES: [&str; 9] = [
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "max",
    "min",
    "string_agg",
    "sum",
];

/// Returns the text of a statement without casts that its tables do not need: they have the names of functions as texts.
pub(crate) fn without_casts(statement: &str) -> String {
    statement.replace("'pg_catalog.array_in'::regproc", "'array_in'")
}

/// Rewrites a statement:
///
/// | written | rewritten |
/// |---|---|
/// | a correlated subquery of `pg_catalog` as a value, without an aggregate | `NULL`, as `datafusion-pg-catalog` does at the top of a list: tools look up defaults, collations and sequences so, which Neap does not have |
/// | `ARRAY(SELECT a FROM t)` | `(SELECT array_agg(a) FROM t)` |
/// | `(a).b` | `get_field(a, 'b')` |
/// | `a LIKE b ESCAPE '/'` | `a LIKE replace(b, '/', '\')` |
pub(crate) fn rewrite(statement: &mut Statement) {
    // It never breaks.
    let _ = VisitMut::visit(statement, &mut StatementRewriter);
}

struct StatementRewriter;

impl VisitorMut for StatementRewriter {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let rewritten = match expr {
            Expr::Subquery(query) => {
                let names = QueryNames::of(query);
                names.is_lookup().then(|| Expr::Value(Value::Null.with_empty_span()))
            }
            Expr::Function(function) => array_of_rows(function),
            Expr::CompoundFieldAccess { root, access_chain } => match access_chain.as_slice() {
                [AccessExpr::Dot(Expr::Identifier(field))] => {
                    let name = text(field.value.to_lowercase());
                    Some(call("get_field", vec![root.as_ref().clone(), name]))
                }
                _ => None,
            },
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                unescape(pattern, escape_char);
                None
            }
            _ => None,
        };
        if let Some(rewritten) = rewritten {
            *expr = rewritten;
        }
        ControlFlow::Continue(())
    }
}

/// Returns the rows of `ARRAY(SELECT ...)` as a list.
fn array_of_rows(function: &Function) -> Option<Expr> {
    let FunctionArguments::Subquery(query) = &function.args else {
        return None;
    };
    if !function.name.to_string().eq_ignore_ascii_case("array") || query.order_by.is_some() {
        return None;
    }
    let mut aggregate = query.clone();
    let SetExpr::Select(select) = aggregate.body.as_mut() else {
        return None;
    };
    let [SelectItem::UnnamedExpr(value)] = select.projection.as_mut_slice() else {
        return None;
    };
    *value = call("array_agg", vec![value.clone()]);
    Some(Expr::Subquery(aggregate))
}

/// Escapes by a backslash, the only character of the engine.
fn unescape(pattern: &mut Expr, escape_char: &mut Option<ValueWithSpan>) {
    let backslash = "\\".to_owned();
    let escape = match escape_char.as_ref().map(|escape| &escape.value) {
        Some(Value::SingleQuotedString(escape)) if !escape.is_empty() && *escape != backslash => {
            escape.clone()
        }
        _ => return,
    };
    let arguments = vec![pattern.clone(), text(escape), text(backslash)];
    *pattern = call("replace", arguments);
    *escape_char = None;
}

fn text(value: String) -> Expr {
    Expr::Value(Value::SingleQuotedString(value).with_empty_span())
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let arguments = arguments
        .into_iter()
        .map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// The names in a subquery, in lower case.
#[derive(Default)]
struct QueryNames {
    /// The names of its tables: aliases, and names with and without their schema.
    tables: HashSet<String>,
    /// What is before the names of columns.
    qualifiers: HashSet<String>,
    has_aggregate: bool,
}

impl QueryNames {
    fn of(query: &Query) -> Self {
        let mut names = Self::default();
        // It never breaks.
        let _ = Visit::visit(query, &mut names);
        names
    }

    /// Whether the subquery looks something up in `pg_catalog` for a row of a table outside of it.
    fn is_lookup(&self) -> bool {
        self.tables.iter().any(|table| table.starts_with("pg_catalog."))
            && !self.qualifiers.is_subset(&self.tables)
            && !self.has_aggregate
    }
}

impl Visitor for QueryNames {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let alias = match factor {
            TableFactor::Table { name, alias, .. } => {
                self.tables.insert(name.to_string().to_lowercase());
                let last = name.0.last().map(ToString::to_string);
                self.tables.extend(last.map(|last| last.to_lowercase()));
                alias
            }
            TableFactor::Derived { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::TableFunction { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::NestedJoin { alias, .. } => alias,
            _ => &None,
        };
        self.tables.extend(alias.as_ref().map(|alias| alias.name.value.to_lowercase()));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::CompoundIdentifier(parts) => {
                let before = parts.split_last().map(|(_, before)| before).unwrap_or_default();
                let names: Vec<String> =
                    before.iter().map(|part| part.value.to_lowercase()).collect();
                self.qualifiers.insert(names.join("."));
            }
            Expr::Function(function) => {
                let name = function.name.to_string().to_lowercase();
                self.has_aggregate |= AGGREGATES.contains(&name.as_str());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::{dialect::PostgreSqlDialect, parser::Parser};

    use super::*;

    fn rewritten(sql: &str) -> String {
        let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        rewrite(&mut statements[0]);
        statements[0].to_string()
    }

    #[test]
    fn values_of_other_tables_become_null() {
        for (sql, expected) in [
            (
                "SELECT CASE WHEN a.h THEN (SELECT d.x FROM pg_catalog.pg_attrdef AS d WHERE d.i = a.i) END FROM a",
                "SELECT CASE WHEN a.h THEN NULL END FROM a",
            ),
            (
                "SELECT 1 FROM s.a WHERE s.a.i = 0 OR (SELECT pg_class.k = 'c' FROM pg_catalog.pg_class WHERE pg_catalog.pg_class.i = s.a.i)",
                "SELECT 1 FROM s.a WHERE s.a.i = 0 OR NULL",
            ),
        ] {
            assert_eq!(rewritten(sql), expected);
        }
        for unchanged in [
            "SELECT (SELECT pg_catalog.pg_am.k FROM pg_catalog.pg_am WHERE pg_am.i = 1) FROM a",
            "SELECT (SELECT count(*) FROM pg_catalog.pg_am AS b WHERE b.i = a.i) FROM a",
            "SELECT (SELECT b.x FROM b WHERE b.i = a.i) FROM a",
            "SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_am AS b WHERE b.i = a.i)",
        ] {
            assert_eq!(rewritten(unchanged), unchanged);
        }
    }

    #[test]
    fn rows_fields_and_escapes_have_forms_of_the_engine() {
        for (sql, expected) in [
            (
                "SELECT ARRAY(SELECT b.n FROM b WHERE b.i = a.i) AS m FROM a",
                "SELECT (SELECT array_agg(b.n) FROM b WHERE b.i = a.i) AS m FROM a",
            ),
            (
                "SELECT (_pg_expandarray(i.k)).N FROM i WHERE (i.keys).x = 1",
                "SELECT get_field((_pg_expandarray(i.k)), 'n') FROM i WHERE get_field((i.keys), 'x') = 1",
            ),
            (
                "SELECT 1 FROM n WHERE s NOT LIKE 'pg/_' || '%' ESCAPE '/'",
                "SELECT 1 FROM n WHERE s NOT LIKE replace('pg/_' || '%', '/', '\\')",
            ),
        ] {
            assert_eq!(rewritten(sql), expected);
        }
    }
}
