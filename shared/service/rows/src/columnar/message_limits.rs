//! Limits on the messages of Arrow's IPC format, checked before a message is decoded.
//!
//! A message states how large its buffers are when they are decompressed. The decoder of Arrow allocates what a message
//! states, and an LZ4 buffer may expand beyond it, so that a message of a few bytes could take all memory.

use std::io::{self, Read};

use arrow_ipc::{CompressionType, RecordBatch};
use lz4_flex::frame::FrameDecoder;

/// Maximum number of rows of a message.
pub const MAX_MESSAGE_ROWS: i64 = 4 << 20;

/// The bytes in front of a compressed buffer that hold its decompressed size.
const SIZE_BYTES: usize = 8;

/// The reason why a message is not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageLimitError {
    /// The message has too many rows.
    #[error("a record batch has {0} rows, more than {MAX_MESSAGE_ROWS}: send smaller batches")]
    Rows(i64),
    /// The buffers are too large when they are decompressed.
    #[error("record batches take more than {0} bytes: send smaller batches")]
    Bytes(usize),
    /// A buffer is outside of the message, or its size is wrong.
    #[error("malformed Arrow message: a buffer has a wrong size")]
    Malformed,
}

/// Returns the memory of the decompressed buffers of a record batch, in bytes.
///
/// # Errors
/// The batch has more than [`MAX_MESSAGE_ROWS`] rows, its buffers take more than `max_bytes`, or it is malformed.
pub fn decompressed_bytes(
    batch: &RecordBatch<'_>,
    body: &[u8],
    max_bytes: usize,
) -> Result<usize, MessageLimitError> {
    let rows = batch.length();
    if !(0..=MAX_MESSAGE_ROWS).contains(&rows) {
        return Err(MessageLimitError::Rows(rows));
    }
    let codec = batch.compression().map(|compression| compression.codec());
    let mut total: usize = 0;
    for buffer in batch.buffers().into_iter().flatten() {
        let bytes =
            range(buffer.offset(), buffer.length(), body).ok_or(MessageLimitError::Malformed)?;
        let size = match (codec, bytes.split_first_chunk::<SIZE_BYTES>()) {
            (Some(codec), Some((size, compressed))) => {
                stated_size(i64::from_le_bytes(*size), codec, compressed, max_bytes)?
            }
            _ => bytes.len(),
        };
        total = total.saturating_add(size);
        if total > max_bytes {
            return Err(MessageLimitError::Bytes(max_bytes));
        }
    }
    Ok(total)
}

fn range(offset: i64, length: i64, body: &[u8]) -> Option<&[u8]> {
    let offset = usize::try_from(offset).ok()?;
    let length = usize::try_from(length).ok()?;
    body.get(offset..offset.checked_add(length)?)
}

/// Returns the decompressed size of a buffer.
fn stated_size(
    stated: i64,
    codec: CompressionType,
    compressed: &[u8],
    max_bytes: usize,
) -> Result<usize, MessageLimitError> {
    // -1: the buffer is not compressed.
    if stated == -1 {
        return Ok(compressed.len());
    }
    let size = usize::try_from(stated).map_err(|_| MessageLimitError::Malformed)?;
    if size > max_bytes {
        return Err(MessageLimitError::Bytes(max_bytes));
    }
    // The decoder of zstd stops at the stated size.
    if codec != CompressionType::LZ4_FRAME {
        return Ok(size);
    }
    let limit = u64::try_from(size).unwrap_or(u64::MAX).saturating_add(1);
    let mut decoder = FrameDecoder::new(compressed).take(limit);
    match io::copy(&mut decoder, &mut io::sink()) {
        Ok(found) if found < limit => Ok(size),
        _ => Err(MessageLimitError::Malformed),
    }
}
