//! Regular expressions with backslashes, kept from being optimised wrongly.
//!
//! DataFusion turns a simple regular expression into `LIKE`: `~ 'a\.b'` is `LIKE '%a.b%'`. It takes care of
//! `%` and `_` in the text, but not of a backslash, which escapes the next character in a `LIKE`: `~ 'C:\\d'`,
//! which matches `C:\d`, becomes `LIKE '%C:\d%'`, which matches `C:d`. A pattern that begins with an empty
//! group matches the same and is left as it is, so that is what patterns with backslashes in their text get.

use datafusion::{
    common::{
        Result, ScalarValue,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        BinaryExpr, Expr, LogicalPlan, Operator, binary_expr, expr_rewriter::NamePreserver, lit,
    },
    optimizer::AnalyzerRule,
};
use regex_syntax::hir::{Hir, HirKind};

/// An empty group.
const GROUP: &str = "()";

/// The functions that are optimised to operators of patterns. The pattern is their second argument.
const FUNCTIONS: [&str; 3] = [
    "regexp_like",
    "influx_regex_match",
    "influx_regex_not_match",
];

/// The rule. It comes before all others, while patterns are what the statement says.
#[derive(Debug)]
pub(crate) struct KeepBackslashes;

impl AnalyzerRule for KeepBackslashes {
    fn name(&self) -> &'static str {
        "keep_backslashes"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(|node| {
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                if !expr.exists(|expr| Ok(pattern(expr).is_some()))? {
                    return Ok(Transformed::no(expr));
                }
                let name = names.save(&expr);
                let expr = expr.transform_up(|expr| Ok(kept(expr)))?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        })?;
        Ok(plan.data)
    }
}

/// The pattern of an operator or a function of one.
fn pattern(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            op:
                Operator::RegexMatch
                | Operator::RegexIMatch
                | Operator::RegexNotMatch
                | Operator::RegexNotIMatch,
            right,
            ..
        }) => Some(right),
        Expr::ScalarFunction(call) if FUNCTIONS.contains(&call.func.name()) => call.args.get(1),
        _ => None,
    }
}

fn kept(mut expr: Expr) -> Transformed<Expr> {
    let Some(grouped) = pattern(&expr).and_then(grouped) else {
        return Transformed::no(expr);
    };
    match &mut expr {
        Expr::BinaryExpr(BinaryExpr { right, .. }) => **right = grouped,
        Expr::ScalarFunction(call) => {
            if let Some(pattern) = call.args.get_mut(1) {
                *pattern = grouped;
            }
        }
        _ => return Transformed::no(expr),
    }
    Transformed::yes(expr)
}

/// A pattern behind an empty group, if it needs one. That of a column is never optimised, but one that is
/// computed from constants can be anything.
fn grouped(pattern: &Expr) -> Option<Expr> {
    if let Expr::Literal(value, metadata) = pattern {
        let text = value.try_as_str()??;
        if text.starts_with(GROUP) || !has_backslash(&regex_syntax::parse(text).ok()?) {
            return None;
        }
        let text = Some(format!("{GROUP}{text}"));
        let value = match value {
            ScalarValue::LargeUtf8(_) => ScalarValue::LargeUtf8(text),
            ScalarValue::Utf8View(_) => ScalarValue::Utf8View(text),
            _ => ScalarValue::Utf8(text),
        };
        return Some(Expr::Literal(value, metadata.clone()));
    }
    let is_constant = pattern.column_refs().is_empty();
    is_constant.then(|| binary_expr(lit(GROUP), Operator::StringConcat, pattern.clone()))
}

/// Whether there is a backslash in the text that a pattern matches. Nesting is bounded by the parser.
fn has_backslash(pattern: &Hir) -> bool {
    match pattern.kind() {
        HirKind::Literal(text) => text.0.contains(&b'\\'),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(has_backslash),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::instance::Instance;

    const PATHS: &str = r#"
paths,d=C:\dir,n=1 text="C:\\dir" 1700000000000000000
paths,d=C:dir,n=2 text="C:dir" 1700000000000000000
paths,d=a_b,n=3 text="a_b" 1700000000000000000
paths,d=a-b,n=4 text="a-b" 1700000000000000000
paths,d=100%,n=5 text="100%" 1700000000000000000
paths,d=100x,n=6 text="100x" 1700000000000000000
"#;

    #[tokio::test]
    async fn a_backslash_in_a_pattern_is_one_in_the_text() {
        let instance = Instance::alone().await;
        instance.write(PATHS).await;
        let conditions = [
            (r"~ 'C:\\dir'", "1"),
            (r"~ '^C:\\dir$'", "1"),
            (r"~ '^(C:\\dir)$'", "1"),
            (r"~ '^C:\\'", "1"),
            (r"~ '\\dir$'", "1"),
            (r"~ '\\'", "1"),
            (r"~ '[\\]'", "1"),
            (r"~ '\\|x$'", "1\n6"),
            (r"~ 'C:\\|a_|0%|0x'", "1\n3\n5\n6"),
            (r"~ ('C:' || '\\dir')", "1"),
            (r"~ 'a\Db'", "3\n4"),
            (r"~ '00%'", "5"),
            (r"~* 'c:\\DIR'", "1"),
            (r"~* '^c:\\DIR$'", "1"),
            (r"!~ '\\'", "2\n3\n4\n5\n6"),
            (r"!~* 'C:\\D'", "2\n3\n4\n5\n6"),
        ];
        for column in ["d", "text"] {
            for (condition, rows) in conditions {
                let sql = format!("SELECT n FROM paths WHERE {column} {condition} ORDER BY n");
                assert_eq!(instance.sql(&sql).await, format!("n\n{rows}\n"), "{sql}");
            }
            for (function, rows) in [
                ("regexp_like(%, 'C:\\\\d')", "1"),
                ("regexp_like(%, 'c:\\\\D', 'i')", "1"),
                ("influx_regex_match(%, '\\\\')", "1"),
                ("influx_regex_not_match(%, '\\\\')", "2\n3\n4\n5\n6"),
            ] {
                let condition = function.replace('%', column);
                let sql = format!("SELECT n FROM paths WHERE {condition} ORDER BY n");
                assert_eq!(instance.sql(&sql).await, format!("n\n{rows}\n"), "{sql}");
            }
        }
    }

    #[tokio::test]
    async fn columns_are_called_what_the_statement_says() {
        let instance = Instance::alone().await;
        instance.write(PATHS).await;
        let sql = r"SELECT d ~ '\\', count(*) AS n FROM paths GROUP BY d ~ '\\' ORDER BY n";
        assert_eq!(
            instance.sql(sql).await,
            "\"paths.d ~ Utf8(\"\"\\\\\"\")\",n\ntrue,1\nfalse,5\n"
        );
    }
}
