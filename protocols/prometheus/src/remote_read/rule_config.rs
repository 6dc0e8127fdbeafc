//! The configuration of rules, as in Mimir: the body of a request is one group, or with `PUT`, a rule file.
//!
//! | path | methods |
//! |---|---|
//! | `/prometheus/config/v1/rules` | `GET`: the groups of all namespaces |
//! | `/prometheus/config/v1/rules/{namespace}` | `GET`; `POST`: adds or replaces a group; `PUT`: replaces all groups by those of a rule file; `DELETE` |
//! | `/prometheus/config/v1/rules/{namespace}/{group}` | `GET`; `DELETE` |

use std::{collections::BTreeMap, sync::Arc};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use neap_catalog::{RuleChange, RuleGroups};
use neap_http::{ApiError, Kind};
use neap_query::RuleList;
use neap_rules::{RuleError, group_text, namespaces_text, parse_file, parse_group};
use serde_json::json;

use crate::remote_read::{
    answer::json_response,
    context::ReadContext,
    failure::{ReadFailure, ReadResult},
};

fn not_found() -> ReadFailure {
    ApiError::text(Kind::NotFound, "no rule groups found").into()
}

fn unreadable(error: RuleError) -> ReadFailure {
    ReadFailure::Rules(error.to_string())
}

fn yaml(text: String) -> Response {
    let mut response = text.into_response();
    let media_type = HeaderValue::from_static("application/yaml");
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// Returns the groups of all namespaces, or of one.
pub(crate) fn show_namespaces(list: &RuleList, namespace: Option<&str>) -> ReadResult<Response> {
    let all = list.catalog.rules().iter();
    let shown: BTreeMap<String, RuleGroups> = all
        .filter(|(name, _)| namespace.is_none_or(|namespace| namespace == *name))
        .map(|(name, groups)| (name.clone(), groups.clone()))
        .collect();
    if shown.is_empty() {
        return Err(not_found());
    }
    Ok(yaml(namespaces_text(&shown).map_err(unreadable)?))
}

pub(crate) fn show_group(list: &RuleList, namespace: &str, group: &str) -> ReadResult<Response> {
    let groups = list.catalog.rules().get(namespace);
    let found = groups.and_then(|groups| groups.get(group)).ok_or_else(not_found)?;
    Ok(yaml(group_text(group, found).map_err(unreadable)?))
}

/// Adds the group in a body to a namespace, or with `PUT`, replaces its groups by those of the rule file in the body.
pub(crate) async fn store(
    context: &ReadContext,
    method: &Method,
    namespace: &str,
    body: &[u8],
) -> ReadResult<Response> {
    let text = std::str::from_utf8(body)
        .map_err(|error| ReadFailure::Rules(format!("the body is not UTF-8: {error}")))?;
    let change = if *method == Method::PUT {
        RuleChange::Replace(parse_file(text).map_err(unreadable)?)
    } else {
        let (name, group) = parse_group(text).map_err(unreadable)?;
        RuleChange::PutGroup(name, Arc::new(group))
    };
    apply(context, namespace, change).await
}

/// Deletes a group, or all groups of a namespace.
pub(crate) async fn delete(
    context: &ReadContext,
    namespace: &str,
    group: Option<String>,
) -> ReadResult<Response> {
    let change = match group {
        Some(group) => RuleChange::DeleteGroup(group),
        None => RuleChange::Replace(RuleGroups::new()),
    };
    apply(context, namespace, change).await
}

async fn apply(context: &ReadContext, namespace: &str, change: RuleChange) -> ReadResult<Response> {
    context.change_rules(namespace, change).await?;
    let body = json!({ "status": "success", "data": null, "errorType": "", "error": "" });
    let accepted = (StatusCode::ACCEPTED, body.to_string()).into_response();
    Ok(json_response(accepted))
}
