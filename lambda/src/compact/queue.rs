//! Flushes and merges are handed out by a queue of SQS.
//!
//! One request of its JSON protocol, signed as all requests to AWS are: an SDK for it would be as large as the rest
//! of what such a request needs.

use std::time::Duration;

use async_trait::async_trait;
use http::{
    Uri,
    header::{CONTENT_TYPE, HeaderValue},
};
use neap_bucket::{AwsConfig, World};
use neap_compact::{Dispatch, Event};
use object_store::{
    ClientOptions,
    aws::{AwsAuthorizer, AwsCredentialProvider},
    client::{HttpClient, HttpConnector, HttpRequest, ReqwestConnector},
};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::options::OptionsError;

/// The longest that a request may take.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The longest that a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// How long a connection is kept that nobody uses: one may have died while the function was frozen.
const IDLE_LIMIT: Duration = Duration::from_secs(15);

/// How often a request that was not answered is sent again. A queue may have a message twice.
const TRIES: u32 = 3;

/// The pause before a request is sent again, at most, for each time that it was sent.
const PAUSE: Duration = Duration::from_millis(200);

/// Requests that are under way at once.
const PARALLEL: usize = 8;

/// A queue that orders are sent to.
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
    /// The queue with this URL, at another endpoint if one is named.
    ///
    /// # Errors
    /// A URL is none, or half of a pair of keys is missing.
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
            .map_err(|error| unusable(format!("'{endpoint}' is no URL: {error}")))?;
        let (Some(scheme), Some(authority)) = (endpoint.scheme_str(), endpoint.authority()) else {
            return Err(unusable(format!("'{endpoint}' is no URL")));
        };
        let root = format!("{scheme}://{authority}/").parse();
        let root: Uri = root.map_err(|_| unusable(format!("'{endpoint}' is no URL")))?;
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
            places: Semaphore::new(PARALLEL),
            world: world.clone(),
        })
    }

    /// Sends a message once; whether it is of use to send it again if it was not taken.
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

/// The region in the name of a host of SQS.
fn region_of(host: &str) -> Option<&str> {
    let mut parts = host.split('.');
    let (first, region) = (parts.next()?, parts.next()?);
    (first == "sqs" && parts.next() == Some("amazonaws")).then_some(region)
}

#[async_trait]
impl Dispatch for OrderQueue {
    async fn dispatch(&self, event: Event) -> Result<(), String> {
        let _place = self.places.acquire().await;
        let body = serde_json::to_string(&event).map_err(|error| error.to_string())?;
        let mut sent = 0;
        loop {
            sent += 1;
            match self.send(&body).await {
                Ok(()) => return Ok(()),
                Err((true, _)) if sent < TRIES => {
                    let pause = self.world.entropy.below(PAUSE * sent);
                    self.world.clock.sleep(pause).await;
                }
                Err((_, reason)) => {
                    return Err(format!("the queue did not take an order: {reason}"));
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
    fn a_url_that_is_none_is_refused() {
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
