//! Conversion of a function's response to an HTTP response.

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::GatewayKind;
use crate::runtime::{FunctionReply, InvocationFailure, InvocationFailureKind};

/// Header with the kind of a failure, for tests.
pub(super) const FAILURE_HEADER: &str = "x-lambda-local-failure";
/// Separator between the head of a streamed response and its body.
const SEPARATOR: [u8; 8] = [0; 8];
/// Maximum size of the head of a streamed response in bytes.
const HEAD_LIMIT: usize = 64 << 10;

/// A response document, as functions write it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseDocument {
    status_code: u16,
    #[serde(default)]
    headers: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    multi_value_headers: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    cookies: Vec<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// Reason why the gateway can't convert a function's response.
#[derive(Debug, thiserror::Error)]
enum MalformedResponse {
    #[error("invalid response document: {0}")]
    Json(#[from] serde_json::Error),
    #[error("invalid status or header: {0}")]
    Head(#[from] http::Error),
    #[error("a header value is not a string, number, or boolean")]
    Header,
    #[error("the body is not in base64: {0}")]
    Base64(#[from] base64::DecodeError),
    #[error("the stream ends before its body")]
    Stream,
    #[error("the response exceeds the gateway's limit")]
    TooLarge,
}

/// Builds the HTTP response for a client.
pub(super) async fn response(
    kind: GatewayKind,
    outcome: Result<FunctionReply, InvocationFailure>,
) -> Response<Body> {
    let response = match outcome {
        Ok(FunctionReply::Whole(bytes)) => whole(kind, &bytes),
        Ok(FunctionReply::Stream(parts)) => streamed(parts).await,
        Err(failure) => return failed(&failure),
    };
    response.unwrap_or_else(|malformed| {
        let failure = InvocationFailure {
            kind: InvocationFailureKind::Reported("Gateway.MalformedResponse".to_owned()),
            message: malformed.to_string(),
        };
        failed(&failure)
    })
}

/// Builds the response to a failure, without its reason. Where an HTTP API answers 500 and the other gateways 502, this
/// emulator always answers 502, because no function answers with 502 itself.
fn failed(failure: &InvocationFailure) -> Response<Body> {
    let (status, message) = match failure.kind {
        InvocationFailureKind::RequestTooLarge => {
            (StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
        }
        InvocationFailureKind::Throttled => {
            (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
        }
        _ => (StatusCode::BAD_GATEWAY, "Internal Server Error"),
    };
    gateway_response(status, message, failure.kind.error_type())
}

/// Builds a response of the gateway itself.
pub(super) fn gateway_response(status: StatusCode, message: &str, reason: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(json!({ "message": message }).to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    if let Ok(reason) = HeaderValue::from_str(reason) {
        headers.insert(FAILURE_HEADER, reason);
    }
    response
}

fn whole(kind: GatewayKind, bytes: &Bytes) -> Result<Response<Body>, MalformedResponse> {
    if bytes.len() > kind.response_limit() {
        return Err(MalformedResponse::TooLarge);
    }
    let mut written: ResponseDocument = serde_json::from_slice(bytes)?;
    let body = written.body.take().unwrap_or_default();
    let body = if written.is_base64_encoded {
        STANDARD.decode(body)?
    } else {
        body.into_bytes()
    };
    head(&written, Body::from(body))
}

fn head(written: &ResponseDocument, body: Body) -> Result<Response<Body>, MalformedResponse> {
    let mut response = Response::builder().status(written.status_code).body(body)?;
    let headers = response.headers_mut();
    for (name, value) in &written.headers {
        // Headers with several values are in `multiValueHeaders` with all of them.
        if !written.multi_value_headers.contains_key(name) {
            add(headers, name, value)?;
        }
    }
    for (name, values) in &written.multi_value_headers {
        for value in values.as_array().into_iter().flatten() {
            add(headers, name, value)?;
        }
    }
    for cookie in &written.cookies {
        add(headers, "set-cookie", &cookie.as_str().into())?;
    }
    Ok(response)
}

fn add(
    headers: &mut HeaderMap,
    name: &str,
    value: &serde_json::Value,
) -> Result<(), MalformedResponse> {
    let text = match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) => number.to_string(),
        serde_json::Value::Bool(bool) => bool.to_string(),
        _ => return Err(MalformedResponse::Header),
    };
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(http::Error::from)?;
    let value = HeaderValue::from_str(&text).map_err(http::Error::from)?;
    // The gateway frames the body itself.
    let is_framing = [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    if !is_framing.contains(&name) {
        headers.append(name, value);
    }
    Ok(())
}

/// Converts a streamed response: its head as JSON, eight zero bytes, its body.
async fn streamed(
    mut parts: mpsc::Receiver<Result<Bytes, InvocationFailure>>,
) -> Result<Response<Body>, MalformedResponse> {
    let mut received = Vec::new();
    let end_of_head = loop {
        let position = received.windows(SEPARATOR.len()).position(|window| window == SEPARATOR);
        if let Some(position) = position {
            break position;
        }
        match parts.recv().await {
            Some(Ok(part)) if received.len() <= HEAD_LIMIT => received.extend_from_slice(&part),
            _ => return Err(MalformedResponse::Stream),
        }
    };
    let rest = received.split_off(end_of_head);
    let rest = Bytes::from(rest).slice(SEPARATOR.len()..);
    let written: ResponseDocument = serde_json::from_slice(&received)?;
    let first = stream::once(async { Ok(rest) });
    let body = Body::from_stream(first.chain(ReceiverStream::new(parts)));
    head(&written, body)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn read(response: Response<Body>) -> (u16, HeaderMap, Bytes) {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), parts.headers, body)
    }

    #[tokio::test]
    async fn a_response_document_becomes_an_http_response() {
        let written = json!({
            "statusCode": 422,
            "headers": { "x-one": "1", "content-length": "9", "x-many": "last" },
            "multiValueHeaders": { "x-many": ["first", "last"] },
            "cookies": ["a=1", "b=2"],
            "body": "/wA=",
            "isBase64Encoded": true,
        });
        let reply = FunctionReply::Whole(written.to_string().into());
        let (status, headers, body) = read(response(GatewayKind::HttpApi, Ok(reply)).await).await;
        assert_eq!((status, &body[..]), (422, &b"\xff\0"[..]));
        assert_eq!(headers["x-one"], "1");
        assert_eq!(headers.get_all("x-many").iter().count(), 2);
        assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
    }

    #[tokio::test]
    async fn an_invalid_response_document_is_a_bad_gateway_error() {
        for written in [
            "",
            "null",
            "{}",
            r#"{"statusCode":99999}"#,
            r#"{"statusCode":200,"headers":{"a b":"c"}}"#,
            r#"{"statusCode":200,"body":"%","isBase64Encoded":true}"#,
        ] {
            let reply = FunctionReply::Whole(Bytes::from_static(written.as_bytes()));
            let answer = response(GatewayKind::HttpApi, Ok(reply)).await;
            assert_eq!(answer.status(), 502, "{written}");
            assert_eq!(answer.headers()[FAILURE_HEADER], "Gateway.MalformedResponse");
        }
    }

    #[tokio::test]
    async fn a_streamed_response_is_parsed_however_it_is_split() {
        let text = b"{\"statusCode\":201,\"headers\":{\"x-a\":\"b\"},\"cookies\":[]}\0\0\0\0\0\0\0\0body\0";
        for cut in 0..text.len() {
            let (sender, parts) = mpsc::channel(2);
            for part in [&text[..cut], &text[cut..]] {
                sender.send(Ok(Bytes::copy_from_slice(part))).await.unwrap();
            }
            drop(sender);
            let answer = response(GatewayKind::FunctionUrl, Ok(FunctionReply::Stream(parts))).await;
            let (status, headers, body) = read(answer).await;
            assert_eq!((status, &body[..]), (201, &b"body\0"[..]), "{cut}");
            assert_eq!(headers["x-a"], "b");
        }
    }

    #[tokio::test]
    async fn a_load_balancer_accepts_responses_up_to_one_megabyte() {
        let written = json!({ "statusCode": 200, "body": "x".repeat(1 << 20) }).to_string();
        for (kind, status) in [(GatewayKind::HttpApi, 200), (GatewayKind::LoadBalancer, 502)] {
            let reply = FunctionReply::Whole(written.clone().into());
            assert_eq!(response(kind, Ok(reply)).await.status(), status);
        }
    }
}
