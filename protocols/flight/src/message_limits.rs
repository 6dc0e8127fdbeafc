//! Limits of messages that are arriving.
//!
//! gRPC collects a message before it decodes it, and starts with a large buffer if the message is announced as large.
//! Memory for rows is therefore reserved when the length of a message is known, and returned when the message is
//! complete: its decoded rows are reserved by their own size. A message that does not arrive in time ends the request.

use std::{error::Error, sync::Arc, time::Duration};

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::{StreamExt, stream};
use neap_bucket::World;
use neap_http::{ApiError, MessageScanner};
use neap_write::{RequestMemoryReservation, WriteService};
use tonic::Status;

use crate::status;

/// Maximum size of a message without a reservation: the buffers of a connection are larger.
const MAX_UNRESERVED_BYTES: usize = 64 << 10;

/// Minimum rate at which a large message must arrive, in bytes per second.
const MIN_BYTES_PER_SECOND: usize = 256 << 10;

/// Limits of the messages of a request.
#[derive(Clone, Debug)]
pub(crate) struct MessageLimits {
    /// Maximum size of a message, in bytes.
    pub(crate) max_bytes: usize,
    /// Maximum time for a small message. A large one has more, by its length.
    pub(crate) timeout: Duration,
    /// Reserves the memory of messages with rows; `None`: messages are small.
    pub(crate) memory: Option<Arc<WriteService>>,
    /// The clock and timers.
    pub(crate) world: World,
}

impl MessageLimits {
    /// Returns the maximum time between the prefix of a message and its end.
    fn time_of(&self, length: usize) -> Duration {
        let seconds = length / MIN_BYTES_PER_SECOND;
        self.timeout + Duration::from_secs(seconds as u64)
    }
}

/// Returns a body that waits for memory before it continues with a large message. It ends with a [`Status`] if there is
/// none, or if a message exceeds the limits.
pub(crate) fn limit_messages(body: Body, limits: MessageLimits) -> Body {
    let messages = ArrivingMessages {
        body: body.into_data_stream(),
        limits,
        scanner: MessageScanner::default(),
        reservation: None,
        deadline: None,
    };
    Body::from_stream(stream::unfold(Some(messages), |open| async {
        let mut messages = open?;
        match messages.next_chunk().await {
            Ok(None) => None,
            Ok(Some(chunk)) => Some((Ok(chunk), Some(messages))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

struct ArrivingMessages {
    body: BodyDataStream,
    limits: MessageLimits,
    scanner: MessageScanner,
    /// Memory of the message that is incomplete.
    reservation: Option<RequestMemoryReservation>,
    /// When the message that is incomplete must be complete, by the monotonic clock.
    deadline: Option<Duration>,
}

impl ArrivingMessages {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, Box<dyn Error + Send + Sync>> {
        let next = self.body.next();
        let next = match self.deadline {
            // The time between two messages is limited where messages are read.
            None => next.await,
            Some(deadline) => {
                let left = deadline.saturating_sub(self.limits.world.clock.monotonic());
                let next = self.limits.world.timeout(left, next).await;
                next.ok_or_else(|| Status::deadline_exceeded("a message does not arrive in time"))?
            }
        };
        let Some(chunk) = next else {
            return Ok(None);
        };
        let chunk = chunk?;
        let mut rest = &chunk[..];
        let mut last = None;
        while let Some(prefix) = self.scanner.next_prefix(&mut rest) {
            last = Some(prefix);
        }
        if let Some(prefix) = last {
            // Memory of the message before, which is complete.
            self.reservation = None;
            self.admit(prefix.length).await?;
        }
        if self.scanner.missing_bytes() == 0 {
            self.reservation = None;
            self.deadline = None;
        }
        Ok(Some(chunk))
    }

    /// Checks the length of a message that begins, and reserves its memory.
    async fn admit(&mut self, length: usize) -> Result<(), Status> {
        let limits = &self.limits;
        if length > limits.max_bytes {
            return Err(Status::resource_exhausted(format!(
                "a message is too large: it has {length} bytes, and the limit is {}",
                limits.max_bytes
            )));
        }
        self.deadline = Some(limits.world.clock.monotonic() + limits.time_of(length));
        if let Some(service) = &limits.memory
            && length > MAX_UNRESERVED_BYTES
        {
            let reservation = service
                .reserve_exactly(length)
                .await
                .map_err(|failure| status::of_api(&ApiError::from(failure)))?;
            self.reservation = Some(reservation);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn message(length: usize) -> Vec<u8> {
        let mut message = vec![0];
        message.extend(u32::try_from(length).unwrap().to_be_bytes());
        message.resize(message.len() + length, 7);
        message
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_does_not_arrive_ends_the_body() {
        let limits = MessageLimits {
            max_bytes: 1 << 20,
            timeout: Duration::from_secs(30),
            memory: None,
            world: World::system(),
        };
        let started_at = stream::iter([Ok::<_, std::io::Error>(message(1_000)[..900].to_vec())]);
        let body = Body::from_stream(started_at.chain(stream::pending()));
        let error = limit_messages(body, limits.clone()).collect().await.unwrap_err();
        let status = Status::from_error(error.into());
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);

        let complete = [message(1_000), message(0), message(7)].concat();
        let body = limit_messages(Body::from(complete.clone()), limits);
        assert_eq!(body.collect().await.unwrap().to_bytes(), complete);
    }
}
