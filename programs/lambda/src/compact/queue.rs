//! Sends flush and merge orders to an SQS queue, with its JSON protocol.

use std::time::Duration;

use async_trait::async_trait;
use http::{
    HeaderMap,
    header::{CONTENT_TYPE, HeaderValue},
};
use neap_bucket::{AwsConfig, World};
use neap_compact::{CompactorEvent, EventDispatcher};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{
    options::OptionsError,
    signed_requests::{RequestError, RequestLimits, SignedClient},
};

const LIMITS: RequestLimits = RequestLimits {
    connection: Duration::from_secs(2),
    request: Duration::from_secs(5),
};

/// Maximum attempts to send a request. A retry can put a message into the queue twice.
const MAX_ATTEMPTS: u32 = 3;

/// Maximum pause before a retry, multiplied by the number of attempts so far.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Maximum number of concurrent requests.
const MAX_CONCURRENT_REQUESTS: usize = 8;

/// An SQS queue for flush and merge orders.
#[derive(Debug)]
pub struct OrderQueue {
    client: SignedClient,
    url: String,
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
        let endpoint = endpoint.filter(|endpoint| !endpoint.is_empty());
        let client = SignedClient::new("sqs", endpoint.unwrap_or(url), LIMITS, aws, world)
            .map_err(|error| OptionsError::Unusable {
                option: "merge-queue-url",
                reason: error.to_string(),
            })?;
        let region = region_of(client.host()).map(str::to_owned);
        Ok(Self {
            client: match region {
                Some(region) => client.with_region(&region),
                None => client,
            },
            url: url.to_owned(),
            places: Semaphore::new(MAX_CONCURRENT_REQUESTS),
            world: world.clone(),
        })
    }

    /// Sends a message once. The error contains whether a retry makes sense.
    async fn send(&self, body: &str) -> Result<(), (bool, String)> {
        let body = json!({ "QueueUrl": self.url, "MessageBody": body }).to_string();
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/x-amz-json-1.0");
        headers.insert(CONTENT_TYPE, json);
        let target = HeaderValue::from_static("AmazonSQS.SendMessage");
        headers.insert("x-amz-target", target);
        let response = self.client.post("/", headers, body.into()).await.map_err(|error| {
            let is_lost = matches!(error, RequestError::Connection(_));
            (is_lost, error.to_string())
        })?;
        if response.status.is_success() {
            Ok(())
        } else {
            Err((response.status.is_server_error(), response.summary()))
        }
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
        assert_eq!(region_of("sqs.eu-central-1.amazonaws.com"), Some("eu-central-1"));
        assert_eq!(region_of("127.0.0.1"), None);
        assert_eq!(region_of("sqs.localhost.localstack.cloud"), None);
    }

    #[test]
    fn an_invalid_queue_url_is_rejected() {
        let world = World::system();
        let aws = AwsConfig::default();
        for url in ["queue", "/1/queue", "http://"] {
            let error = OrderQueue::new(url, None, &aws, &world).unwrap_err();
            assert!(error.to_string().starts_with("--merge-queue-url: "), "{error}");
        }
    }
}
