//! Receives and sends messages over a connection, within limits of time and memory.

use std::{io, sync::Arc, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use neap_bucket::World;
use neap_http::ByteStream;
use neap_sql_changes::{SqlError, SqlState};
use pgwire::messages::PgWireBackendMessage;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::{
    close_reason::CloseReason,
    frontend::{FrontendMessage, StartupMessage},
};

/// Maximum bytes of a message before a client is authenticated, as in PostgreSQL.
const MAX_STARTUP_BYTES: usize = 10_000;

/// Bytes of answers that are sent at once.
const OUTPUT_BYTES: usize = 64 << 10;

/// Bytes of messages that every connection may hold. Larger messages take memory that all connections share.
const OWN_BYTES: usize = 64 << 10;

/// The unit of the memory that all connections share, in bytes.
const MEMORY_UNIT: usize = 1 << 10;

/// The limits of a connection.
#[derive(Clone, Debug)]
pub(crate) struct WireLimits {
    /// Maximum bytes of a message.
    pub(crate) max_message_bytes: usize,
    /// Maximum time in which a client takes a part of an answer, and in which the rest of a message arrives.
    pub(crate) transfer: Duration,
    /// The memory of large messages, shared by all connections.
    pub(crate) memory: Arc<Semaphore>,
}

impl WireLimits {
    /// Returns the memory of large messages.
    pub(crate) fn memory(bytes: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new((bytes / MEMORY_UNIT).min(Semaphore::MAX_PERMITS)))
    }
}

/// A connection with its buffers.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Box<dyn ByteStream>,
    input: BytesMut,
    output: BytesMut,
    limits: WireLimits,
    world: World,
    /// The memory of the last message, if it is large.
    held: Option<OwnedSemaphorePermit>,
}

impl Wire {
    pub(crate) fn new(stream: Box<dyn ByteStream>, limits: WireLimits, world: World) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            limits,
            world,
            held: None,
        }
    }

    /// Receives the first message, which has no type.
    pub(crate) async fn receive_startup(&mut self) -> Result<StartupMessage, CloseReason> {
        let body = self.receive_frame(0, MAX_STARTUP_BYTES).await?;
        StartupMessage::decode(body).map_err(|_| CloseReason::Malformed)
    }

    /// Receives the password of a client.
    pub(crate) async fn receive_password(&mut self) -> Result<FrontendMessage, CloseReason> {
        self.receive_within(MAX_STARTUP_BYTES).await
    }

    /// Waits until the start of a message has arrived, at most `idle`. Can be cancelled.
    pub(crate) async fn wait_for_message(&mut self, idle: Duration) -> Result<(), CloseReason> {
        let world = self.world.clone();
        let arrived = world.timeout(idle, self.fill(5));
        arrived.await.unwrap_or(Err(CloseReason::Idle))
    }

    /// Receives a message whose start has arrived.
    pub(crate) async fn receive(&mut self) -> Result<FrontendMessage, CloseReason> {
        self.receive_within(self.limits.max_message_bytes).await
    }

    /// Takes the memory of the last message, if it is large.
    pub(crate) fn take_memory(&mut self) -> Option<OwnedSemaphorePermit> {
        self.held.take()
    }

    async fn receive_within(&mut self, max_bytes: usize) -> Result<FrontendMessage, CloseReason> {
        self.held = None;
        let world = self.world.clone();
        let limit = self.limits.transfer;
        let received = async {
            self.fill(5).await?;
            let message_type = self.input.first().copied().unwrap_or_default();
            let body = self.receive_frame(1, max_bytes).await?;
            FrontendMessage::decode(message_type, body).map_err(|_| CloseReason::Malformed)
        };
        world.timeout(limit, received).await.unwrap_or(Err(CloseReason::Stalled))
    }

    /// Receives a message with `prefix` bytes before its length, and returns the bytes after its length.
    async fn receive_frame(
        &mut self,
        prefix: usize,
        max_bytes: usize,
    ) -> Result<Bytes, CloseReason> {
        self.fill(prefix + 4).await?;
        let mut head = self.input.get(prefix..prefix + 4).unwrap_or_default();
        let length = head.try_get_i32().map_err(|_| CloseReason::Malformed)?;
        let length = usize::try_from(length).map_err(|_| CloseReason::Malformed)?;
        if length < 4 {
            return Err(CloseReason::Malformed);
        }
        if length > max_bytes {
            return Err(CloseReason::Memory);
        }
        if length > OWN_BYTES {
            let units = u32::try_from(length.div_ceil(MEMORY_UNIT)).unwrap_or(u32::MAX);
            let memory = Arc::clone(&self.limits.memory).acquire_many_owned(units);
            let memory = self.world.timeout(self.limits.transfer, memory).await;
            self.held = memory.and_then(Result::ok);
            if self.held.is_none() {
                return Err(CloseReason::Memory);
            }
        }
        self.fill(prefix + length).await?;
        let mut frame = self.input.split_to(prefix + length).freeze();
        frame.advance(prefix + 4);
        Ok(frame)
    }

    /// Receives until the buffer has this number of bytes.
    async fn fill(&mut self, length: usize) -> Result<(), CloseReason> {
        while self.input.len() < length {
            let missing = length - self.input.len();
            self.input.reserve(missing.clamp(4 << 10, OUTPUT_BYTES));
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) => return Err(CloseReason::Client),
                Ok(_) => {}
                Err(error) => return Err(broken(&error)),
            }
        }
        Ok(())
    }

    /// Adds a message to the answer.
    pub(crate) fn put(&mut self, message: &PgWireBackendMessage) -> Result<(), CloseReason> {
        let encoded = message.encode(&mut self.output);
        encoded.map_err(|error| CloseReason::Internal(error.to_string()))
    }

    /// Adds a message whose content is encoded in place. Adds nothing if that fails.
    ///
    /// # Errors
    /// The content can't be encoded, or is too long for a message.
    pub(crate) fn put_encoded(
        &mut self,
        message_type: u8,
        encode: impl FnOnce(&mut BytesMut) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        let start = self.output.len();
        self.output.put_u8(message_type);
        self.output.put_i32(0);
        let encoded = encode(&mut self.output).and_then(|()| self.set_length(start + 1));
        if encoded.is_err() {
            self.output.truncate(start);
        }
        encoded
    }

    /// Sets the length of the last message. It includes itself.
    fn set_length(&mut self, place: usize) -> Result<(), SqlError> {
        let Ok(length) = i32::try_from(self.output.len() - place) else {
            let message = format!("a message has at most {} bytes", i32::MAX);
            return Err(SqlError::new(SqlState::LIMIT_EXCEEDED, message));
        };
        self.output[place..place + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Adds one byte, the answer to a request for encryption.
    pub(crate) fn put_byte(&mut self, byte: u8) {
        self.output.extend_from_slice(&[byte]);
    }

    /// Returns whether the answer is to be sent before more is added.
    pub(crate) fn is_large(&self) -> bool {
        self.output.len() >= OUTPUT_BYTES
    }

    /// Sends the answer if it is large.
    pub(crate) async fn flush_if_large(&mut self) -> Result<(), CloseReason> {
        if self.is_large() {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends the answer.
    pub(crate) async fn flush(&mut self) -> Result<(), CloseReason> {
        let (stream, output) = (&mut self.stream, &self.output);
        let sent = async {
            stream.write_all(output).await?;
            stream.flush().await
        };
        let sent = self.world.timeout(self.limits.transfer, sent).await;
        self.output.clear();
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(broken(&error)),
            None => Err(CloseReason::Stalled),
        }
    }

    /// Ends the connection.
    pub(crate) async fn close(&mut self) {
        let world = self.world.clone();
        world.timeout(self.limits.transfer, self.stream.shutdown()).await;
    }

    /// Returns whether the client has sent bytes that were not received as a message.
    pub(crate) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    pub(crate) fn into_stream(self) -> Box<dyn ByteStream> {
        self.stream
    }
}

fn broken(error: &io::Error) -> CloseReason {
    CloseReason::Broken(error.to_string())
}
