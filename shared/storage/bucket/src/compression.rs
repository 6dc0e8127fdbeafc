//! Compression of small objects by zstd, with contexts that each thread keeps.
//!
//! Creating a context takes longer than compressing some kilobytes. A thread that compresses keeps about a megabyte, and
//! one that decompresses 0.2. A frame states the size of its content, so its context needs no memory for a larger window.
//!
//! # Examples
//!
//! ```
//! use neap_bucket::compression::{compress, decompress};
//!
//! let content = vec![7; 10_000];
//! let frame = compress(&content)?;
//! assert!(frame.len() < 100);
//! assert_eq!(decompress(&frame)?, content);
//! # Ok::<(), std::io::Error>(())
//! ```

use std::{cell::RefCell, io};

use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::get_frame_content_size,
};

/// The stated size up to which the memory for the content is reserved at once, in bytes.
const MAX_RESERVED: usize = 16 << 20;

thread_local! {
    static COMPRESSOR: RefCell<Compressor<'static>> = RefCell::default();
    static DECOMPRESSOR: RefCell<Decompressor<'static>> = RefCell::default();
}

/// Compresses bytes into one frame.
pub fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|context| context.compress(bytes))
}

/// Returns the content of one or several frames of [`compress`].
///
/// # Errors
///
/// If the bytes are not whole frames.
pub fn decompress(frames: &[u8]) -> io::Result<Vec<u8>> {
    let stated = get_frame_content_size(frames)
        .ok()
        .flatten()
        .and_then(|size| usize::try_from(size).ok());
    if let Some(size @ ..=MAX_RESERVED) = stated {
        let content = DECOMPRESSOR.with_borrow_mut(|context| context.decompress(frames, size));
        if content.is_ok() {
            return content;
        }
    }
    zstd::decode_all(frames)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn content_round_trips(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3_000), 1..4)) {
            for content in contents {
                prop_assert_eq!(decompress(&compress(&content).unwrap()).unwrap(), content);
            }
        }

        #[test]
        fn any_bytes_are_content_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200), flipped in 0..400_usize) {
            let _ = decompress(&bytes);
            let mut frame = compress(&bytes).unwrap();
            let index = flipped % frame.len();
            frame[index] ^= 1;
            let _ = decompress(&frame);
        }
    }

    #[test]
    fn several_frames_are_read() {
        let mut both = compress(b"first, ").unwrap();
        both.extend(compress(b"second").unwrap());
        assert_eq!(decompress(&both).unwrap(), b"first, second");
    }

    #[test]
    fn a_truncated_frame_is_an_error_and_the_next_one_is_read() {
        let frame = compress(&[7; 10_000]).unwrap();
        decompress(&frame[..frame.len() - 1]).unwrap_err();
        assert_eq!(decompress(&frame).unwrap(), [7; 10_000]);
    }
}
