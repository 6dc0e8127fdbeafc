//! Selectors of series, such as `up{job="api",instance=~"a.*"}`.

use std::sync::Arc;

use neap_promql::{Expr, PromqlError, parse};
use neap_query::promql::{LabelMatcher, Matcher, MatcherKind, compile_matchers};
use tokio::task::yield_now;

use crate::{
    NAME_LABEL,
    remote_read::failure::{ReadFailure, ReadResult},
};

/// Maximum number of selectors of a request.
const MAX_SELECTORS: usize = 64;

/// Parses the selectors of a request. Other tasks run between them, because their patterns may take long to compile.
///
/// # Errors
/// There are too many selectors or matchers, a text is not a selector, or all its matchers are met by empty labels.
pub(crate) async fn parse_selectors(texts: &[String]) -> ReadResult<Vec<Arc<[Matcher]>>> {
    if texts.len() > MAX_SELECTORS {
        return Err(ReadFailure::TooManySelectors(MAX_SELECTORS));
    }
    let mut selectors: Vec<Vec<LabelMatcher>> = Vec::with_capacity(texts.len());
    for text in texts {
        selectors.push(parse_selector(text)?);
        yield_now().await;
    }
    let messages: Vec<&[LabelMatcher]> = selectors.iter().map(Vec::as_slice).collect();
    Ok(compile_matchers(&messages)?)
}

fn parse_selector(text: &str) -> ReadResult<Vec<LabelMatcher>> {
    let selector = match parse(text) {
        Ok(Expr::VectorSelector(selector))
            if selector.offset.is_none() && selector.at.is_none() =>
        {
            selector
        }
        Ok(_) => return Err(ReadFailure::Selector("it is no selector".to_owned())),
        Err(PromqlError::BadData(text)) => return Err(ReadFailure::Selector(text)),
        Err(error) => return Err(error.into()),
    };
    let name = selector.name.map(|value| LabelMatcher {
        kind: MatcherKind::Equal,
        label: NAME_LABEL.to_owned(),
        value,
    });
    let matchers = selector.matchers.matchers.iter().map(LabelMatcher::from);
    Ok(name.into_iter().chain(matchers).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn conditions(text: &str) -> Result<Vec<(String, String)>, String> {
        let selectors =
            parse_selectors(&[text.to_owned()]).await.map_err(|error| error.to_string())?;
        let matchers = selectors[0].iter();
        Ok(matchers.map(|matcher| (matcher.label.clone(), matcher.sql("x"))).collect())
    }

    #[tokio::test]
    async fn selectors_have_a_metric_and_matchers() {
        let cases: [(&str, &[(&str, &str)]); 4] = [
            ("up", &[("__name__", "\"x\" = 'up'")]),
            ("  a:b { } ", &[("__name__", "\"x\" = 'a:b'")]),
            (
                r#"up{job="a\"\n",b=~'x|y',}"#,
                &[
                    ("__name__", "\"x\" = 'up'"),
                    ("job", "\"x\" = 'a\"\n'"),
                    ("b", "\"x\" IN ('x', 'y')"),
                ],
            ),
            (
                r#"{"my.metric", "my label"!=`a`}"#,
                &[
                    ("__name__", "\"x\" = 'my.metric'"),
                    ("my label", "(\"x\" IS NULL OR \"x\" <> 'a')"),
                ],
            ),
        ];
        for (text, expected) in cases {
            let expected =
                expected.iter().map(|(label, sql)| ((*label).to_owned(), (*sql).to_owned()));
            assert_eq!(conditions(text).await, Ok(expected.collect()), "{text}");
        }
    }

    #[tokio::test]
    async fn other_texts_are_errors() {
        for text in [
            "",
            "{}",
            r#"{a=~".*"}"#,
            "up{",
            "up{a=1}",
            "up[5m]",
            "up offset 5m",
            "sum(up)",
            r#"up{a="b" or c="d"}"#,
            "1",
        ] {
            let error = conditions(text).await.unwrap_err();
            assert!(error.starts_with("invalid parameter \"match[]\": "), "{error}");
        }
    }

    #[tokio::test]
    async fn selectors_are_limited() {
        let too_many = vec!["up".to_owned(); MAX_SELECTORS + 1];
        let refused = parse_selectors(&too_many).await.unwrap_err();
        assert!(matches!(refused, ReadFailure::TooManySelectors(_)));
        let many = vec!["up{a=\"b\"}".to_owned(); MAX_SELECTORS];
        assert!(parse_selectors(&many).await.is_ok());
        let matchers = vec!["a=\"b\""; 300].join(",");
        assert!(conditions(&format!("up{{{matchers}}}")).await.is_err());
    }
}
