//! Properties of expressions that do not depend on samples.

use std::{
    collections::BTreeMap,
    iter,
    time::{Duration, SystemTime},
};

use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{
        AtModifier, BinaryExpr, Expr, LabelModifier, Offset, VectorMatchCardinality,
        VectorSelector,
        token::{T_BOTTOMK, T_LIMIT_RATIO, T_LIMITK, T_LOR, T_TOPK},
    },
};

use crate::{
    error::PromqlError,
    labels::{Labels, NAME_LABEL},
    operators::Operator,
    pattern::{compile_anchored, pattern_of},
};

/// The functions whose result depends on the time of the step, even if their arguments do not.
const FUNCTIONS_OF_STEPS: [&str; 11] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
];

/// Returns the expression without parentheses around it.
pub(crate) fn unwrapped(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => unwrapped(&paren.expr),
        other => other,
    }
}

/// Returns whether an expression has the same value at all steps, because its selectors read a fixed time.
pub(crate) fn is_step_invariant(expr: &Expr) -> bool {
    match expr {
        Expr::VectorSelector(selector) => selector.at.is_some(),
        Expr::MatrixSelector(selector) => selector.vs.at.is_some(),
        Expr::Subquery(subquery) => subquery.at.is_some(),
        Expr::Aggregate(aggregate) => is_step_invariant(&aggregate.expr),
        Expr::Binary(binary) => is_step_invariant(&binary.lhs) && is_step_invariant(&binary.rhs),
        Expr::Call(call) => {
            !FUNCTIONS_OF_STEPS.contains(&call.func.name)
                && call.args.args.iter().all(|argument| is_step_invariant(argument))
        }
        Expr::Paren(paren) => is_step_invariant(&paren.expr),
        Expr::Unary(unary) => is_step_invariant(&unary.expr),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => true,
        Expr::Extension(_) => false,
    }
}

/// Returns the number of operations that are evaluated at the same steps.
pub(crate) fn count_operations(expr: &Expr) -> usize {
    match expr {
        Expr::Aggregate(aggregate) => {
            let parameter = aggregate.param.as_deref().map_or(0, count_operations);
            1 + parameter + count_operations(&aggregate.expr)
        }
        Expr::Binary(binary) => 1 + count_operations(&binary.lhs) + count_operations(&binary.rhs),
        Expr::Call(call) => {
            let arguments = call.args.args.iter();
            1 + arguments.map(|argument| count_operations(argument)).sum::<usize>()
        }
        Expr::Paren(paren) => count_operations(&paren.expr),
        Expr::Unary(unary) => 1 + count_operations(&unary.expr),
        Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::Subquery(_)
        | Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::Extension(_) => 1,
    }
}

/// Returns whether the series of an expression may differ in the name of the metric only.
pub(crate) fn differs_in_name(expr: &Expr) -> bool {
    match expr {
        Expr::VectorSelector(selector) => !has_one_name(selector),
        Expr::MatrixSelector(selector) => !has_one_name(&selector.vs),
        Expr::Subquery(subquery) => differs_in_name(&subquery.expr),
        Expr::Paren(paren) => differs_in_name(&paren.expr),
        Expr::Aggregate(aggregate) => {
            let keeps_labels =
                matches!(aggregate.op.id(), T_TOPK | T_BOTTOMK | T_LIMITK | T_LIMIT_RATIO);
            keeps_labels && differs_in_name(&aggregate.expr)
                || matches!(&aggregate.modifier, Some(LabelModifier::Include(labels))
                    if labels.labels.iter().any(|label| label == NAME_LABEL))
        }
        Expr::Binary(binary) => binary_differs_in_name(binary),
        Expr::Call(call) => match call.func.name {
            "label_replace" | "label_join" => true,
            "first_over_time" | "last_over_time" | "sort" | "sort_desc" | "sort_by_label"
            | "sort_by_label_desc" | "info" => {
                call.args.args.iter().any(|argument| differs_in_name(argument))
            }
            _ => false,
        },
        Expr::Unary(_) | Expr::NumberLiteral(_) | Expr::StringLiteral(_) => false,
        Expr::Extension(_) => true,
    }
}

fn binary_differs_in_name(binary: &BinaryExpr) -> bool {
    let (left, right) = (&binary.lhs, &binary.rhs);
    match (binary.op.is_set_operator(), binary.op.id()) {
        (true, T_LOR) => true,
        (true, _) => differs_in_name(left),
        (false, _) => {
            let is_arithmetic =
                Operator::from_token(binary.op).is_some_and(Operator::is_arithmetic);
            let card = binary.modifier.as_ref().map(|modifier| &modifier.card);
            let includes_labels = matches!(card,
                Some(VectorMatchCardinality::ManyToOne(labels)
                | VectorMatchCardinality::OneToMany(labels)) if !labels.is_empty());
            let keeps_name = !is_arithmetic && !binary.return_bool();
            includes_labels || keeps_name && (differs_in_name(left) || differs_in_name(right))
        }
    }
}

/// Returns whether a selector selects series of one metric.
fn has_one_name(selector: &VectorSelector) -> bool {
    selector.name.is_some()
        || selector
            .matchers
            .matchers
            .iter()
            .any(|matcher| matcher.name == NAME_LABEL && matcher.op == MatchOp::Equal)
}

/// Returns a matcher whose pattern matches whole values as in Prometheus.
fn anchored(matcher: &Matcher) -> Result<Matcher, PromqlError> {
    let pattern = pattern_of(matcher);
    let compile = || {
        compile_anchored(pattern)
            .map_err(|error| PromqlError::BadData(format!("the pattern {pattern:?}: {error}")))
    };
    let op = match &matcher.op {
        MatchOp::Re(_) => MatchOp::Re(compile()?),
        MatchOp::NotRe(_) => MatchOp::NotRe(compile()?),
        other => other.clone(),
    };
    Ok(Matcher::new(op, &matcher.name, pattern))
}

/// Returns the matchers of a selector, with the one of the name.
pub(crate) fn matchers(selector: &VectorSelector) -> Result<Vec<Matcher>, PromqlError> {
    let name = selector.name.as_deref();
    let name_matcher = name.map(|name| Ok(Matcher::new(MatchOp::Equal, NAME_LABEL, name)));
    let others = selector.matchers.matchers.iter().map(anchored);
    name_matcher.into_iter().chain(others).collect()
}

/// Returns the selectors of an expression, in the order in which Prometheus visits them.
fn selectors(expr: &Expr) -> Vec<&VectorSelector> {
    let operands: Vec<&Expr> = match expr {
        Expr::VectorSelector(selector) => return vec![selector],
        Expr::MatrixSelector(selector) => return vec![&selector.vs],
        Expr::Aggregate(aggregate) => {
            iter::once(&*aggregate.expr).chain(aggregate.param.as_deref()).collect()
        }
        Expr::Binary(binary) => vec![&*binary.lhs, &*binary.rhs],
        Expr::Call(call) => call.args.args.iter().map(|argument| &**argument).collect(),
        Expr::Paren(paren) => vec![&*paren.expr],
        Expr::Unary(unary) => vec![&*unary.expr],
        Expr::Subquery(subquery) => vec![&*subquery.expr],
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Vec::new(),
    };
    operands.into_iter().flat_map(selectors).collect()
}

/// Returns the first selector of an expression.
pub(crate) fn first_selector(expr: &Expr) -> Option<&VectorSelector> {
    selectors(expr).first().copied()
}

/// Returns the matchers of each selector of an expression. The name of the metric is one of them.
///
/// # Errors
/// A pattern can't be compiled.
pub fn selector_matchers(expr: &Expr) -> Result<Vec<Vec<Matcher>>, PromqlError> {
    selectors(expr).into_iter().map(matchers).collect()
}

/// Returns the labels of the series that says that a selector has no series: those that it requires.
pub(crate) fn absent_labels(expr: &Expr) -> Labels {
    let selector = match unwrapped(expr) {
        Expr::VectorSelector(selector) => selector,
        Expr::MatrixSelector(selector) => &selector.vs,
        _ => return Labels::default(),
    };
    let mut required: BTreeMap<&str, &str> = BTreeMap::new();
    for matcher in &selector.matchers.matchers {
        let name = matcher.name.as_str();
        if let Some(value) = required.get_mut(name) {
            // Further matchers leave it open which value the label has.
            *value = "";
        } else if name != NAME_LABEL && matcher.op == MatchOp::Equal {
            required.insert(name, &matcher.value);
        }
    }
    Labels::from_pairs(required.into_iter().map(|(name, value)| (name.into(), value.into())))
}

pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Returns an offset in milliseconds.
pub(crate) fn offset_ms(offset: Option<&Offset>) -> i64 {
    match offset {
        None => 0,
        Some(Offset::Pos(duration)) => milliseconds(*duration),
        Some(Offset::Neg(duration)) => milliseconds(*duration).saturating_neg(),
    }
}

/// Returns the time of `@` in a query from a first to a last time.
pub(crate) fn at_ms(at: Option<&AtModifier>, (start_ms, end_ms): (i64, i64)) -> Option<i64> {
    Some(match at? {
        AtModifier::Start => start_ms,
        AtModifier::End => end_ms,
        AtModifier::At(time) => match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => milliseconds(after),
            Err(before) => milliseconds(before.duration()).saturating_neg(),
        },
    })
}

#[cfg(test)]
mod tests {
    use promql_parser::parser::parse;

    use super::*;

    #[test]
    fn expressions_of_fixed_times_do_not_depend_on_the_step() {
        for (text, expected) in [
            ("x @ 1", true),
            ("x", false),
            ("sum(rate(x[5m] @ end()))", true),
            ("x @ 1 + x", false),
            ("timestamp(x @ 1)", false),
            ("predict_linear(x[5m] @ 1, 60)", false),
            ("max_over_time(x[5m:1m] @ 1)", true),
            ("max_over_time((x @ 1)[5m:1m])", false),
            ("1 + 2", true),
            ("time()", false),
        ] {
            assert_eq!(is_step_invariant(&parse(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn operations_of_subqueries_have_other_steps() {
        for (text, expected) in [
            ("1", 1),
            ("-(x + 2)", 4),
            ("topk(1, rate(x[5m]))", 4),
            ("max_over_time((x + y + z)[1h:1m]) / 2", 4),
        ] {
            assert_eq!(count_operations(&parse(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn series_of_several_metrics_may_differ_in_the_name() {
        for (text, expected) in [
            ("x", false),
            (r#"{__name__="x"}"#, false),
            (r#"{__name__=~"x|y"}"#, true),
            (r#"rate({__name__=~"x|y"}[5m])"#, false),
            (r#"last_over_time({__name__=~"x|y"}[5m])"#, true),
            ("x or y", true),
            ("x and y", false),
            (r#"{job="a"} > 1"#, true),
            (r#"{job="a"} > bool 1"#, false),
            ("sum by (job) (x)", false),
            ("sum by (__name__) (x)", true),
            (r#"topk(1, {job="a"})"#, true),
        ] {
            assert_eq!(differs_in_name(&parse(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn absent_series_have_the_required_labels() {
        let expr = parse(r#"x{job="a",zone="b",zone="c",node=~"d"}"#).unwrap();
        assert_eq!(absent_labels(&expr).to_string(), r#"{job="a"}"#);
        assert_eq!(absent_labels(&parse("sum(x)").unwrap()), Labels::default());
    }

    #[test]
    fn patterns_match_the_whole_value() {
        let Expr::VectorSelector(selector) = parse(r#"x{job=~"a.*c"}"#).unwrap() else {
            panic!("no selector");
        };
        let matchers = matchers(&selector).unwrap();
        assert_eq!(matchers.len(), 2);
        assert!(matchers.iter().all(|matcher| matcher.is_match("x") || matcher.is_match("a\nc")));
        assert!(!matchers[1].is_match("abcd"));
    }

    #[test]
    fn times_before_1970_are_negative() {
        let bounds = (10, 20);
        let before = AtModifier::At(SystemTime::UNIX_EPOCH - Duration::from_millis(5));
        assert_eq!(at_ms(Some(&before), bounds), Some(-5));
        assert_eq!(at_ms(Some(&AtModifier::End), bounds), Some(20));
        assert_eq!(offset_ms(Some(&Offset::Neg(Duration::from_secs(1)))), -1_000);
    }
}
