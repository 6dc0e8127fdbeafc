//! Selectors of series, such as `up{job="api",instance=~"a.*"}`.

use std::sync::Arc;

use crate::{
    LabelMatcher, MatcherType, NAME_LABEL,
    remote_read::{
        failure::ReadFailure,
        matcher::{MAX_MATCHERS, Matcher, compile_matchers},
    },
};

/// Maximum length of a selector, in bytes.
const MAX_SELECTOR_BYTES: usize = 64 << 10;

/// Maximum number of selectors of a request.
const MAX_SELECTORS: usize = 64;

/// Parses the selectors of a request.
///
/// # Errors
/// There are too many selectors or matchers, a text is not a selector, or all its matchers are met by empty labels.
pub(crate) fn parse_selectors(texts: &[String]) -> Result<Vec<Arc<[Matcher]>>, ReadFailure> {
    if texts.len() > MAX_SELECTORS {
        return Err(ReadFailure::TooManySelectors(MAX_SELECTORS));
    }
    let selectors: Vec<Vec<LabelMatcher>> =
        texts.iter().map(|text| parse_selector(text)).collect::<Result<_, _>>()?;
    let messages: Vec<&[LabelMatcher]> = selectors.iter().map(Vec::as_slice).collect();
    let compiled = compile_matchers(&messages)?;
    for (matchers, text) in compiled.iter().zip(texts) {
        if matchers.iter().all(|matcher| matcher.matches("")) {
            let position = text.len();
            let problem = "some matcher must not be met by an empty label";
            return Err(SelectorParser { text, position }.problem(problem));
        }
    }
    Ok(compiled)
}

fn parse_selector(text: &str) -> Result<Vec<LabelMatcher>, ReadFailure> {
    let mut parser = SelectorParser { text, position: 0 };
    if text.len() > MAX_SELECTOR_BYTES {
        return Err(parser.problem("the selector has more than 64 KiB"));
    }
    parser.selector()
}

fn label_matcher(kind: MatcherType, label: &str, value: &str) -> LabelMatcher {
    LabelMatcher {
        kind: kind.into(),
        name: label.to_owned(),
        value: value.to_owned(),
    }
}

#[derive(Debug)]
struct SelectorParser<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> SelectorParser<'a> {
    fn selector(&mut self) -> Result<Vec<LabelMatcher>, ReadFailure> {
        let mut matchers = Vec::new();
        if let Some(metric) = self.identifier() {
            matchers.push(label_matcher(MatcherType::Equal, NAME_LABEL, metric));
        }
        if self.take("{") {
            while !self.take("}") {
                matchers.push(self.matcher()?);
                if matchers.len() > MAX_MATCHERS {
                    return Err(ReadFailure::TooManyMatchers(MAX_MATCHERS));
                }
                if !self.take(",") {
                    if self.take("}") {
                        break;
                    }
                    return Err(self.problem("expected ',' or '}'"));
                }
            }
        }
        self.skip_spaces();
        if self.rest().is_empty() {
            Ok(matchers)
        } else {
            Err(self.problem("unexpected text after the selector"))
        }
    }

    fn matcher(&mut self) -> Result<LabelMatcher, ReadFailure> {
        let label = match self.identifier() {
            Some(label) => label.to_owned(),
            None => {
                let label = self.string()?;
                self.skip_spaces();
                if self.rest().starts_with([',', '}']) {
                    // A name in quotes without a value is that of the metric.
                    return Ok(label_matcher(MatcherType::Equal, NAME_LABEL, &label));
                }
                label
            }
        };
        let mut operators = [
            ("=~", MatcherType::Regex),
            ("!~", MatcherType::NotRegex),
            ("!=", MatcherType::NotEqual),
            ("=", MatcherType::Equal),
        ]
        .into_iter();
        let Some((_, kind)) = operators.find(|(operator, _)| self.take(operator)) else {
            return Err(self.problem("expected '=', '!=', '=~' or '!~'"));
        };
        let value = self.string()?;
        Ok(label_matcher(kind, &label, &value))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start().len();
    }

    /// Skips a token, if it is next.
    fn take(&mut self, token: &str) -> bool {
        self.skip_spaces();
        let is_next = self.rest().starts_with(token);
        self.position += if is_next { token.len() } else { 0 };
        is_next
    }

    fn identifier(&mut self) -> Option<&'a str> {
        self.skip_spaces();
        let rest = self.rest();
        let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == ':';
        let end = rest.find(|char| !is_part(char)).unwrap_or(rest.len());
        let identifier = rest.get(..end)?;
        if identifier.is_empty() || identifier.starts_with(|char: char| char.is_ascii_digit()) {
            return None;
        }
        self.position += end;
        Some(identifier)
    }

    /// Parses a text in double, single or back quotes.
    fn string(&mut self) -> Result<String, ReadFailure> {
        self.skip_spaces();
        let mut chars = self.rest().chars();
        let quote = match chars.next() {
            Some(quote @ ('"' | '\'' | '`')) => quote,
            _ => return Err(self.problem("expected a text in quotes")),
        };
        let mut value = String::new();
        while let Some(char) = chars.next() {
            if char == quote {
                self.position = self.text.len() - chars.as_str().len();
                return Ok(value);
            }
            if char != '\\' || quote == '`' {
                value.push(char);
                continue;
            }
            let Some(escaped) = unescape(&mut chars) else {
                self.position = self.text.len() - chars.as_str().len();
                return Err(self.problem("unknown escape sequence"));
            };
            value.push(escaped);
        }
        Err(self.problem("the text has no closing quote"))
    }

    fn problem(&self, problem: &'static str) -> ReadFailure {
        let chars = self.text.chars();
        ReadFailure::Selector {
            selector: chars.take(200).collect(),
            position: self.position,
            problem,
        }
    }
}

/// Parses an escape sequence of Go after its backslash.
fn unescape(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let first = chars.next()?;
    let mut code = |digits: usize, radix: u32, first: u32| {
        let mut code = first;
        for _ in 0..digits {
            let digit = chars.next()?.to_digit(radix)?;
            code = code.checked_mul(radix)?.checked_add(digit)?;
        }
        char::from_u32(code)
    };
    match first {
        'a' => Some('\u{7}'),
        'b' => Some('\u{8}'),
        'f' => Some('\u{c}'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\u{b}'),
        '\\' | '"' | '\'' | '`' => Some(first),
        'x' => code(2, 16, 0),
        'u' => code(4, 16, 0),
        'U' => code(8, 16, 0),
        '0'..='7' => code(2, 8, first.to_digit(8)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
        let selectors = parse_selectors(&[text.to_owned()]).map_err(|error| error.to_string())?;
        Ok(selectors[0]
            .iter()
            .map(|matcher| (matcher.label.clone(), matcher.sql("x")))
            .collect())
    }

    #[test]
    fn selectors_have_a_metric_and_matchers() {
        let cases = [
            ("up", vec![("__name__", "\"x\" = 'up'")]),
            ("  a:b { } ", vec![("__name__", "\"x\" = 'a:b'")]),
            (
                r#"up{job="a\"\n\x41\u00e9\101",b=~'x|y',}"#,
                vec![
                    ("__name__", "\"x\" = 'up'"),
                    ("job", "\"x\" = 'a\"\nAéA'"),
                    ("b", "\"x\" IN ('x', 'y')"),
                ],
            ),
            (
                r#"{"my.metric", "my label"!=`a\`}"#,
                vec![
                    ("__name__", "\"x\" = 'my.metric'"),
                    ("my label", "(\"x\" IS NULL OR \"x\" <> 'a\\')"),
                ],
            ),
        ];
        for (text, expected) in cases {
            let expected =
                expected.into_iter().map(|(label, sql)| (label.to_owned(), sql.to_owned()));
            assert_eq!(parse(text), Ok(expected.collect()), "{text}");
        }
    }

    #[test]
    fn other_texts_are_errors_with_a_position() {
        for (text, problem) in [
            (
                "",
                "at byte 0: some matcher must not be met by an empty label",
            ),
            (
                "{}",
                "at byte 2: some matcher must not be met by an empty label",
            ),
            (
                r#"{a=~".*"}"#,
                "at byte 9: some matcher must not be met by an empty label",
            ),
            ("up{", "at byte 3: expected a text in quotes"),
            ("up{a}", "at byte 4: expected '=', '!=', '=~' or '!~'"),
            ("up{a=1}", "at byte 5: expected a text in quotes"),
            (r#"up{a="1"#, "at byte 5: the text has no closing quote"),
            (r#"up{a="\q"}"#, "at byte 8: unknown escape sequence"),
            (r#"up{a="1" b="2"}"#, "at byte 9: expected ',' or '}'"),
            ("up[5m]", "at byte 2: unexpected text after the selector"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.ends_with(problem), "{text}: {error}");
        }
    }

    #[test]
    fn selectors_and_their_matchers_are_limited() {
        let up = vec!["up".to_owned(); MAX_SELECTORS + 1];
        assert_eq!(parse_selectors(&up[1..]).unwrap().len(), MAX_SELECTORS);
        let refused = parse_selectors(&up).unwrap_err().to_string();
        assert_eq!(refused, "the request has more than 64 match[] parameters");
        let matchers = "a='b',".repeat(MAX_MATCHERS);
        assert!(parse(&format!("{{{matchers}}}")).is_ok());
        let refused = parse(&format!("{{{matchers}a='b'}}")).unwrap_err();
        assert_eq!(refused, "the request has more than 256 matchers");
        let half = format!("{{{}}}", "a='b',".repeat(MAX_MATCHERS / 2));
        let refused = parse_selectors(&[half.clone(), half, "up".to_owned()]).unwrap_err();
        assert!(matches!(refused, ReadFailure::TooManyMatchers(_)));
    }

    proptest! {
        #[test]
        fn any_text_is_a_selector_or_an_error(text in r#"[a{}=!~",\\x0 é]{0,20}"#) {
            let _ = parse(&text);
        }
    }
}
