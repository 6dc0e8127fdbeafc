//! Invokes functions with Lambda's `Invoke`.
//!
//! `InvokeWithResponseStream` is not used: after the first 6 MB it is limited to 2 MB/s, while an object of the bucket is
//! read as fast as sections are.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use neap_bucket::{AwsConfig, World};
use neap_distributed::invocation::{InvokeError, TaskInvoker};
use serde::Deserialize;

use crate::{
    options::OptionsError,
    signed_requests::{RequestError, RequestLimits, SignedClient, SignedResponse},
};

const LIMITS: RequestLimits = RequestLimits {
    // Long, because one processor may open hundreds of encrypted connections at once.
    connection: Duration::from_secs(10),
    // The maximum of a function. Each invocation has a limit of its own as well. The HTTP client sends keepalives every
    // 15 s, so that no router drops the connection meanwhile.
    request: Duration::from_secs(15 * 60),
};

/// Header with which Lambda reports that the function failed.
const FUNCTION_ERROR: &str = "x-amz-function-error";

/// The version of a function that is not published.
const LATEST: &str = "$LATEST";

/// Invokes one function.
#[derive(Debug)]
pub(super) struct FunctionInvoker {
    client: SignedClient,
    path: String,
}

/// The document with which Lambda describes a failure.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct FailureDocument {
    error_type: String,
    error_message: String,
}

impl FunctionInvoker {
    /// Creates a client for a version of a function, optionally at another endpoint than that of the region.
    ///
    /// # Errors
    /// The endpoint is not a URL, or one key of the pair is missing.
    pub(super) fn new(
        function: &str,
        version: &str,
        endpoint: Option<&str>,
        aws: &AwsConfig,
        world: &World,
    ) -> Result<Self, OptionsError> {
        let unusable = |option, reason| OptionsError::Unusable { option, reason };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if function.is_empty() || !function.bytes().all(is_name) {
            let reason = format!("'{function}' is not the name of a function");
            return Err(unusable("distributed-function", reason));
        }
        let endpoint = match endpoint.filter(|endpoint| !endpoint.is_empty()) {
            Some(endpoint) => endpoint.to_owned(),
            None => endpoint_of(aws.region()),
        };
        let client = SignedClient::new("lambda", &endpoint, LIMITS, aws, world)
            .map_err(|error| unusable("lambda-endpoint", error.to_string()))?;
        let qualifier = if version.is_empty() || version == LATEST {
            String::new()
        } else if version.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("?Qualifier={version}")
        } else {
            let reason = format!("'{version}' is not the version of a function");
            return Err(unusable("distributed-function", reason));
        };
        Ok(Self {
            client,
            path: format!("/2015-03-31/functions/{function}/invocations{qualifier}"),
        })
    }
}

/// Returns Lambda's endpoint in a region.
fn endpoint_of(region: &str) -> String {
    let domain = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    format!("https://lambda.{region}.{domain}")
}

#[async_trait]
impl TaskInvoker for FunctionInvoker {
    async fn invoke(&self, event: Bytes, _: Duration) -> Result<Bytes, InvokeError> {
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, json)]);
        let response =
            self.client
                .post(&self.path, headers, event)
                .await
                .map_err(|error| match error {
                    RequestError::Credentials(reason) => InvokeError::Refused(reason),
                    RequestError::Connection(reason) => InvokeError::Unavailable(reason),
                })?;
        reply(response)
    }
}

fn reply(response: SignedResponse) -> Result<Bytes, InvokeError> {
    match response.status {
        StatusCode::OK if response.headers.contains_key(FUNCTION_ERROR) => {
            let failure: FailureDocument =
                serde_json::from_slice(&response.body).unwrap_or_default();
            let FailureDocument { error_type, error_message } = failure;
            Err(InvokeError::Failed(format!("{error_type}: {error_message}")))
        }
        StatusCode::OK => Ok(response.body),
        StatusCode::TOO_MANY_REQUESTS => Err(InvokeError::Throttled(response.summary())),
        status if status.is_server_error() => Err(InvokeError::Unavailable(response.summary())),
        _ => Err(InvokeError::Refused(response.summary())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(function: &str, version: &str) -> Result<String, String> {
        let (aws, world) = (AwsConfig::default(), World::system());
        let invoker = FunctionInvoker::new(function, version, None, &aws, &world);
        invoker
            .map(|invoker| format!("{}{}", invoker.client.host(), invoker.path))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_function_invokes_its_own_version() {
        let host = "lambda.us-east-1.amazonaws.com/2015-03-31/functions/neap-query/invocations";
        assert_eq!(path("neap-query", "$LATEST"), Ok(host.to_owned()));
        assert_eq!(path("neap-query", "7"), Ok(format!("{host}?Qualifier=7")));
        for (function, version) in [("", "7"), ("a/b", "7"), ("a", "x&y")] {
            let error = path(function, version).unwrap_err();
            assert!(error.starts_with("--distributed-function: "), "{error}");
        }
        assert_eq!(endpoint_of("cn-north-1"), "https://lambda.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn responses_tell_whether_the_function_ran() {
        let response = |status, header: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(header.map(|header| {
                (http::HeaderName::from_static(FUNCTION_ERROR), HeaderValue::from_static(header))
            }));
            reply(SignedResponse {
                status: StatusCode::from_u16(status).unwrap(),
                headers,
                body: Bytes::from_static(br#"{"errorType":"T","errorMessage":"m"}"#),
            })
        };
        assert!(response(200, None).is_ok());
        assert_eq!(response(200, Some("Unhandled")), Err(InvokeError::Failed("T: m".to_owned())));
        assert!(matches!(response(429, None), Err(InvokeError::Throttled(_))));
        assert!(matches!(response(500, None), Err(InvokeError::Unavailable(_))));
        for status in [400, 403, 404, 413] {
            assert!(matches!(response(status, None), Err(InvokeError::Refused(_))));
        }
    }
}
