//! Events that contain HTTP requests: from API Gateway's HTTP APIs and function URLs (payload 2.0), its REST APIs
//! (1.0), and Application Load Balancers.
//!
//! | | path | query | headers |
//! |---|---|---|---|
//! | HTTP API, 2.0 | `rawPath`, with the stage, decoded | as the client sent it | values of a name joined by commas |
//! | HTTP API, 1.0 | `path`, with the stage, decoded | decoded | all values in `multiValueHeaders` |
//! | function URL (2.0) | `rawPath`, as the client sent it | as the client sent it | values of a name joined by commas |
//! | REST API (1.0) | `path`, as the client sent it | decoded | all values in `multiValueHeaders` |
//! | load balancer | `path`, as the client sent it | as the client sent it, split into pairs | all values, if the target group enables multi-value headers |
//!
//! AWS does not document the form of the path. Others have recorded it:
//! <https://github.com/hotsock/voker/blob/main/vokerhttp/testdata/ingress-paths.json>,
//! <https://github.com/fastify/aws-lambda-fastify/issues/169>. An HTTP API decodes the path twice, and cuts it off at
//! `?` in between. The lost part can't be restored, and the remaining part must not be decoded again.

use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header::COOKIE};
use neap_http::PeerAddress;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::json_object::{JsonObject, typed};

/// Characters that must be encoded in a path that is already encoded, so `%` stays.
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

/// Characters that must be encoded in a decoded path, including `%`.
const DECODED_PATH: &AsciiSet = &PATH.add(b'%');

/// Characters that must be encoded in a raw query string.
const QUERY: &AsciiSet = &PATH.remove(b'?');

/// Characters that must be encoded in a name or value of a query string.
const QUERY_PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Name of the query string in errors.
const QUERY_STRING: &str = "query string";

/// Part of a domain name that identifies a function URL.
const FUNCTION_URL: &str = ".lambda-url.";

/// Source of a request, which determines the form of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpSource {
    /// An HTTP API of API Gateway or a function URL: payload 2.0.
    V2,
    /// A REST API of API Gateway: payload 1.0.
    V1,
    /// An Application Load Balancer.
    LoadBalancer {
        /// Whether the target group enables multi-value headers.
        multi_value: bool,
    },
}

/// Reason why an event can't be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The event is not an HTTP request.
    #[error(
        "the event is not an HTTP request from API Gateway, a function URL, or a load balancer"
    )]
    NotHttp,
    /// A part of the request violates HTTP.
    #[error("the request has no valid {0}")]
    Malformed(&'static str),
    /// There are more headers than a [`HeaderMap`] can hold.
    #[error("the request has too many headers")]
    TooManyHeaders,
}

/// An HTTP request in an event, with the fields that Neap uses. It contains tokens, so its `Debug` output omits all
/// fields.
///
/// Every JSON object can be deserialized. An optional field with an invalid value is ignored; a required one makes the
/// request malformed.
#[derive(Default, derive_more::Debug)]
#[debug("HttpEvent {{ .. }}")]
pub struct HttpEvent {
    source: Option<HttpSource>,
    malformed: Option<&'static str>,
    method: Option<String>,
    path: Option<String>,
    raw_query: Option<String>,
    query: Vec<(String, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cookies: Option<String>,
    is_base64_encoded: bool,
    body: Option<String>,
    has_version: bool,
    stage: Option<String>,
    whole_path: Option<String>,
    domain_name: Option<String>,
    source_ip: Option<String>,
}

impl HttpSource {
    /// Detects the source of the request in an event from its characteristic fields; `None` if it is not a request.
    pub fn of_event(event: &str) -> Option<Self> {
        let event: JsonObject<'_> = serde_json::from_str(event).ok()?;
        Self::from_event(&event, &context(&event))
    }

    fn from_event(event: &JsonObject<'_>, context: &JsonObject<'_>) -> Option<Self> {
        if context.has("elb") {
            let multi_value = event.has("multiValueHeaders");
            return Some(Self::LoadBalancer { multi_value });
        }
        if event.has("httpMethod") {
            return Some(Self::V1);
        }
        if context.has("http") || event.has("rawPath") {
            return Some(Self::V2);
        }
        context.has("httpMethod").then_some(Self::V1)
    }
}

fn context<'a>(event: &JsonObject<'a>) -> JsonObject<'a> {
    event.get("requestContext").unwrap_or_default()
}

impl<'de> Deserialize<'de> for HttpEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_event(&JsonObject::deserialize(deserializer)?))
    }
}

/// A request and its source.
#[derive(Debug)]
pub struct HttpEventRequest {
    /// The source.
    pub source: HttpSource,
    /// The request. Its extensions contain the address of the client, if the event does.
    pub request: Request<Body>,
}

impl HttpEvent {
    fn from_event(event: &JsonObject<'_>) -> Self {
        let context = context(event);
        let http: JsonObject<'_> = context.get("http").unwrap_or_default();
        let identity: JsonObject<'_> = context.get("identity").unwrap_or_default();
        let mut needed = RequiredFields::default();
        let method = needed
            .get(event, "httpMethod", "method")
            .or_else(|| needed.get(&http, "method", "method"));
        let path = needed.get(event, "rawPath", "path");
        let source = HttpSource::from_event(event, &context);
        let raw_query: Option<String> = match source {
            Some(HttpSource::V2) => needed.get(event, "rawQueryString", QUERY_STRING),
            _ => None,
        };
        let query = match raw_query {
            Some(_) => Vec::new(),
            None => needed.query(event),
        };
        let raw_cookies: Option<Vec<&RawValue>> = event.get("cookies");
        let cookies = raw_cookies.map(|cookies| {
            let texts = cookies.into_iter().filter_map(typed::<String>);
            texts.collect::<Vec<_>>().join("; ")
        });
        Self {
            source,
            method,
            path: path.or_else(|| needed.get(event, "path", "path")),
            raw_query,
            query,
            headers: headers(event),
            cookies: cookies.filter(|cookies| !cookies.is_empty()),
            is_base64_encoded: needed
                .get(event, "isBase64Encoded", "isBase64Encoded")
                .unwrap_or_default(),
            body: needed.get(event, "body", "body"),
            has_version: event.has("version"),
            stage: context.get("stage"),
            whole_path: context.get("path"),
            domain_name: context.get("domainName"),
            source_ip: http.get("sourceIp").or_else(|| identity.get("sourceIp")),
            malformed: needed.malformed,
        }
    }

    /// Returns the source of the request.
    ///
    /// # Errors
    /// The event is not a request.
    pub fn source(&self) -> Result<HttpSource, EventError> {
        self.source.ok_or(EventError::NotHttp)
    }

    /// Returns the name of the request for the log: method and path. The query string is omitted because it may contain
    /// a token.
    pub fn name(&self) -> String {
        let method = self.method.as_deref().unwrap_or("?");
        let path = self.path.as_deref().unwrap_or("?");
        format!("{method} {path}")
    }

    /// Returns whether the request came through API Gateway, which limits the time of a response. Function URLs and
    /// load balancers wait until the function's timeout.
    pub fn is_through_gateway(&self) -> bool {
        match self.source() {
            Ok(HttpSource::V1 | HttpSource::V2) => !self.is_of_function_url(),
            Ok(HttpSource::LoadBalancer { .. }) | Err(_) => false,
        }
    }

    fn is_of_function_url(&self) -> bool {
        let name = self.domain_name.as_deref();
        name.is_some_and(|name| name.contains(FUNCTION_URL))
    }

    /// Returns whether the source decoded the path, as HTTP APIs do.
    fn has_decoded_path(&self, source: HttpSource) -> bool {
        match source {
            HttpSource::V2 => !self.is_of_function_url(),
            // With payload 1.0, only events of HTTP APIs have a version; those of REST APIs have none.
            HttpSource::V1 => self.has_version,
            HttpSource::LoadBalancer { .. } => false,
        }
    }

    /// Converts the event to a request and removes `base_path` from its path.
    ///
    /// # Errors
    /// The event is not a request, or not a valid one.
    pub fn into_request(self, base_path: &str) -> Result<HttpEventRequest, EventError> {
        let source = self.source()?;
        if let Some(part) = self.malformed {
            return Err(EventError::Malformed(part));
        }
        let method = self.method.as_deref().unwrap_or_default();
        let method = Method::from_bytes(method.as_bytes());
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method.map_err(|_| EventError::Malformed("method"))?;
        *request.uri_mut() = self.uri(source, base_path)?;
        if let Some(address) = self.address(source) {
            request.extensions_mut().insert(PeerAddress(SocketAddr::new(address, 0)));
        }
        *request.headers_mut() = self.header_map()?;
        *request.body_mut() = self.body()?.into();
        Ok(HttpEventRequest { source, request })
    }

    fn uri(&self, source: HttpSource, base_path: &str) -> Result<Uri, EventError> {
        let path = self.path(source);
        let path = strip_segments(path, base_path);
        let set = if self.has_decoded_path(source) {
            DECODED_PATH
        } else {
            PATH
        };
        let mut text = utf8_percent_encode(path, set).to_string();
        let query = self.query(source);
        if !query.is_empty() {
            text.push('?');
            text.push_str(&query);
        }
        text.parse().map_err(|_| EventError::Malformed("path"))
    }

    /// Returns the path without the stage. Payload 2.0 includes the stage, and so does payload 1.0 of an HTTP API.
    fn path(&self, source: HttpSource) -> &str {
        let path = self.path.as_deref().unwrap_or("/");
        let has_stage = match source {
            HttpSource::V2 => true,
            // A REST API behind a custom domain sends the whole path without a stage.
            HttpSource::V1 => self.has_version && self.whole_path.as_deref() == Some(path),
            HttpSource::LoadBalancer { .. } => false,
        };
        match self.stage.as_deref() {
            Some(stage) if has_stage && stage != "$default" => strip_segments(path, stage),
            _ => path,
        }
    }

    fn query(&self, source: HttpSource) -> String {
        if let Some(query) = &self.raw_query {
            return utf8_percent_encode(query, QUERY).to_string();
        }
        // A load balancer does not decode the query string.
        let set = match source {
            HttpSource::LoadBalancer { .. } => QUERY,
            HttpSource::V1 | HttpSource::V2 => QUERY_PART,
        };
        let pairs = self.query.iter().map(|(name, value)| {
            let name = utf8_percent_encode(name, set);
            format!("{name}={}", utf8_percent_encode(value, set))
        });
        pairs.collect::<Vec<_>>().join("&")
    }

    fn header_map(&self) -> Result<HeaderMap, EventError> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            map.try_append(name, value.clone()).map_err(|_| EventError::TooManyHeaders)?;
        }
        // An HTTP API sends cookies only here; a function URL also sends them as a header.
        let cookies = self.cookies.as_deref().map(HeaderValue::from_str);
        if let (Some(Ok(cookies)), false) = (cookies, map.contains_key(COOKIE)) {
            map.try_append(COOKIE, cookies).map_err(|_| EventError::TooManyHeaders)?;
        }
        Ok(map)
    }

    /// Returns the address of the client's connection, which the client can't forge.
    fn address(&self, source: HttpSource) -> Option<IpAddr> {
        let text = match source {
            HttpSource::V1 | HttpSource::V2 => self.source_ip.as_deref()?,
            // The load balancer appends the address to those that the client may have sent.
            HttpSource::LoadBalancer { .. } => {
                let mut headers = self.headers.iter();
                let forwarded = headers.rfind(|(name, _)| name == "x-forwarded-for");
                forwarded?.1.to_str().ok()?.rsplit(',').next()?.trim()
            }
        };
        text.parse().ok()
    }

    fn body(self) -> Result<Bytes, EventError> {
        let body = self.body.unwrap_or_default();
        if !self.is_base64_encoded {
            return Ok(body.into());
        }
        let decoded = BASE64_STANDARD.decode(body);
        decoded.map(Bytes::from).map_err(|_| EventError::Malformed("body in base64"))
    }
}

/// Reads required fields and records the first one with an invalid value.
#[derive(Default)]
struct RequiredFields {
    malformed: Option<&'static str>,
}

impl RequiredFields {
    fn get<'a, T: Deserialize<'a>>(
        &mut self,
        object: &JsonObject<'a>,
        name: &str,
        part: &'static str,
    ) -> Option<T> {
        self.typed(object.raw(name)?, part)
    }

    fn typed<'a, T: Deserialize<'a>>(
        &mut self,
        value: &'a RawValue,
        part: &'static str,
    ) -> Option<T> {
        let value = typed(value);
        if value.is_none() {
            self.malformed.get_or_insert(part);
        }
        value
    }

    /// Returns the pairs of a query string that the source has split, with all values of a name if the event contains
    /// them.
    fn query(&mut self, event: &JsonObject<'_>) -> Vec<(String, String)> {
        let all = self.pairs(event, "multiValueQueryStringParameters", |needed, values| {
            let values: Option<Vec<Option<String>>> = needed.typed(values, QUERY_STRING)?;
            values
        });
        if !all.is_empty() {
            return all;
        }
        self.pairs(event, "queryStringParameters", |needed, value| {
            let value: Option<String> = needed.typed(value, QUERY_STRING)?;
            Some(vec![value])
        })
    }

    fn pairs(
        &mut self,
        event: &JsonObject<'_>,
        name: &str,
        values: fn(&mut Self, &RawValue) -> Option<Vec<Option<String>>>,
    ) -> Vec<(String, String)> {
        let object: JsonObject<'_> = self.get(event, name, QUERY_STRING).unwrap_or_default();
        let mut pairs = Vec::new();
        for (name, value) in object.iter() {
            let Ok(name) = str::from_utf8(name) else {
                self.malformed.get_or_insert(QUERY_STRING);
                continue;
            };
            for value in values(self, value).unwrap_or_default() {
                pairs.push((name.to_owned(), value.unwrap_or_default()));
            }
        }
        pairs
    }
}

/// Returns the valid headers, with all values of a name if the event contains them.
fn headers(event: &JsonObject<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let multi_value_headers: JsonObject<'_> = event.get("multiValueHeaders").unwrap_or_default();
    let all: Vec<_> = multi_value_headers
        .iter()
        .flat_map(|(name, values)| {
            let raw_values: Vec<&RawValue> = typed(values).unwrap_or_default();
            raw_values
                .into_iter()
                .filter_map(|value| header(name, value))
                .collect::<Vec<_>>()
        })
        .collect();
    if !all.is_empty() {
        return all;
    }
    let headers: JsonObject<'_> = event.get("headers").unwrap_or_default();
    headers.iter().filter_map(|(name, value)| header(name, value)).collect()
}

fn header(name: &[u8], value: &RawValue) -> Option<(HeaderName, HeaderValue)> {
    let value: String = typed(value)?;
    let name = HeaderName::from_bytes(name).ok()?;
    Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
}

/// Removes leading segments from a path, if it starts with them.
fn strip_segments<'a>(path: &'a str, first: &str) -> &'a str {
    let first = first.trim_matches('/');
    let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(first));
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
