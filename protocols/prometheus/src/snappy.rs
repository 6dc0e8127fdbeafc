//! Blocks of snappy, with a limit on their decompressed size.

use crate::DecodeError;

/// Returns the decompressed size of a block, in bytes.
///
/// # Errors
/// The block has no valid size, or it exceeds the limit.
pub fn decompressed_len(block: &[u8], limit: usize) -> Result<usize, DecodeError> {
    let bytes = snap::raw::decompress_len(block)?;
    if bytes > limit {
        Err(DecodeError::TooLarge { bytes, limit })
    } else {
        Ok(bytes)
    }
}

/// Decompresses a block. Memory is allocated only if the decompressed size is within the limit.
///
/// # Errors
/// The bytes are not a block of snappy, or the decompressed size exceeds the limit.
///
/// # Examples
///
/// ```
/// use neap_prometheus::{compress, decompress};
///
/// let block = compress(&[7; 1_000])?;
/// assert_eq!(decompress(&block, 1_000)?, [7; 1_000]);
/// assert!(decompress(&block, 999).is_err());
/// # Ok::<(), neap_prometheus::DecodeError>(())
/// ```
pub fn decompress(block: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut message = vec![0; decompressed_len(block, limit)?];
    let written = snap::raw::Decoder::new().decompress(block, &mut message)?;
    message.truncate(written);
    Ok(message)
}

/// Compresses a message to a block.
///
/// # Errors
/// The message has 4 GiB or more.
pub fn compress(message: &[u8]) -> Result<Vec<u8>, DecodeError> {
    Ok(snap::raw::Encoder::new().compress_vec(message)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_checked_before_memory_is_allocated() {
        let block = compress(&[7; 1_000]).unwrap();
        assert_eq!(decompress(&block, 1_000).unwrap(), [7; 1_000]);
        assert!(matches!(
            decompress(&block, 999),
            Err(DecodeError::TooLarge { bytes: 1_000, limit: 999 })
        ));
        // A header that announces 4 GiB.
        let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert!(matches!(decompress(&bomb, 1 << 20), Err(DecodeError::TooLarge { .. })));
        assert!(
            matches!(decompress(b"", 10), Ok(empty) if empty.is_empty())
                || decompress(b"", 10).is_err()
        );
        assert!(matches!(decompress(b"\x05xyz", 10), Err(DecodeError::Snappy(_))));
    }
}
