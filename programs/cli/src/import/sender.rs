//! Sends the requests of an import, with retries.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use neap_bucket::World;
use neap_http::STAMP_HEADER;
use neap_write::ALLOW_DUPLICATES_HEADER;
use reqwest::{Method, RequestBuilder, header};

use super::body::{BodyContent, ImportBody, LinePlaces};
use crate::client::{Backoff, Client, ClientError, LinePositions, RefusedLines};

/// Settings of the requests of an import.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SenderSettings {
    /// Maximum size of a request in bytes.
    pub(crate) max_request_bytes: usize,
    /// Maximum number of concurrent requests.
    pub(crate) max_concurrent_requests: usize,
}

/// Sends rows to a server.
#[derive(Debug)]
pub(crate) struct BodySender {
    client: Client,
    world: World,
    settings: SenderSettings,
    /// The server has answered before, so a connection failure is retryable.
    was_answered: AtomicBool,
    /// The newest stamp of an answer; 0: none yet. Later requests are ordered after it.
    latest_stamp: AtomicU64,
}

impl BodySender {
    /// Creates a sender.
    pub(crate) fn new(client: Client, world: World, settings: SenderSettings) -> Self {
        Self {
            client,
            world,
            settings,
            was_answered: AtomicBool::new(false),
            latest_stamp: AtomicU64::new(0),
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the clock and the randomness.
    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    pub(crate) fn settings(&self) -> SenderSettings {
        self.settings
    }

    /// Sends rows and returns those that were refused.
    ///
    /// # Errors
    ///
    /// The request failed, or was refused as a whole.
    pub(crate) async fn send(
        &self,
        body: &ImportBody,
    ) -> Result<Option<RefusedLines>, ClientError> {
        let mut backoff = Backoff::new(self.world.clone());
        loop {
            match self.client.send(self.request(body)).await {
                Ok(answer) => {
                    let stamp = answer
                        .headers()
                        .get(STAMP_HEADER)
                        .and_then(|stamp| stamp.to_str().ok()?.parse().ok());
                    self.latest_stamp.fetch_max(stamp.unwrap_or(0), Ordering::Relaxed);
                    self.was_answered.store(true, Ordering::Relaxed);
                    return Ok(None);
                }
                Err(ClientError::Refused { status, body: ref text, .. })
                    if let Some(refused) = parse_refusal(body, status, text) =>
                {
                    self.was_answered.store(true, Ordering::Relaxed);
                    return Ok(Some(refused));
                }
                Err(error) => {
                    backoff
                        .wait_after(error.retryable_if(self.was_answered.load(Ordering::Relaxed)))
                        .await?
                }
            }
        }
    }

    fn request(&self, body: &ImportBody) -> RequestBuilder {
        let database = ("db", body.database.as_ref());
        let builder = match &body.content {
            BodyContent::Arrow { table, .. } => self
                .client
                .request(Method::POST, "/api/v3/write_file")
                .query(&[database, ("table", table), ("format", "arrow")])
                // The source has the same rule: rows with equal times and tags are one row.
                .header(ALLOW_DUPLICATES_HEADER, "true"),
            BodyContent::Lines { precision, .. } => self
                .client
                .request(Method::POST, "/api/v3/write_lp")
                .query(&[database, ("precision", precision)]),
        };
        let request = builder
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(body.content.bytes().clone());
        match self.latest_stamp.load(Ordering::Relaxed) {
            0 => request,
            stamp => request.header(STAMP_HEADER, stamp),
        }
    }
}

fn parse_refusal(
    body: &ImportBody,
    status: reqwest::StatusCode,
    text: &str,
) -> Option<RefusedLines> {
    let positions = match &body.content {
        BodyContent::Arrow { .. } => LinePositions::After(0),
        BodyContent::Lines { places, .. } => match places {
            LinePlaces::After(lines) => LinePositions::After(*lines),
            LinePlaces::Rows(rows) => LinePositions::Rows(rows),
        },
    };
    let origin = Some(body.origin.as_ref());
    RefusedLines::parse(status, text, 0, origin, positions)
}
