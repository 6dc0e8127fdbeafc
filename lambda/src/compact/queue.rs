//! Sends flush and merge orders to an SQS queue.
//!
//! It sends one signed request of the SQS JSON protocol. An SDK is not used because it would be as large as everything
//! else that such a request needs.

use std::time::Duration;

use async_trait::async_trait;
use http::{
    Uri,
    header::{CONTENT_TYPE, HeaderValue},
};
use neap_bucket::{AwsConfig, World};
use neap_compact::{CompactorEvent, EventDispatcher};
use object_store::{
    ClientOptions,
    aws::{AwsAuthorizer, AwsCredentialProvider},
    client::{HttpClient, HttpConnector, HttpRequest, ReqwestConnector},
};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::options::OptionsError;

/// Maximum time for a request.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Maximum time for establishing a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Maximum time that an idle connection is kept. It is short because a connection may break while the function is
/// frozen.
const IDLE_LIMIT: Duration = Duration::from_secs(15);

/// Maximum attempts to send a request. A retry can put a message into the queue twice.
const MAX_ATTEMPTS: u32 = 3;

/// Maximum pause before a retry, multiplied by the number of attempts so far.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Maximum number of concurrent requests.
const MAX_CONCURRENT_REQUESTS: usize = 8;

/// An SQS queue for flush and merge orders.
#[derive(Debug)]
pub struct OrderQueue {
    client: HttpClient,
    credentials: AwsCredentialProvider,
    url: String,
    endpoint: Uri,
    region: String,
    places: Semaphore,
    world: World,
}

impl OrderQueue {
    /// Creates a client for the queue with this URL, optionally at another endpoint.
    ///
    /// # Errors
    /// A URL is invalid, or one key of the pair is missing.
    pub fn new(
        url: &str,
        endpoint: Option<&str>,
        aws: &AwsConfig,
        world: &World,
    ) -> Result<Self, OptionsError> {
        let unusable = |reason: String| OptionsError::Unusable {
            option: "merge-queue-url",
            reason,
        };
        let endpoint = endpoint
            .filter(|endpoint| !endpoint.is_empty())
            .unwrap_or(url);
        let endpoint: Uri = endpoint
            .parse()
            .map_err(|error| unusable(format!("'{endpoint}' is not a URL: {error}")))?;
        let (Some(scheme), Some(authority)) = (endpoint.scheme_str(), endpoint.authority()) else {
            return Err(unusable(format!("'{endpoint}' is not a URL")));
        };
        let root = format!("{scheme}://{authority}/").parse();
        let root: Uri = root.map_err(|_| unusable(format!("'{endpoint}' is not a URL")))?;
        let options = ClientOptions::new()
            .with_allow_http(scheme == "http")
            .with_connect_timeout(CONNECT_LIMIT)
            .with_pool_idle_timeout(IDLE_LIMIT)
            .with_timeout(TIME_LIMIT);
        let client = ReqwestConnector::default().connect(&options);
        Ok(Self {
            client: client.map_err(|error| unusable(error.to_string()))?,
            credentials: aws.credentials(world, None)?,
            region: region_of(authority.host())
                .unwrap_or(aws.region())
                .to_owned(),
            url: url.to_owned(),
            endpoint: root,
            places: Semaphore::new(MAX_CONCURRENT_REQUESTS),
            world: world.clone(),
        })
    }

    /// Sends a message once. The error contains whether a retry makes sense.
    async fn send(&self, body: &str) -> Result<(), (bool, String)> {
        let credential = self.credentials.get_credential().await;
        let credential = credential.map_err(|error| (false, error.to_string()))?;
        let body = json!({ "QueueUrl": self.url, "MessageBody": body }).to_string();
        let mut request = HttpRequest::new(body.into());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        let json = HeaderValue::from_static("application/x-amz-json-1.0");
        request.headers_mut().insert(CONTENT_TYPE, json);
        let target = HeaderValue::from_static("AmazonSQS.SendMessage");
        request.headers_mut().insert("x-amz-target", target);
        AwsAuthorizer::new(&credential, "sqs", &self.region).authorize(&mut request, None);
        let answer = self.client.execute(request).await;
        let answer = answer.map_err(|error| (true, error.to_string()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let text = answer.into_body().bytes().await.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let text: String = text.chars().take(200).collect();
        Err((status.is_server_error(), format!("{status} {text}")))
    }
}

/// Returns the region in an SQS host name.
fn region_of(host: &str) -> Option<&str> {
    let mut parts = host.split('.');
    let (first, region) = (parts.next()?, parts.next()?);
    (first == "sqs" && parts.next() == Some("amazonaws")).then_some(region)
}

#[async_trait]
impl EventDispatcher for OrderQueue {
    async fn dispatch(&self, event: CompactorEvent) -> Result<(), String> {
        let _place = self.places.acquire().await;
        let body = serde_json::to_string(&event).map_err(|error| error.to_string())?;
        let mut sent = 0;
        loop {
            sent += 1;
            match self.send(&body).await {
                Ok(()) => return Ok(()),
                Err((true, _)) if sent < MAX_ATTEMPTS => {
                    let pause = self.world.entropy.below(RETRY_PAUSE * sent);
                    self.world.clock.sleep(pause).await;
                }
                Err((_, reason)) => {
                    return Err(format!("an order could not be queued: {reason}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_in_the_name_of_the_host() {
        assert_eq!(
            region_of("sqs.eu-central-1.amazonaws.com"),
            Some("eu-central-1")
        );
        assert_eq!(region_of("127.0.0.1"), None);
        assert_eq!(region_of("sqs.localhost.localstack.cloud"), None);
    }

    #[test]
    fn an_invalid_queue_url_is_rejected() {
        let world = World::system();
        let aws = AwsConfig::default();
        for url in ["queue", "/1/queue", "http://"] {
            let error = OrderQueue::new(url, None, &aws, &world).unwrap_err();
            assert!(
                error.to_string().starts_with("--merge-queue-url: "),
                "{error}"
            );
        }
    }
}
