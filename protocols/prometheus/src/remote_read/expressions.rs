//! Answers to requests with expressions.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::HeaderValue;
use neap_promql::parse;
use neap_query::AS_OF_HEADER;
use serde_json::Value;

use crate::remote_read::{
    answer::{List, json_response},
    context::ReadContext,
    failure::{ReadFailure, ReadResult},
    params::RequestParams,
    query_params::QueryParams,
};

/// Evaluates an expression.
pub(crate) async fn evaluate(context: &ReadContext, params: &QueryParams) -> ReadResult<Response> {
    let answer = context.evaluate(params).await?;
    let mut response = json_response(Body::from_stream(answer.text).into_response());
    let as_of = answer.as_of.map(|stamp| (AS_OF_HEADER, HeaderValue::from(stamp.as_u64())));
    response.headers_mut().extend(as_of);
    Ok(response)
}

/// Returns an expression with line breaks and indentation.
pub(crate) fn format(params: &RequestParams) -> ReadResult<List> {
    let expression = parse(params.get("query").unwrap_or_default())?;
    Ok(List::of_data(Value::String(expression.prettify()), false))
}

/// Returns the syntax tree of an expression.
pub(crate) fn syntax_tree(params: &RequestParams) -> ReadResult<List> {
    let expression = parse(params.get("query").unwrap_or_default())?;
    let tree = serde_json::to_value(&expression)
        .map_err(|error| ReadFailure::Execution(error.to_string()))?;
    Ok(List::of_data(tree, false))
}
