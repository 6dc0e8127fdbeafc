//! PromQL.

use neap_promql::parse;

/// An expression is parsed, or refused as wrong.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match parse(text) {
        Ok(expr) => {
            expr.value_type();
        }
        Err(error) => assert_eq!(error.kind(), "bad_data", "{text:?}: {error}"),
    }
}
