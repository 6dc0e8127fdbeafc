//! Simple8b: words of 64 bits with up to 240 integers each. The upper 4 bits of a word select the width of its integers.

use crate::DecodeError;

/// Appends the integers of big-endian words to `out`.
///
/// # Errors
///
/// The bytes are no whole words, or `out` would have more than `limit` integers.
pub(crate) fn decode(bytes: &[u8], limit: usize, out: &mut Vec<u64>) -> Result<(), DecodeError> {
    let (words, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(DecodeError::Truncated("packed word"));
    }
    for word in words {
        unpack(u64::from_be_bytes(*word), out);
        if out.len() > limit {
            return Err(DecodeError::TooManyValues(limit));
        }
    }
    Ok(())
}

fn unpack(word: u64, out: &mut Vec<u64>) {
    match word >> 60 {
        0 => out.extend_from_slice(&[1; 240]),
        1 => out.extend_from_slice(&[1; 120]),
        2 => unpack_bits::<60, 1>(word, out),
        3 => unpack_bits::<30, 2>(word, out),
        4 => unpack_bits::<20, 3>(word, out),
        5 => unpack_bits::<15, 4>(word, out),
        6 => unpack_bits::<12, 5>(word, out),
        7 => unpack_bits::<10, 6>(word, out),
        8 => unpack_bits::<8, 7>(word, out),
        9 => unpack_bits::<7, 8>(word, out),
        10 => unpack_bits::<6, 10>(word, out),
        11 => unpack_bits::<5, 12>(word, out),
        12 => unpack_bits::<4, 15>(word, out),
        13 => unpack_bits::<3, 20>(word, out),
        14 => unpack_bits::<2, 30>(word, out),
        _ => unpack_bits::<1, 60>(word, out),
    }
}

fn unpack_bits<const COUNT: usize, const BITS: usize>(word: u64, out: &mut Vec<u64>) {
    let mask = (1u64 << BITS) - 1;
    let mut values = [0; COUNT];
    for (index, value) in values.iter_mut().enumerate() {
        *value = (word >> (index * BITS)) & mask;
    }
    out.extend_from_slice(&values);
}
