//! Floats in the encoding of Facebook's Gorilla: each value is the exclusive or with the one before it, without its
//! leading and trailing zeros. A certain NaN ends the values.

use super::{bits::BitReader, varint::read_u64};
use crate::DecodeError;

const GORILLA: u8 = 1;

/// The bits of Go's `math.NaN()`, which InfluxDB cannot store.
const END: u64 = 0x7ff8_0000_0000_0001;

/// Appends at most `limit` floats to `out`.
///
/// # Errors
///
/// The bytes are invalid, or there are more floats.
pub(crate) fn decode(bytes: &[u8], limit: usize, out: &mut Vec<f64>) -> Result<(), DecodeError> {
    let Some((&head, bytes)) = bytes.split_first() else {
        return Ok(());
    };
    if head >> 4 != GORILLA {
        return Err(DecodeError::UnknownEncoding { encoding: head >> 4, of: "floats" });
    }
    let Some((mut value, bytes)) = read_u64(bytes) else {
        // InfluxDB takes these bytes for an empty block.
        return Ok(());
    };
    if value == END {
        return Ok(());
    }
    let end = out.len().saturating_add(limit);
    let mut reader = BitReader::new(bytes);
    let mut window = Window { significant: 64, trailing: 0 };
    while out.len() < end {
        out.push(f64::from_bits(value));
        let truncated = || DecodeError::Truncated("floats");
        let difference = next_difference(&mut reader, &mut window)?.ok_or_else(truncated)?;
        value ^= difference;
        if value == END {
            return Ok(());
        }
    }
    Err(DecodeError::TooManyValues(limit))
}

/// The bits of a difference that are stored.
struct Window {
    /// Number of stored bits, from 1 to 64.
    significant: u32,
    /// Number of zeros after them.
    trailing: u32,
}

/// Reads the difference to the next value; `None` if the bytes end.
#[inline]
fn next_difference(
    reader: &mut BitReader<'_>,
    window: &mut Window,
) -> Result<Option<u64>, DecodeError> {
    reader.refill();
    match reader.take(1) {
        None => return Ok(None),
        Some(0) => return Ok(Some(0)),
        Some(_) => {}
    }
    match reader.take(1) {
        None => return Ok(None),
        Some(0) => {}
        Some(_) => {
            let Some(widths) = reader.take(11) else {
                return Ok(None);
            };
            *window = Window::new(widths)?;
        }
    }
    let bits = reader.read(window.significant);
    Ok(bits.map(|bits| bits << window.trailing))
}

impl Window {
    /// Decodes 5 bits for the number of leading zeros and 6 bits for the number of stored bits.
    fn new(widths: u64) -> Result<Self, DecodeError> {
        let invalid = || DecodeError::Invalid("width of a float");
        let leading = u32::try_from(widths >> 6).map_err(|_| invalid())?;
        match u32::try_from(widths & 0x3f).map_err(|_| invalid())? {
            // 64 does not fit into 6 bits.
            0 => Ok(Self { significant: 64, trailing: 0 }),
            significant => Ok(Self {
                significant,
                trailing: 64u32.checked_sub(leading + significant).ok_or_else(invalid)?,
            }),
        }
    }
}
