//! The HTTP server of the gateway.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
};
use http::{HeaderMap, HeaderValue, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{GatewayKind, GatewayRoutes, event::event, response};
use crate::{
    runtime::{FunctionReply, InvocationFailure, InvocationFailureKind, LocalFunction},
    world,
};

/// Maximum time that API Gateway waits for a function.
const INTEGRATION_LIMIT: Duration = Duration::from_secs(30);
/// Header with which a test selects another gateway than the configured one.
const KIND_HEADER: &str = "x-lambda-local-event";
/// Header with which a test selects the instance.
const INSTANCE_HEADER: &str = "x-lambda-local-instance";

/// Converts HTTP requests to events and sends them to the functions.
#[derive(Debug)]
pub struct Gateway {
    kind: GatewayKind,
    streaming: bool,
    routes: GatewayRoutes,
    functions: BTreeMap<String, Arc<LocalFunction>>,
}

impl Gateway {
    /// Creates a gateway for these functions.
    pub fn new(
        kind: GatewayKind,
        streaming: bool,
        routes: GatewayRoutes,
        functions: BTreeMap<String, Arc<LocalFunction>>,
    ) -> Arc<Self> {
        Arc::new(Self { kind, streaming, routes, functions })
    }

    /// Returns the router, which handles every path.
    pub fn routes(self: Arc<Self>) -> Router {
        Router::new().fallback(handle).with_state(self)
    }

    async fn answer(&self, request: Request) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let kind = take(&mut parts.headers, KIND_HEADER)
            .and_then(|name| GatewayKind::from_name(&name))
            .unwrap_or(self.kind);
        let instance =
            take(&mut parts.headers, INSTANCE_HEADER).and_then(|number| number.parse().ok());
        if head_bytes(&parts) > kind.head_limit() {
            return response::gateway_response(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "Request Header Fields Too Large",
                "Gateway.HeadTooLarge",
            );
        }
        let is_api = matches!(kind, GatewayKind::HttpApi | GatewayKind::RestApi);
        if is_api && self.function_for(&parts).is_none() {
            return response::gateway_response(
                StatusCode::NOT_FOUND,
                "Not Found",
                "Gateway.NoRoute",
            );
        }
        let body = match Limited::new(body, kind.request_limit()).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                let (status, message) = (StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
                return response::gateway_response(status, message, "Gateway.RequestTooLarge");
            }
            Err(_) => {
                return response::gateway_response(
                    StatusCode::BAD_REQUEST,
                    "Bad Request",
                    "Gateway.BrokenBody",
                );
            }
        };
        let Ok(event) = event(kind, &parts, &body) else {
            return response::gateway_response(
                StatusCode::BAD_REQUEST,
                "Bad Request",
                "Gateway.RefusedPath",
            );
        };
        let event = event.to_string();
        let outcome = self.invoke(kind, &parts, event.into(), instance).await;
        response::response(kind, outcome).await
    }

    fn function_for(&self, parts: &Parts) -> Option<&str> {
        self.routes.function_for(parts.method.as_str(), parts.uri.path())
    }

    async fn invoke(
        &self,
        kind: GatewayKind,
        parts: &Parts,
        event: bytes::Bytes,
        instance: Option<u32>,
    ) -> Result<FunctionReply, InvocationFailure> {
        let name = self.function_for(parts);
        let Some(function) = name.and_then(|name| self.functions.get(name)) else {
            return Err(InvocationFailure {
                kind: InvocationFailureKind::InitFailed,
                message: "there is no function behind this route".to_owned(),
            });
        };
        // Only function URLs and REST APIs can stream responses, if the configuration enables it.
        let streams =
            self.streaming && matches!(kind, GatewayKind::FunctionUrl | GatewayKind::RestApi);
        let outcome = function.invoke(event, streams, instance);
        match kind {
            GatewayKind::HttpApi | GatewayKind::RestApi => {
                let limited = world::with_timeout(INTEGRATION_LIMIT, outcome).await;
                limited.unwrap_or_else(|| {
                    Err(InvocationFailure {
                        kind: InvocationFailureKind::Throttled,
                        message: "the function exceeded the gateway's timeout".to_owned(),
                    })
                })
            }
            GatewayKind::LoadBalancer | GatewayKind::FunctionUrl => outcome.await,
        }
    }
}

async fn handle(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    gateway.answer(request).await
}

/// Returns the size of the request line and the values of all headers in bytes.
fn head_bytes(parts: &Parts) -> usize {
    let target = parts.uri.path_and_query().map_or(1, |target| target.as_str().len());
    let line = parts.method.as_str().len() + target + " HTTP/1.1".len() + 1;
    line + parts.headers.values().map(HeaderValue::len).sum::<usize>()
}

/// Removes a header that the function must not receive, and returns its value.
fn take(headers: &mut HeaderMap, name: &str) -> Option<String> {
    let value = headers.remove(name)?;
    Some(value.to_str().ok()?.to_owned())
}
