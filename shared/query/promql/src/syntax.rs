//! Parses expressions, and refuses those that the evaluation does not support.

use std::{sync::LazyLock, time::Duration};

use promql_parser::parser::{
    self, AtModifier, BinModifier, Call, Expr, Function, LabelModifier, VectorSelector,
    register_extra_functions, value::ValueType,
};

use crate::{
    error::{PromqlError, bad_data, unsupported_function},
    expr_properties::{at_ms, unwrapped},
    histogram_estimates::histogram_function,
    number_functions::{number_function, time_function},
    pattern_memory::{check_patterns, check_quoted_patterns},
    range_function::range_function,
};

/// Maximum bytes of an expression.
const MAX_TEXT: usize = 1 << 20;

/// Maximum number of operators, calls and parentheses of an expression. It bounds the depth of the expression, and of what parses
/// and evaluates it.
const MAX_OPERATIONS: usize = 200;

/// Maximum number of matchers of a selector, of labels of a modifier and of arguments of a call. It bounds the time that each
/// series takes.
const MAX_ITEMS: usize = 256;

/// Maximum seconds of a duration that is a number, about 292 years. The parser panics on numbers that are no duration.
const MAX_DURATION: f64 = 9.2e9;

/// The functions that have an implementation of their own.
const OTHER_FUNCTIONS: [&str; 19] = [
    "absent",
    "clamp",
    "clamp_max",
    "clamp_min",
    "histogram_fraction",
    "histogram_quantile",
    "info",
    "label_join",
    "label_replace",
    "pi",
    "round",
    "scalar",
    "sort",
    "sort_by_label",
    "sort_by_label_desc",
    "sort_desc",
    "time",
    "timestamp",
    "vector",
];

/// Returns the end of a quoted text that begins with its quote. The parser knows escapes in all kinds of quotes.
fn text_end(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (position, next) in text.char_indices().skip(1) {
        if is_escaped {
            is_escaped = false;
        } else if next == '\\' {
            is_escaped = true;
        } else if next == quote {
            return position + next.len_utf8();
        }
    }
    text.len()
}

/// Returns the end of a word or a number, where the lexer of the parser finds it. A word has no dots, and a hexadecimal number
/// has no exponent.
fn word_end(text: &str) -> usize {
    let is_number = text.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let has_exponent = is_number && !is_hexadecimal(text);
    let inner = if is_number { '.' } else { ':' };
    let mut before = ' ';
    for (position, next) in text.char_indices() {
        let is_exponent_sign =
            has_exponent && matches!(next, '+' | '-') && matches!(before, 'e' | 'E');
        if !(next.is_alphanumeric() || next == '_' || next == inner || is_exponent_sign) {
            return position;
        }
        before = next;
    }
    text.len()
}

/// Returns whether a number is hexadecimal.
fn is_hexadecimal(text: &str) -> bool {
    text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"))
}

/// Returns whether a word is a duration with a part that the parser would ignore, because it has more than 32 bits.
fn has_large_part(word: &str) -> bool {
    let is_duration = word.starts_with(|first: char| first.is_ascii_digit())
        && word.contains(['s', 'm', 'h', 'd', 'w', 'y'])
        && !is_hexadecimal(word);
    let mut parts = word.split(|next: char| !next.is_ascii_digit());
    is_duration && parts.any(|part| !part.is_empty() && part.parse::<u32>().is_err())
}

/// Returns whether the parser cannot turn a number of seconds into a duration.
fn is_too_long(seconds: f64) -> bool {
    seconds.is_nan() || seconds > MAX_DURATION
}

/// What bounds the work of the parser.
#[derive(Debug, Default)]
struct ScannedText<'a> {
    /// The number of operators, calls and parentheses, which bounds the depth of the expression.
    operations: usize,
    /// The patterns of matchers, in quotes.
    patterns: Vec<&'a str>,
}

/// Counts operations, and collects patterns. Refuses numbers that the parser cannot make a duration of.
fn scan(text: &str) -> Result<ScannedText<'_>, PromqlError> {
    let mut scanned = ScannedText::default();
    let mut rest = text;
    let (mut brackets, mut braces) = (0_usize, 0_usize);
    let mut follows_offset = false;
    let mut follows_match = false;
    while let Some(next) = rest.chars().next() {
        let end = match next {
            '"' | '\'' | '`' => {
                let end = text_end(rest, next);
                scanned.patterns.extend(rest.get(..end).filter(|_| follows_match));
                end
            }
            '#' => rest.find(['\n', '\r']).unwrap_or(rest.len()),
            _ if next.is_alphanumeric() || matches!(next, '_' | '.') => {
                let end = word_end(rest);
                let (word, _) = rest.split_at(end);
                let is_duration = brackets > 0 || follows_offset;
                if is_duration && word.parse().is_ok_and(is_too_long) || has_large_part(word) {
                    return Err(bad_data(format!("duration out of range: {word}")));
                }
                follows_offset = word.eq_ignore_ascii_case("offset");
                let is_operator = ["and", "or", "unless", "atan2"]
                    .iter()
                    .any(|operator| word.eq_ignore_ascii_case(operator));
                scanned.operations += usize::from(is_operator && braces == 0);
                end
            }
            _ => {
                match next {
                    '[' => brackets += 1,
                    ']' => brackets = brackets.saturating_sub(1),
                    '{' => braces += 1,
                    '}' => braces = braces.saturating_sub(1),
                    _ => {}
                }
                scanned.operations += usize::from(braces == 0 && "([+-*/%^<>=!".contains(next));
                next.len_utf8()
            }
        };
        if !next.is_whitespace() && next != '#' {
            // The operators `=~` and `!~`.
            follows_match = next == '~';
        }
        rest = rest.get(end..).unwrap_or_default();
    }
    Ok(scanned)
}

/// Checks what the parser does not: the size of the expression and of its patterns, and the numbers that are durations.
fn check_text(text: &str) -> Result<(), PromqlError> {
    if text.len() > MAX_TEXT {
        return Err(bad_data(format!("the expression has more than {MAX_TEXT} bytes")));
    }
    let scanned = scan(text)?;
    if scanned.operations > MAX_OPERATIONS {
        let error = "the expression is too complex: it has more than";
        return Err(bad_data(format!("{error} {MAX_OPERATIONS} operations")));
    }
    check_quoted_patterns(&scanned.patterns)
}

/// Returns whether a function can be evaluated.
fn is_supported(name: &str) -> bool {
    OTHER_FUNCTIONS.contains(&name)
        || range_function(name).is_some()
        || number_function(name).is_some()
        || time_function(name).is_some()
        || histogram_function(name).is_some()
}

/// Refuses times that are no number of milliseconds.
fn check_at(at: Option<&AtModifier>) -> Result<(), PromqlError> {
    match at_ms(at, (0, 0)) {
        Some(time) if time.unsigned_abs() == i64::MAX.unsigned_abs() => {
            Err(bad_data("parse error: timestamp out of bounds for @ modifier"))
        }
        _ => Ok(()),
    }
}

/// Refuses lists that are too long.
fn check_count(items: &str, count: usize) -> Result<(), PromqlError> {
    if count > MAX_ITEMS {
        let text = format!("the expression is too complex: more than {MAX_ITEMS} {items}");
        return Err(bad_data(text));
    }
    Ok(())
}

fn check_labels(modifier: Option<&LabelModifier>) -> Result<(), PromqlError> {
    let count = modifier.map_or(0, |modifier| modifier.labels().labels.len());
    check_count("labels in a list", count)
}

fn check_selector(selector: &VectorSelector) -> Result<(), PromqlError> {
    if !selector.matchers.or_matchers.is_empty() {
        let text = "parse error: unexpected \"or\" in label matching, expected \",\" or \"}\"";
        return Err(bad_data(text));
    }
    check_count("matchers in a selector", selector.matchers.matchers.len())?;
    check_at(selector.at.as_ref())
}

/// Refuses ranges and steps of less than a millisecond.
fn check_duration(duration: Duration) -> Result<(), PromqlError> {
    if duration.as_millis() == 0 {
        return Err(bad_data("parse error: duration must be greater than 0"));
    }
    Ok(())
}

fn check_modifier(modifier: &BinModifier) -> Result<(), PromqlError> {
    let fill = &modifier.fill_values;
    if fill.lhs.is_some() || fill.rhs.is_some() {
        let text = "the modifiers fill, fill_left and fill_right are not supported";
        return Err(bad_data(text));
    }
    check_labels(modifier.matching.as_ref())?;
    let included = modifier.card.labels().map_or(0, |labels| labels.labels.len());
    check_count("labels in a list", included)
}

/// Refuses conditions on info series that are no matchers in braces.
fn check_info(conditions: &Expr) -> Result<(), PromqlError> {
    match unwrapped(conditions) {
        Expr::VectorSelector(selector)
            if selector.name.is_none() && selector.offset.is_none() && selector.at.is_none() =>
        {
            Ok(())
        }
        _ => Err(bad_data("parse error: expected label selectors only")),
    }
}

/// Refuses calls that the evaluation does not support, and collects the patterns of `label_replace`.
fn check_call<'e>(call: &'e Call, patterns: &mut Vec<&'e str>) -> Result<(), PromqlError> {
    let (name, arguments) = (call.func.name, &call.args.args);
    if !is_supported(name) {
        return Err(unsupported_function(name));
    }
    check_count("arguments of a call", arguments.len())?;
    if let Some(conditions) = arguments.get(1).filter(|_| name == "info") {
        check_info(conditions)?;
    }
    let last = arguments.last().map(|argument| unwrapped(argument));
    if let Some(Expr::StringLiteral(pattern)) = last.filter(|_| name == "label_replace") {
        patterns.push(&pattern.val);
    }
    arguments.iter().try_for_each(|argument| check(argument, patterns))
}

/// Refuses what the evaluation does not support, and collects the patterns of `label_replace`.
fn check<'e>(expr: &'e Expr, patterns: &mut Vec<&'e str>) -> Result<(), PromqlError> {
    match expr {
        Expr::Aggregate(aggregate) => {
            check_labels(aggregate.modifier.as_ref())?;
            if let Some(parameter) = &aggregate.param {
                check(parameter, patterns)?;
            }
            check(&aggregate.expr, patterns)
        }
        Expr::Binary(binary) => {
            binary.modifier.as_ref().map_or(Ok(()), check_modifier)?;
            check(&binary.lhs, patterns)?;
            check(&binary.rhs, patterns)
        }
        Expr::Call(call) => check_call(call, patterns),
        Expr::Paren(paren) => check(&paren.expr, patterns),
        Expr::Unary(unary) => check(&unary.expr, patterns),
        Expr::Subquery(subquery) => {
            check_at(subquery.at.as_ref())?;
            check_duration(subquery.range)?;
            subquery.step.map_or(Ok(()), check_duration)?;
            check(&subquery.expr, patterns)
        }
        Expr::VectorSelector(selector) => check_selector(selector),
        Expr::MatrixSelector(selector) => {
            check_duration(selector.range)?;
            check_selector(&selector.vs)
        }
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(()),
        Expr::Extension(_) => Err(bad_data("extensions are not supported")),
    }
}

/// The registration of the former name of a function with the parser.
static FORMER_NAMES: LazyLock<Result<(), String>> = LazyLock::new(|| {
    let arguments = vec![ValueType::Matrix, ValueType::Scalar, ValueType::Scalar];
    let function = Function::new("holt_winters", arguments, 0, ValueType::Vector, true);
    register_extra_functions(vec![function])
});

/// Parses an expression. [`Expr::value_type`] is its type: a range query needs a scalar or an instant vector.
///
/// # Errors
/// [`PromqlError::BadData`] if the text is no expression, or if it needs what is not supported.
pub fn parse(text: &str) -> Result<Expr, PromqlError> {
    check_text(text)?;
    FORMER_NAMES.as_ref().map_err(|error| bad_data(error.as_str()))?;
    let expr = parser::parse(text).map_err(|error| bad_data(format!("parse error: {error}")))?;
    let mut patterns = Vec::new();
    check(&expr, &mut patterns)?;
    check_patterns(&patterns)?;
    Ok(expr)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces of expressions whose ends are hard to tell.
    const PIECES: [&str; 24] = [
        "0X1e+",
        "0x1e-",
        "1e+1",
        "1E5",
        ".5",
        "5.",
        "1h",
        "+",
        "-",
        "^",
        "atan2",
        "and",
        "x",
        "a:b",
        "x{a='('}",
        "{a=~\"]\"}",
        "(",
        ")",
        "[5m]",
        "[5m:1m]",
        "abs(",
        " ",
        "# (\n",
        "offset",
    ];

    /// Returns the number of expressions around the innermost one.
    fn depth(expr: &Expr) -> usize {
        let inner = match expr {
            Expr::Aggregate(aggregate) => depth(&aggregate.expr),
            Expr::Binary(binary) => depth(&binary.lhs).max(depth(&binary.rhs)),
            Expr::Call(call) => {
                call.args.args.iter().map(|argument| depth(argument)).max().unwrap_or_default()
            }
            Expr::Paren(paren) => depth(&paren.expr),
            Expr::Unary(unary) => depth(&unary.expr),
            Expr::Subquery(subquery) => depth(&subquery.expr),
            _ => return 0,
        };
        inner + 1
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(4_096)))]

        #[test]
        fn operations_bound_the_depth_of_expressions(
            pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 1..10),
        ) {
            let text = pieces.concat();
            if let (Ok(scanned), Ok(expr)) = (scan(&text), parser::parse(&text)) {
                prop_assert!(depth(&expr) <= scanned.operations, "{text}: {expr:?}");
            }
        }
    }

    #[test]
    fn expressions_are_parsed() {
        for text in [
            "x",
            r#"{"x.y", job=~"a|b"}"#,
            "sum by (job) (rate(x_total[5m] offset -1h))",
            "x @ end()",
            "holt_winters(x[5m], 0.5, 0.5)",
            "quantile_over_time(0.9, x[1d:5m])",
            "a / on (job) group_left (zone) b",
            "x{a=\"[[[\"} # ((((",
        ] {
            parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in [
            "",
            "sum(",
            "rate(x)",
            "x[5m",
            "{}",
            "unknown(x)",
            "x[1e300]",
            "x[5m:1e300]",
            "x offset 1e300",
            "x[1h5000000000ms]",
            "x[5m:1h5000000000ms]",
            "x offset -1e300",
            "x[nan]",
            "x[0]",
            "x @ 1e300",
            "a + fill (0) b",
            "info(x, y)",
            "info(x, {a=\"b\"} offset 5m)",
            "info(x, sum(y))",
            r#"x{a="b" or c="d"}"#,
            "step()",
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.kind(), "bad_data", "{text}");
        }
    }

    #[test]
    fn deep_expressions_are_refused_before_they_are_parsed() {
        let nested = format!("{}x{}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(parse(&nested).is_err());
        let long = "x + ".repeat(10_000) + "x";
        assert!(parse(&long).is_err());
        assert!(parse(&"-".repeat(10_000)).is_err());
        let with_or = "x or ".repeat(10_000) + "x";
        assert!(parse(&with_or).is_err());
        // Numbers whose operators a careless reader takes for a part of them.
        for operand in ["0X1e+", "0x1e-", "1 atan2.5 atan2 ", "1e+1+", "5.+"] {
            let error = parse(&(operand.repeat(10_000) + "1")).unwrap_err().to_string();
            assert!(error.contains("operations"), "{operand}: {error}");
        }
    }

    #[test]
    fn large_patterns_are_refused_before_they_are_parsed() {
        let large = r#"x{a=~"(\\w{99}){99}"} or x{a !~ `(\w{99}){99}`}"#;
        let error = parse(large).unwrap_err().to_string();
        assert!(error.contains("too much memory"), "{error}");
        parse(r#"x{a="(\\w{99}){99}",b=~"c"}"#).unwrap();
        for hidden in [
            "x{a=~# \n'(\\\\w{99}){99}'}",
            r#"label_replace(x, "a", "", "b", ("(\\w{99}){99}"))"#,
        ] {
            let refused = parse(hidden).unwrap_err().to_string();
            assert!(refused.contains("too much memory"), "{hidden}: {refused}");
        }
    }

    #[test]
    fn long_lists_are_refused() {
        let long = |text: &str| vec![text; MAX_ITEMS + 1].join(",");
        for text in [
            format!("x{{{}}}", long("a='b'")),
            format!("sum by ({}) (x)", long("a")),
            format!("x + on({}) y", long("a")),
            format!("x + on(a) group_left({}) y", long("b")),
            format!("label_join(x, 'a', '', {})", long("'b'")),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains("more than 256"), "{error}");
        }
    }

    #[test]
    fn numbers_outside_of_durations_are_not_limited() {
        parse("x > 1e300").unwrap();
        parse("x > 1e-300").unwrap();
        parse("x * 0xdeadbeef").unwrap();
        parse("x * 0xd99999999999").unwrap();
        parse("x[5000000000]").unwrap();
    }
}
