//! Memory for the message of a call while it arrives.
//!
//! gRPC collects a message before it decodes it, in a buffer of the announced length. Memory is therefore reserved when
//! the prefix of the message is known, before its rest is read, and memory for its decompressed form before its end is
//! read.
//!
//! ```text
//! body = compressed: 1 byte, length: 4 bytes big-endian, message: length bytes
//! ```
//!
//! Source: "gRPC over HTTP2", section Length-Prefixed-Message.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::{StreamExt, stream};
use neap_write::{RequestMemoryReservation, WriteFailure, WriteService};
use tonic::Status;

use super::status_of;

/// The size of the prefix of a message.
const PREFIX_BYTES: usize = 5;

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
        Self {
            service,
            reserved: Arc::default(),
        }
    }

    /// Returns a body that waits for memory before it continues with its first message. It ends with a [`Status`] if
    /// there is none. A call has one message.
    pub(super) fn reserve_message(&self, body: Body) -> Body {
        let message = ArrivingMessage {
            body: body.into_data_stream(),
            memory: self.clone(),
            frame: MessageFrame::default(),
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
        let ReservedMessage {
            arriving,
            arriving_bytes,
            decompressed,
        } = std::mem::take(&mut *self.lock());
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
    frame: MessageFrame,
}

impl ArrivingMessage {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, BoxError> {
        let Some(chunk) = self.body.next().await else {
            return Ok(None);
        };
        let chunk = chunk?;
        let (had_prefix, was_complete) = (self.frame.length().is_some(), self.frame.is_complete());
        self.frame.advance(&chunk);
        let settings = self.memory.service.settings();
        let max_bytes = settings.max_request_bytes;
        let Some(length) = self.frame.length() else {
            return Ok(Some(chunk));
        };
        // A message that is too large is refused because of its prefix.
        if length > max_bytes {
            return Ok(Some(chunk));
        }
        let is_compressed = self.frame.is_compressed();
        let expected = match is_compressed {
            true => length.saturating_mul(EXPECTED_GZIP_RATIO).min(max_bytes),
            false => 0,
        };
        let arriving_bytes = length.saturating_add(expected);
        if !had_prefix {
            let arriving = self.memory.reserve(arriving_bytes).await?;
            let mut reserved = self.memory.lock();
            reserved.arriving = Some(arriving);
            reserved.arriving_bytes = arriving_bytes;
        }
        if is_compressed && self.frame.is_complete() && !was_complete {
            let largest = length.saturating_mul(MAX_GZIP_RATIO).min(max_bytes);
            // The call does not wait for its own bytes.
            let free = settings.max_bytes_in_flight.saturating_sub(arriving_bytes);
            let decompressed = self.memory.reserve(largest.min(free)).await?;
            self.memory.lock().decompressed = Some(decompressed);
        }
        Ok(Some(chunk))
    }
}

/// The prefix of the first message of a body, and the number of its bytes that arrived.
#[derive(Debug, Default)]
struct MessageFrame {
    prefix: [u8; PREFIX_BYTES],
    arrived_bytes: usize,
}

impl MessageFrame {
    /// Takes the next bytes of the body.
    fn advance(&mut self, chunk: &[u8]) {
        let missing = self.prefix.iter_mut().skip(self.arrived_bytes);
        for (free, byte) in missing.zip(chunk) {
            *free = *byte;
        }
        self.arrived_bytes = self.arrived_bytes.saturating_add(chunk.len());
    }

    /// The announced length of the message, in bytes; `None`: its prefix has not arrived.
    fn length(&self) -> Option<usize> {
        if self.arrived_bytes < PREFIX_BYTES {
            return None;
        }
        let [_, length @ ..] = self.prefix;
        Some(usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX))
    }

    fn is_compressed(&self) -> bool {
        let [flag, ..] = self.prefix;
        flag != 0
    }

    fn is_complete(&self) -> bool {
        let arrived = self.arrived_bytes.checked_sub(PREFIX_BYTES);
        let length = self.length();
        arrived
            .zip(length)
            .is_some_and(|(arrived, length)| arrived >= length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_message_is_found_however_the_body_is_split(
            length in 0_usize..60,
            is_compressed: bool,
            pieces in prop::collection::vec(1_usize..20, 1..20),
        ) {
            let mut body = vec![u8::from(is_compressed)];
            body.extend(u32::try_from(length).unwrap().to_be_bytes());
            body.resize(PREFIX_BYTES + length, 7);
            let mut frame = MessageFrame::default();
            let mut arrived = 0;
            for piece in pieces.iter().cycle() {
                let end = (arrived + piece).min(body.len());
                frame.advance(&body[arrived..end]);
                arrived = end;
                let announced = (arrived >= PREFIX_BYTES).then_some(length);
                prop_assert_eq!(frame.length(), announced);
                prop_assert_eq!(frame.is_complete(), arrived == body.len());
                if arrived == body.len() {
                    break;
                }
            }
            prop_assert_eq!(frame.is_compressed(), is_compressed);
        }
    }
}
