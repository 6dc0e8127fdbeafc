//! The framing protocol between the server and a plugin host.
//!
//! ```text
//! u32, little endian   length of the rest
//! u8                   kind
//! payload              bytes; or a u32, a header in JSON of that length, and bytes
//! ```

use bytes::{Buf, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The kinds of frames.
pub(super) mod kind {
    // To the host.
    pub(in crate::worker) const SETTINGS: u8 = b'S';
    pub(in crate::worker) const RUN: u8 = b'R';
    pub(in crate::worker) const TABLE: u8 = b'N';
    pub(in crate::worker) const BODY: u8 = b'B';
    pub(in crate::worker) const GO: u8 = b'G';
    pub(in crate::worker) const TAKE_OVER: u8 = b'C';
    pub(in crate::worker) const VALUE: u8 = b'V';
    pub(in crate::worker) const FAILURE: u8 = b'!';

    // Both ways.
    pub(in crate::worker) const ROWS: u8 = b'T';
    pub(in crate::worker) const HAND_OVER: u8 = b'X';
    pub(in crate::worker) const NOTHING: u8 = b'.';

    // From the host.
    pub(in crate::worker) const HELLO: u8 = b'H';
    pub(in crate::worker) const LOG: u8 = b'l';
    pub(in crate::worker) const QUEUED: u8 = b'L';
    pub(in crate::worker) const QUERY: u8 = b'Q';
    pub(in crate::worker) const WRITE: u8 = b'W';
    pub(in crate::worker) const CACHE_PUT: u8 = b'P';
    pub(in crate::worker) const CACHE_GET: u8 = b'G';
    pub(in crate::worker) const CACHE_DELETE: u8 = b'D';
    pub(in crate::worker) const FORKED: u8 = b'F';
    pub(in crate::worker) const DONE: u8 = b'O';
    pub(in crate::worker) const FAILED: u8 = b'E';
}

/// The size of a read in bytes when the length of the next frame is unknown.
const READ_BYTES: usize = 16 << 10;

/// A frame that was received.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) payload: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The peer closed the connection.
    #[error("the connection ended")]
    End,
    /// A frame exceeds the maximum size.
    #[error("a message of {0} bytes is too long")]
    TooLong(usize),
    /// The payload of a frame does not match its kind.
    #[error("a message can't be understood: {0}")]
    Malformed(String),
}

/// Starts a frame at the end of a buffer; [`finish`] sets its length.
pub(super) fn start(out: &mut Vec<u8>, kind: u8) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(kind);
    at
}

/// Ends the frame that starts at `at`.
pub(super) fn finish(out: &mut [u8], at: usize) {
    let length = u32::try_from(out.len().saturating_sub(at + 4)).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

/// Appends a frame of bytes.
pub(super) fn push(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let at = start(out, kind);
    out.extend_from_slice(payload);
    finish(out, at);
}

/// Appends a frame of a header and bytes.
pub(super) fn push_header(out: &mut Vec<u8>, kind: u8, header: &impl Serialize, bytes: &[u8]) {
    let at = start(out, kind);
    write_header(out, header);
    out.extend_from_slice(bytes);
    finish(out, at);
}

/// Appends the length of a header and the header.
pub(super) fn write_header(out: &mut Vec<u8>, header: &impl Serialize) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    // Can't fail: headers are structs of strings and numbers, and a `Vec` accepts all writes.
    let written = serde_json::to_writer(&mut *out, header);
    debug_assert!(written.is_ok());
    finish(out, at);
}

/// Splits a payload into its header and its bytes.
pub(super) fn split<T: DeserializeOwned>(mut payload: Bytes) -> Result<(T, Bytes), FrameError> {
    let cut = || FrameError::Malformed("it is truncated".to_owned());
    let length = payload.try_get_u32_le().map_err(|_| cut())?;
    let length = usize::try_from(length).map_err(|_| cut())?;
    if length > payload.len() {
        return Err(cut());
    }
    let header = payload.split_to(length);
    let header = serde_json::from_slice(&header)
        .map_err(|error| FrameError::Malformed(error.to_string()))?;
    Ok((header, payload))
}

/// Reads frames from a pipe.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    source: R,
    buffer: BytesMut,
    max_bytes: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Creates a reader of frames of at most `max_bytes`.
    pub(super) fn new(source: R, max_bytes: usize) -> Self {
        Self {
            source,
            buffer: BytesMut::with_capacity(READ_BYTES),
            max_bytes,
        }
    }

    /// Returns the next frame. Cancel-safe: no data is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Frame, FrameError> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(frame);
            }
            self.buffer.reserve(READ_BYTES);
            let read = self.source.read_buf(&mut self.buffer).await;
            if !matches!(read, Ok(1..)) {
                return Err(FrameError::End);
            }
        }
    }

    fn take(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(&length) = self.buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > self.max_bytes {
            return Err(FrameError::TooLong(length));
        }
        if self.buffer.len() < 4 + length {
            self.buffer.reserve(4 + length - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(4);
        let mut payload = self.buffer.split_to(length).freeze();
        let kind = payload
            .try_get_u8()
            .map_err(|_| FrameError::Malformed("it is empty".to_owned()))?;
        Ok(Some(Frame { kind, payload }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_round_trip_and_long_frames_are_rejected() {
        let mut out = Vec::new();
        push(&mut out, b'a', b"plain");
        push_header(&mut out, b'b', &("header", 7), b"bytes");
        push(&mut out, b'c', &[0; 40]);
        let mut reader = FrameReader::new(out.as_slice(), 40);
        let first = reader.next().await.unwrap();
        assert_eq!((first.kind, &*first.payload), (b'a', b"plain".as_slice()));
        let second = reader.next().await.unwrap();
        let (header, bytes): ((String, u8), Bytes) = split(second.payload).unwrap();
        assert_eq!((header.0.as_str(), header.1, &*bytes), ("header", 7, b"bytes".as_slice()));
        assert!(matches!(reader.next().await, Err(FrameError::TooLong(41))));
        let mut reader = FrameReader::new(b"\x05\0\0\0abc".as_slice(), 40);
        assert!(matches!(reader.next().await, Err(FrameError::End)));
        assert!(split::<u8>(Bytes::from_static(b"\xff\0\0\0{}")).is_err());
    }
}
