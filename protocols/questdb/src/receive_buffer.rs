//! The bytes that a connection has received and not yet written, within limits for each connection and for all.

use std::{io, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use futures::FutureExt;
use neap_bucket::World;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::line_scanner::LineScanner;

/// Bytes of a buffer that every connection may have, outside the limit for all connections.
const BASE_BYTES: usize = 16 << 10;
/// Bytes per permit of the semaphore.
const UNIT_BYTES: usize = 1 << 10;
/// Minimum growth of a buffer, in bytes.
const MIN_GROWTH_BYTES: usize = 64 << 10;
/// Maximum bytes of one read.
const READ_BYTES: usize = 256 << 10;

/// The bytes that all connections together may hold, besides a small buffer for each.
#[derive(Clone, Debug)]
pub(crate) struct BufferMemory {
    units: Arc<Semaphore>,
}

impl BufferMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT_BYTES).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)) }
    }
}

/// The memory of bytes outside the base buffer. Dropping it returns the bytes.
#[derive(Debug)]
pub(crate) struct BufferReservation {
    units: Option<OwnedSemaphorePermit>,
}

impl BufferReservation {
    fn bytes(&self) -> usize {
        let units = self.units.as_ref();
        units.map_or(0, |units| units.num_permits() * UNIT_BYTES)
    }

    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.units {
            Some(units) => units.merge(more),
            None => self.units = Some(more),
        }
    }

    /// Takes all memory but that of the bytes to keep.
    fn split_off(&mut self, kept_bytes: usize) -> Self {
        let kept = kept_bytes.div_ceil(UNIT_BYTES);
        let taken = match &mut self.units {
            Some(units) if units.num_permits() > kept => units.split(units.num_permits() - kept),
            _ => None,
        };
        Self { units: taken }
    }
}

/// Complete lines, and the memory that they take.
#[derive(Debug)]
pub(crate) struct ReceivedLines {
    pub(crate) bytes: Bytes,
    pub(crate) reservation: BufferReservation,
}

/// The bytes of a connection that are not yet written.
#[derive(Debug)]
pub(crate) struct ReceiveBuffer {
    bytes: BytesMut,
    scanner: LineScanner,
    /// The length of the complete lines at the start.
    complete: usize,
    max_bytes: usize,
    reservation: BufferReservation,
    memory: BufferMemory,
}

impl ReceiveBuffer {
    /// Creates an empty buffer for at most `max_bytes`.
    pub(crate) fn new(memory: BufferMemory, max_bytes: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            scanner: LineScanner::new(),
            complete: 0,
            max_bytes: max_bytes.max(BASE_BYTES),
            reservation: BufferReservation { units: None },
            memory,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns whether there are complete lines.
    pub(crate) fn has_lines(&self) -> bool {
        self.complete > 0
    }

    /// Returns the bytes of the incomplete line.
    pub(crate) fn incomplete_bytes(&self) -> usize {
        self.bytes.len() - self.complete
    }

    /// Returns whether no byte can be received before lines are taken.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= self.max_bytes
    }

    /// Removes the first bytes, which are not lines of line protocol.
    pub(crate) fn remove_prefix(&mut self, length: usize) {
        let removed = self.bytes.split_to(length.min(self.bytes.len()));
        drop(removed);
        self.scanner = LineScanner::new();
        self.complete = 0;
    }

    fn room(&self) -> usize {
        let allowed = BASE_BYTES + self.reservation.bytes();
        allowed.min(self.max_bytes).saturating_sub(self.bytes.len())
    }

    fn growth_units(&self) -> u32 {
        let growth = self
            .bytes
            .len()
            .max(MIN_GROWTH_BYTES)
            .min(self.max_bytes.saturating_sub(self.bytes.len()));
        u32::try_from(growth.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
    }

    /// Returns whether there is room, after a reservation of more memory if necessary.
    pub(crate) fn try_grow(&mut self) -> bool {
        if self.room() == 0 && !self.is_full() {
            let units = Arc::clone(&self.memory.units);
            if let Ok(more) = units.try_acquire_many_owned(self.growth_units()) {
                self.reservation.add(more);
            }
        }
        self.room() > 0
    }

    /// Reserves more memory, and waits for it. Returns whether there is room.
    pub(crate) async fn grow(&mut self, patience: Duration, world: &World) -> bool {
        if self.is_full() || self.room() > 0 {
            return self.room() > 0;
        }
        let units = Arc::clone(&self.memory.units);
        let more = units.acquire_many_owned(self.growth_units());
        if let Some(Ok(more)) = world.timeout(patience, more).await {
            self.reservation.add(more);
        }
        self.room() > 0
    }

    /// Reads once. Returns the number of bytes; 0: the client has closed the connection. There must be room. Cancel
    /// safe.
    pub(crate) async fn read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<usize> {
        let room = self.room().min(READ_BYTES);
        self.bytes.reserve(room);
        stream.read_buf(&mut (&mut self.bytes).limit(room)).await
    }

    /// Reads until no more bytes have arrived. Returns whether the client has closed the connection.
    pub(crate) fn read_arrived(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<bool> {
        while self.try_grow() {
            match self.read(stream).now_or_never() {
                None => return Ok(false),
                Some(Ok(0)) => return Ok(true),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Finds the complete lines among the bytes that were read.
    pub(crate) fn find_lines(&mut self) {
        if let Some(end) = self.scanner.last_line_end(&self.bytes) {
            self.complete = end;
        }
    }

    /// Takes the complete lines.
    pub(crate) fn take_lines(&mut self) -> ReceivedLines {
        let length = std::mem::take(&mut self.complete);
        let bytes = self.bytes.split_to(length).freeze();
        self.scanner.remove_prefix(length);
        let kept = self.bytes.len().saturating_sub(BASE_BYTES);
        ReceivedLines { bytes, reservation: self.reservation.split_off(kept) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = b"m v=1\n";

    async fn read_all(buffer: &mut ReceiveBuffer, mut bytes: &[u8]) {
        while !bytes.is_empty() && buffer.try_grow() {
            buffer.read(&mut bytes).await.unwrap();
        }
        buffer.find_lines();
    }

    #[tokio::test]
    async fn lines_are_taken_and_the_rest_is_kept() {
        let mut buffer = ReceiveBuffer::new(BufferMemory::new(0), 1 << 20);
        read_all(&mut buffer, b"m v=1\nm v=2\nm v").await;
        assert!(buffer.has_lines());
        assert_eq!(buffer.take_lines().bytes, "m v=1\nm v=2\n");
        assert!(!buffer.has_lines());
        assert_eq!(buffer.incomplete_bytes(), 3);
        read_all(&mut buffer, b"=3\n").await;
        assert_eq!(buffer.take_lines().bytes, "m v=3\n");
        assert_eq!(buffer.bytes(), b"");
    }

    #[tokio::test]
    async fn memory_is_bounded_for_a_connection_and_for_all() {
        let memory = BufferMemory::new(256 << 10);
        let mut one = ReceiveBuffer::new(memory.clone(), 200 << 10);
        read_all(&mut one, &LINE.repeat(100_000)).await;
        assert!(one.is_full());
        assert_eq!(one.bytes().len(), 200 << 10);
        let mut other = ReceiveBuffer::new(memory.clone(), 200 << 10);
        read_all(&mut other, &LINE.repeat(100_000)).await;
        assert!(!other.is_full() && !other.try_grow());
        let most = 2 * BASE_BYTES + (256 << 10);
        assert!(one.bytes().len() + other.bytes().len() <= most);
        let lines = one.take_lines();
        assert!(!other.try_grow(), "lines being written count");
        drop(lines);
        assert!(other.try_grow());
    }

    #[tokio::test(start_paused = true)]
    async fn a_buffer_waits_for_memory_for_a_limited_time() {
        let (memory, world) = (BufferMemory::new(64 << 10), World::system());
        let mut one = ReceiveBuffer::new(memory.clone(), 1 << 20);
        read_all(&mut one, &[b'x'; 40 << 10]).await;
        let mut other = ReceiveBuffer::new(memory, 1 << 20);
        read_all(&mut other, &[b'x'; 40 << 10]).await;
        assert_eq!(other.bytes().len(), BASE_BYTES);
        let patience = Duration::from_secs(10);
        assert!(!other.grow(patience, &world).await);
        drop(one);
        assert!(other.grow(patience, &world).await);
    }
}
