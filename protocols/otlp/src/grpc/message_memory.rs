//! Memory for the message of a call while it arrives.
//!
//! gRPC collects a message before it decodes it, in a buffer of the announced length. Memory is therefore reserved when
//! the prefix of the message is known, before its rest is read, and memory for its decompressed form before its end is
//! read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::{StreamExt, stream};
use neap_http::{MessagePrefix, MessageScanner};
use neap_write::{RequestMemoryReservation, WriteFailure, WriteService};
use tonic::Status;

use super::status::status_of;

/// The expected ratio of the size of a message to its gzip size.
const EXPECTED_GZIP_RATIO: usize = 6;

/// Maximum ratio of the size of data to its gzip size.
const MAX_GZIP_RATIO: usize = 1032;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The memory of the message of a call.
#[derive(Clone)]
pub(super) struct MessageMemory {
    service: Arc<WriteService>,
    reserved: Arc<Mutex<ReservedMessage>>,
}

/// Reservations for a message.
#[derive(Debug, Default)]
struct ReservedMessage {
    /// For the bytes that arrive, and for the expected size of their decompressed form.
    arriving: Option<RequestMemoryReservation>,
    /// The size of `arriving`, in bytes.
    arriving_bytes: usize,
    /// For the maximum size of the decompressed form, until its size is known.
    decompressed: Option<RequestMemoryReservation>,
}

impl MessageMemory {
    pub(super) fn new(service: Arc<WriteService>) -> Self {
        Self { service, reserved: Arc::default() }
    }

    /// Returns a body that waits for memory before it continues with its first message. It ends with a [`Status`] if
    /// there is none. A call has one message.
    pub(super) fn reserve_message(&self, body: Body) -> Body {
        let message = ArrivingMessage {
            body: body.into_data_stream(),
            memory: self.clone(),
            scanner: MessageScanner::default(),
            prefix: None,
            is_complete: false,
        };
        Body::from_stream(stream::unfold(Some(message), |open| async {
            let mut message = open?;
            match message.next_chunk().await {
                Ok(None) => None,
                Ok(Some(chunk)) => Some((Ok(chunk), Some(message))),
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    /// Takes the reservation of a message that is complete and decompressed. Its size is `message_bytes`.
    ///
    /// # Errors
    /// There is no memory.
    pub(super) async fn take(
        &self,
        message_bytes: usize,
    ) -> Result<RequestMemoryReservation, Status> {
        let ReservedMessage { arriving, arriving_bytes, decompressed } =
            std::mem::take(&mut *self.lock());
        let mut reservation = match arriving {
            Some(reservation) => reservation,
            None => self.reserve(0).await?,
        };
        match decompressed {
            Some(decompressed) if message_bytes > arriving_bytes => {
                reservation.merge(decompressed);
            }
            Some(_) | None => {}
        }
        Ok(reservation)
    }

    async fn reserve(&self, bytes: usize) -> Result<RequestMemoryReservation, Status> {
        let reserved = self.service.reserve_exactly(bytes).await;
        reserved.map_err(|failure: WriteFailure| status_of(&failure.into()))
    }

    fn lock(&self) -> MutexGuard<'_, ReservedMessage> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a call whose message is not complete yet.
struct ArrivingMessage {
    body: BodyDataStream,
    memory: MessageMemory,
    scanner: MessageScanner,
    /// The prefix of the message; `None`: it has not arrived.
    prefix: Option<MessagePrefix>,
    is_complete: bool,
}

impl ArrivingMessage {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, BoxError> {
        let Some(chunk) = self.body.next().await else {
            return Ok(None);
        };
        let chunk = chunk?;
        if self.is_complete {
            return Ok(Some(chunk));
        }
        let had_prefix = self.prefix.is_some();
        self.scan(&chunk);
        let Some(MessagePrefix { is_compressed, length }) = self.prefix else {
            return Ok(Some(chunk));
        };
        let settings = self.memory.service.settings();
        let max_bytes = settings.max_request_bytes;
        // A message that is too large is refused because of its prefix.
        if length > max_bytes {
            return Ok(Some(chunk));
        }
        let expected = if is_compressed {
            length.saturating_mul(EXPECTED_GZIP_RATIO).min(max_bytes)
        } else {
            0
        };
        let arriving_bytes = length.saturating_add(expected);
        if !had_prefix {
            let arriving = self.memory.reserve(arriving_bytes).await?;
            let mut reserved = self.memory.lock();
            reserved.arriving = Some(arriving);
            reserved.arriving_bytes = arriving_bytes;
        }
        if is_compressed && self.is_complete {
            let largest = length.saturating_mul(MAX_GZIP_RATIO).min(max_bytes);
            // The call does not wait for its own bytes.
            let free = settings.max_bytes_in_flight.saturating_sub(arriving_bytes);
            let decompressed = self.memory.reserve(largest.min(free)).await?;
            self.memory.lock().decompressed = Some(decompressed);
        }
        Ok(Some(chunk))
    }

    /// Looks for the prefix and the end of the message in the next bytes of the body.
    fn scan(&mut self, mut chunk: &[u8]) {
        if self.prefix.is_none() {
            self.prefix = self.scanner.next_prefix(&mut chunk);
        }
        if self.prefix.is_some() {
            // Another message is not part of the call. It shows that the first one is complete.
            let is_followed = self.scanner.next_prefix(&mut chunk).is_some();
            self.is_complete = is_followed || self.scanner.missing_bytes() == 0;
        }
    }
}
