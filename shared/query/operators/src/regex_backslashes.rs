//! An analyzer rule that protects regular expressions with backslashes from an incorrect optimisation of DataFusion.
//!
//! DataFusion turns a simple regular expression into `LIKE`: `~ 'a\.b'` becomes `LIKE '%a.b%'`. It escapes `%` and `_`
//! in the text, but not a backslash, which escapes the next character in a `LIKE`: `~ 'C:\\d'`, which matches `C:\d`,
//! becomes `LIKE '%C:\d%'`, which matches `C:d`. A pattern that begins with an empty group matches the same text and is
//! not optimised, so the rule puts an empty group before patterns with backslashes in their text.

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

/// An empty group of a regular expression.
const EMPTY_GROUP: &str = "()";

/// The functions that DataFusion optimises to pattern operators. The pattern is their second argument.
const REGEX_FUNCTIONS: [&str; 3] = ["regexp_like", "influx_regex_match", "influx_regex_not_match"];

/// Puts an empty group before patterns with backslashes. It runs before all other rules, because they change the
/// patterns of the statement.
#[derive(Debug)]
pub struct RegexBackslashRule;

impl AnalyzerRule for RegexBackslashRule {
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
                let expr = expr.transform_up(|expr| Ok(protect(expr)))?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        })?;
        Ok(plan.data)
    }
}

/// Returns the pattern of a pattern operator or a pattern function.
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
        Expr::ScalarFunction(call) if REGEX_FUNCTIONS.contains(&call.func.name()) => {
            call.args.get(1)
        }
        _ => None,
    }
}

fn protect(mut expr: Expr) -> Transformed<Expr> {
    let Some(with_empty_group) = pattern(&expr).and_then(with_empty_group) else {
        return Transformed::no(expr);
    };
    match &mut expr {
        Expr::BinaryExpr(BinaryExpr { right, .. }) => **right = with_empty_group,
        Expr::ScalarFunction(call) => {
            if let Some(pattern) = call.args.get_mut(1) {
                *pattern = with_empty_group;
            }
        }
        _ => return Transformed::no(expr),
    }
    Transformed::yes(expr)
}

/// Returns the pattern with an empty group before it; `None` if it needs none. A pattern from a column needs none
/// because it is never optimised. A pattern computed from constants always gets one because its value is not known yet.
fn with_empty_group(pattern: &Expr) -> Option<Expr> {
    if let Expr::Literal(value, metadata) = pattern {
        let text = value.try_as_str()??;
        if text.starts_with(EMPTY_GROUP) || !has_backslash(&regex_syntax::parse(text).ok()?) {
            return None;
        }
        let text = Some(format!("{EMPTY_GROUP}{text}"));
        let value = match value {
            ScalarValue::LargeUtf8(_) => ScalarValue::LargeUtf8(text),
            ScalarValue::Utf8View(_) => ScalarValue::Utf8View(text),
            _ => ScalarValue::Utf8(text),
        };
        return Some(Expr::Literal(value, metadata.clone()));
    }
    let is_constant = pattern.column_refs().is_empty();
    is_constant.then(|| binary_expr(lit(EMPTY_GROUP), Operator::StringConcat, pattern.clone()))
}

/// Whether the text that a pattern matches contains a backslash. The parser bounds the depth of the recursion.
fn has_backslash(pattern: &Hir) -> bool {
    match pattern.kind() {
        HirKind::Literal(text) => text.0.contains(&b'\\'),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(has_backslash),
        _ => false,
    }
}
