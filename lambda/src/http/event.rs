//! Events that ask with HTTP: API Gateway's HTTP APIs and function URLs (payload 2.0), its REST APIs (1.0), and
//! Application Load Balancers.
//!
//! | | path | query | headers |
//! |---|---|---|---|
//! | 2.0 | `rawPath`, with the stage | as the client sent it | values of a name joined by commas |
//! | 1.0 | `path` | decoded | all values in `multiValueHeaders` |
//! | load balancer | `path` | as the client sent it, cut into pairs | all values, if the target group says so |

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
};

use axum::body::Body;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header::COOKIE};
use neap_http::Peer;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

/// What can't be in a path as it is, but for `%`: a path may be encoded already.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What can't be in a query string that a client sent.
const QUERY: &AsciiSet = &PATH.remove(b'?');

/// What can be in a part of a query string as it is.
const QUERY_PART: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What is in the names of function URLs alone.
const FUNCTION_URL: &str = ".lambda-url.";

/// Where a request came through, which decides how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An HTTP API of API Gateway or a function URL: payload 2.0.
    V2,
    /// A REST API of API Gateway: payload 1.0.
    V1,
    /// An Application Load Balancer.
    LoadBalancer {
        /// Whether the target group has headers of several values.
        multi_value: bool,
    },
}

/// Why an event can't be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// It asks for nothing by HTTP.
    #[error("the event is no HTTP request of API Gateway, a function URL or a load balancer")]
    NotHttp,
    /// A part of the request is not what HTTP allows.
    #[error("the request has no valid {0}")]
    Malformed(&'static str),
}

/// An event that asks with HTTP, as far as it matters. There are tokens in it: it is never shown.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpEvent {
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    cookies: Option<Vec<String>>,
    http_method: Option<String>,
    path: Option<String>,
    query_string_parameters: Option<BTreeMap<String, Option<String>>>,
    multi_value_query_string_parameters: Option<BTreeMap<String, Vec<String>>>,
    headers: Option<BTreeMap<String, String>>,
    multi_value_headers: Option<BTreeMap<String, Vec<String>>>,
    is_base64_encoded: Option<bool>,
    body: Option<String>,
    request_context: Context,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Context {
    http: Option<HttpContext>,
    elb: Option<serde::de::IgnoredAny>,
    identity: Option<Identity>,
    stage: Option<String>,
    path: Option<String>,
    domain_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpContext {
    method: String,
    source_ip: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    source_ip: Option<String>,
}

impl fmt::Debug for HttpEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpEvent").finish_non_exhaustive()
    }
}

/// A request, and where it came through.
#[derive(Debug)]
pub struct Incoming {
    /// Where it came through.
    pub source: Source,
    /// The request. Its extensions have the address of the client, if the event does.
    pub request: Request<Body>,
}

impl HttpEvent {
    /// Where the request came through.
    ///
    /// # Errors
    /// It is none.
    pub fn source(&self) -> Result<Source, EventError> {
        let context = &self.request_context;
        match (&self.http_method, &context.http, &context.elb) {
            (Some(_), _, Some(_)) => Ok(Source::LoadBalancer {
                multi_value: self.multi_value_headers.is_some(),
            }),
            (None, Some(_), _) => Ok(Source::V2),
            (Some(_), _, None) => Ok(Source::V1),
            (None, None, _) => Err(EventError::NotHttp),
        }
    }

    /// Whether API Gateway waits for the answer, which it does for so long only; a function URL and a load balancer wait
    /// for as long as the function has.
    pub fn is_through_gateway(&self) -> bool {
        let name = self.request_context.domain_name.as_deref();
        let is_url = name.is_some_and(|name| name.contains(FUNCTION_URL));
        match self.source() {
            Ok(Source::V1 | Source::V2) => !is_url,
            Ok(Source::LoadBalancer { .. }) | Err(_) => false,
        }
    }

    /// The request in an event, without what paths begin with before that of a route.
    ///
    /// # Errors
    /// It is none, or no valid one.
    pub fn into_request(self, base_path: &str) -> Result<Incoming, EventError> {
        let source = self.source()?;
        let uri = self.uri(source, base_path)?;
        let context = &self.request_context;
        let method = context.http.as_ref().map(|http| &http.method);
        let method = self.http_method.as_ref().or(method).map(String::as_str);
        let method = Method::from_bytes(method.unwrap_or_default().as_bytes());
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method.map_err(|_| EventError::Malformed("method"))?;
        *request.uri_mut() = uri;
        if let Some(address) = self.address(source) {
            request
                .extensions_mut()
                .insert(Peer(SocketAddr::new(address, 0)));
        }
        for (name, value) in self.headers() {
            request.headers_mut().append(name, value);
        }
        *request.body_mut() = self.body()?.into();
        Ok(Incoming { source, request })
    }

    fn uri(&self, source: Source, base_path: &str) -> Result<Uri, EventError> {
        let path = self.path(source);
        let path = without(path, base_path);
        let mut text = utf8_percent_encode(path, PATH).to_string();
        let query = self.query(source);
        if !query.is_empty() {
            text.push('?');
            text.push_str(&query);
        }
        text.parse().map_err(|_| EventError::Malformed("path"))
    }

    /// The path without the stage, which is part of it in payload 2.0, and in 1.0 where an HTTP API sends it.
    fn path(&self, source: Source) -> &str {
        let raw = self.raw_path.as_deref();
        let path = raw.or(self.path.as_deref()).unwrap_or("/");
        let has_stage = match source {
            Source::V2 => true,
            Source::V1 => self.request_context.path.as_deref() == Some(path),
            Source::LoadBalancer { .. } => false,
        };
        match self.request_context.stage.as_deref() {
            Some(stage) if has_stage && stage != "$default" => without(path, stage),
            _ => path,
        }
    }

    fn query(&self, source: Source) -> String {
        if let (Source::V2, Some(query)) = (source, &self.raw_query_string) {
            return utf8_percent_encode(query, QUERY).to_string();
        }
        // A load balancer leaves encoded what the client encoded.
        let set = match source {
            Source::LoadBalancer { .. } => QUERY,
            Source::V1 | Source::V2 => QUERY_PART,
        };
        let mut text = String::new();
        let mut add = |name: &str, value: &str| {
            let between = if text.is_empty() { "" } else { "&" };
            let name = utf8_percent_encode(name, set);
            let value = utf8_percent_encode(value, set);
            text.push_str(&format!("{between}{name}={value}"));
        };
        let all = self.multi_value_query_string_parameters.as_ref();
        if let Some(all) = all.filter(|all| !all.is_empty()) {
            for (name, values) in all {
                values.iter().for_each(|value| add(name, value));
            }
        } else if let Some(one_each) = &self.query_string_parameters {
            for (name, value) in one_each {
                add(name, value.as_deref().unwrap_or_default());
            }
        }
        text
    }

    /// The headers, without those that HTTP does not allow.
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut pairs: Vec<(&str, &str)> = match (&self.multi_value_headers, &self.headers) {
            (Some(all), _) if !all.is_empty() => all
                .iter()
                .flat_map(|(name, values)| {
                    values
                        .iter()
                        .map(move |value| (name.as_str(), value.as_str()))
                })
                .collect(),
            (_, Some(one_each)) => one_each
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect(),
            (_, None) => Vec::new(),
        };
        let cookies = self.cookies.as_ref().map(|cookies| cookies.join("; "));
        pairs.extend(cookies.as_deref().map(|cookies| (COOKIE.as_str(), cookies)));
        let valid = pairs.into_iter().filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
        });
        valid.collect()
    }

    /// The address of the client: that of the connection, which it can't choose.
    fn address(&self, source: Source) -> Option<IpAddr> {
        let context = &self.request_context;
        let text = match source {
            Source::V2 => context.http.as_ref()?.source_ip.as_deref(),
            Source::V1 => context.identity.as_ref()?.source_ip.as_deref(),
            // The balancer adds the address behind those that the client may have sent.
            Source::LoadBalancer { .. } => {
                let headers = self.headers();
                let forwarded = headers.iter().rfind(|(name, _)| name == "x-forwarded-for");
                let last = forwarded?.1.to_str().ok()?.rsplit(',').next();
                return last?.trim().parse().ok();
            }
        };
        text?.parse().ok()
    }

    fn body(self) -> Result<Bytes, EventError> {
        let body = self.body.unwrap_or_default();
        if self.is_base64_encoded != Some(true) {
            return Ok(body.into());
        }
        let decoded = BASE64_STANDARD.decode(body);
        decoded
            .map(Bytes::from)
            .map_err(|_| EventError::Malformed("body in base64"))
    }
}

/// A path without its first parts, if they are these.
fn without<'a>(path: &'a str, first: &str) -> &'a str {
    let first = first.trim_matches('/');
    let rest = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(first));
    match rest {
        _ if first.is_empty() => path,
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
