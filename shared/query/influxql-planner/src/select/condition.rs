//! Conditions on rows, by the rules of InfluxQL.
//!
//! * A missing tag equals the empty string, and so does a column that does not exist.
//! * A missing field satisfies no comparison.
//! * Values of incompatible types, such as a number and a string, satisfy no comparison either.

use datafusion::{
    common::{Result, ScalarValue, plan_datafusion_err, plan_err},
    functions::expr_fn::coalesce,
    logical_expr::{Expr, Operator, ident, in_list, lit},
};
use neap_formats::series::AnswerInterface;
use neap_influxql::{Column, CompareOp, Condition, Expr as Ast, Literal, Regex};
use neap_schema::{ColumnType, TIME_COLUMN};
use neap_tables::balanced;

use super::{
    columns::{ResolvedColumn, SourceColumns},
    time::{TimeContext, is_time, swap_sides},
    typed_expr::TypedExpr,
    v1_errors,
    value::{binary, evaluate, promote_for_comparison},
};

/// The context of conditions: the columns of one source, and the clock.
#[derive(Debug)]
pub(super) struct ConditionContext<'a> {
    pub(super) columns: &'a SourceColumns,
    pub(super) clock: &'a TimeContext,
}

/// Compiles a regular expression.
///
/// # Errors
/// A planning error if it is invalid. Its text begins as that of InfluxDB 1, and has the same words for the most frequent
/// reasons.
pub fn compile_pattern(Regex(pattern): &Regex) -> Result<regex::Regex> {
    regex::Regex::new(pattern).map_err(|error| {
        let text = error.to_string();
        // The last line of an error of syntax is the reason.
        let reason = text.rsplit("error: ").next().unwrap_or_default();
        let reason = match reason {
            "unclosed group" => "missing closing )",
            "unopened group" => "unexpected )",
            "unclosed character class" => "missing closing ]",
            "repetition operator missing expression" => "missing argument to repetition operator",
            "unrecognized escape sequence" => "invalid escape sequence",
            other => other,
        };
        plan_datafusion_err!("error parsing regexp: {reason}: `{pattern}`")
    })
}

impl ConditionContext<'_> {
    /// Translates a condition into a predicate.
    pub(super) fn predicate(&self, condition: &Condition) -> Result<Expr> {
        match condition {
            Condition::And(parts) => Ok(balanced(self.predicates(parts)?, Expr::and)),
            Condition::Or(parts) => match self.one_of(parts) {
                Some(list) => Ok(list),
                None => Ok(balanced(self.predicates(parts)?, Expr::or)),
            },
            Condition::Compare { left, op, right } => self.comparison(left, *op, right),
            Condition::Value(expr) => {
                let value = self.value(expr)?;
                Ok(match value.kind {
                    Some(ColumnType::Boolean) => value.expr,
                    _ => lit(false),
                })
            }
        }
    }

    fn predicates(&self, parts: &[Condition]) -> Result<Vec<Expr>> {
        parts.iter().map(|part| self.predicate(part)).collect()
    }

    /// Rewrites `tag = 'a' OR tag = 'b' ...` to an `IN` list, which is evaluated faster.
    fn one_of(&self, parts: &[Condition]) -> Option<Expr> {
        let mut tag: Option<&Column> = None;
        let mut list = Vec::with_capacity(parts.len());
        for part in parts {
            let Condition::Compare {
                left: Ast::Column(column),
                op: CompareOp::Equal,
                right: Ast::Literal(Literal::String(text)),
            } = part
            else {
                return None;
            };
            if text.is_empty() || tag.is_some_and(|tag| tag != column) {
                return None;
            }
            tag = Some(column);
            list.push(lit(text.clone()));
        }
        let tag = tag.filter(|tag| self.columns.resolve(tag) == ResolvedColumn::Tag)?;
        Some(in_list(ident(&tag.name), list, false))
    }

    fn value(&self, expr: &Ast) -> Result<TypedExpr> {
        evaluate(expr, AnswerInterface::V3, &|expr| match expr {
            Ast::Column(column) => Some(self.column(column)),
            Ast::Call(call) if call.name == "now" => {
                Some(TypedExpr::new(nanos(self.clock.now), ColumnType::Time))
            }
            _ => None,
        })
    }

    fn column(&self, column: &Column) -> TypedExpr {
        let read = ident(&column.name);
        match self.columns.resolve(column) {
            ResolvedColumn::Time => TypedExpr::new(read, ColumnType::Time),
            ResolvedColumn::Tag => TypedExpr::new(read, ColumnType::Tag),
            ResolvedColumn::Field(kind, wanted) => TypedExpr::new(read, kind).read_as(wanted),
            ResolvedColumn::Unknown => TypedExpr::new(lit(""), ColumnType::Tag),
        }
    }

    fn comparison(&self, left: &Ast, op: CompareOp, right: &Ast) -> Result<Expr> {
        if is_time(left) {
            return self.time(op, right);
        }
        if is_time(right) {
            return self.time(swap_sides(op), left);
        }
        let is_match = matches!(op, CompareOp::Matches | CompareOp::NotMatches);
        match right {
            Ast::Regex(regex) if is_match => {
                return matches(self.value(left)?, op == CompareOp::Matches, regex);
            }
            _ if is_match || matches!(left, Ast::Regex(_)) || matches!(right, Ast::Regex(_)) => {
                return plan_err!(
                    "invalid condition: regular expressions are only allowed to the right of =~ and !~"
                );
            }
            _ => {}
        }
        let (left, right) = (self.value(left)?, self.value(right)?);
        Ok(match (left.kind, right.kind) {
            (Some(one), Some(two)) if is_text(one) && is_text(two) => texts(left, op, right),
            (Some(ColumnType::Boolean), Some(ColumnType::Boolean)) => match op {
                CompareOp::Equal | CompareOp::NotEqual => {
                    binary(left.expr, operator(op), right.expr)
                }
                _ => lit(false),
            },
            (Some(ColumnType::Time), Some(ColumnType::Time)) => {
                binary(left.expr, operator(op), right.expr)
            }
            _ => match promote_for_comparison(left, right) {
                Some((left, right)) => binary(left, operator(op), right),
                None => lit(false),
            },
        })
    }

    fn time(&self, op: CompareOp, constant: &Ast) -> Result<Expr> {
        match self.clock.instant(constant)? {
            Some(instant) if !matches!(op, CompareOp::Matches | CompareOp::NotMatches) => {
                Ok(binary(ident(TIME_COLUMN), operator(op), nanos(instant)))
            }
            _ if self.clock.interface == AnswerInterface::V1 => v1_errors::refuse_operand(constant),
            _ => plan_err!("invalid expression \"time {} {constant}\"", operator(op)),
        }
    }
}

/// Returns whether only rows with a value in one of some fields satisfy a condition: one that compares such a field with a
/// constant. A missing field satisfies no comparison, and scans skip pages without values by comparisons with constants.
pub(super) fn requires_value(condition: &Condition, is_field: &dyn Fn(&Column) -> bool) -> bool {
    let requires = |part: &Condition| requires_value(part, is_field);
    match condition {
        Condition::And(parts) => parts.iter().any(requires),
        Condition::Or(parts) => !parts.is_empty() && parts.iter().all(requires),
        Condition::Compare { left, right, .. } => match (left, right) {
            (Ast::Column(column), Ast::Literal(_)) | (Ast::Literal(_), Ast::Column(column)) => {
                is_field(column)
            }
            _ => false,
        },
        Condition::Value(_) => false,
    }
}

/// Returns a time as a constant.
pub(super) fn nanos(time: i64) -> Expr {
    lit(ScalarValue::TimestampNanosecond(Some(time), None))
}

fn is_text(kind: ColumnType) -> bool {
    matches!(kind, ColumnType::Tag | ColumnType::String)
}

fn operator(op: CompareOp) -> Operator {
    match op {
        CompareOp::Equal => Operator::Eq,
        CompareOp::NotEqual => Operator::NotEq,
        CompareOp::Less => Operator::Lt,
        CompareOp::LessOrEqual => Operator::LtEq,
        CompareOp::Greater => Operator::Gt,
        CompareOp::GreaterOrEqual => Operator::GtEq,
        CompareOp::Matches => Operator::RegexMatch,
        CompareOp::NotMatches => Operator::RegexNotMatch,
    }
}

fn texts(left: TypedExpr, op: CompareOp, right: TypedExpr) -> Expr {
    if let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = &right.expr {
        let text = text.clone();
        return text_with_constant(left, op, &text);
    }
    if matches!(left.expr, Expr::Literal(..)) {
        return texts(right, swap_sides(op), left);
    }
    binary(filled(left), operator(op), filled(right))
}

/// Compares a text with a constant. Uses forms that a scan can use for pruning, if there are any.
fn text_with_constant(left: TypedExpr, op: CompareOp, text: &str) -> Expr {
    let is_tag = left.kind == Some(ColumnType::Tag);
    let column = left.expr.clone();
    let plain = binary(left.expr.clone(), operator(op), lit(text));
    match (op, text) {
        _ if !is_tag => plain,
        (CompareOp::Equal, "") => column.is_null().or(plain),
        (CompareOp::Equal, _) => plain,
        (CompareOp::NotEqual, "") => column.is_not_null().and(plain),
        (CompareOp::NotEqual, _) => column.is_null().or(plain),
        _ => binary(filled(left), operator(op), lit(text)),
    }
}

/// Replaces a missing tag by the empty string.
fn filled(value: TypedExpr) -> Expr {
    match value.kind {
        Some(ColumnType::Tag) => coalesce(vec![value.expr, lit("")]),
        _ => value.expr,
    }
}

fn matches(value: TypedExpr, wanted: bool, regex: &Regex) -> Result<Expr> {
    let pattern = compile_pattern(regex)?;
    let op = if wanted {
        Operator::RegexMatch
    } else {
        Operator::RegexNotMatch
    };
    let matches = binary(value.expr.clone(), op, lit(regex.0.clone()));
    Ok(match (value.kind, &value.expr) {
        (Some(ColumnType::Tag), Expr::Literal(..)) => lit(pattern.is_match("") == wanted),
        (Some(ColumnType::Tag), _) if pattern.is_match("") == wanted => {
            value.expr.is_null().or(matches)
        }
        (Some(ColumnType::Tag | ColumnType::String), _) => matches,
        _ => lit(false),
    })
}
