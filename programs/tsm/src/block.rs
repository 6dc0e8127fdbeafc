//! Blocks: up to about 1,000 times and values of one field of one series.
//!
//! ```text
//! checksum (4) | type (1) | length of the times (varint) | times | values
//! ```

use crate::{
    DecodeError, ValueType, Values,
    encoding::{booleans, floats, integers, text::TextDecoder, timestamps, varint::read_varint},
};

/// Maximum number of values of a block. InfluxDB writes 1,000, and joins blocks while it compacts.
pub const MAX_BLOCK_VALUES: usize = 1 << 20;

/// Decodes blocks with reused buffers.
#[derive(Debug, Default)]
pub struct BlockDecoder {
    scratch: Vec<u64>,
    text: TextDecoder,
}

impl BlockDecoder {
    /// Appends the times and values of a block. `values` must have the type of the block. After an error, nothing is
    /// appended.
    ///
    /// # Errors
    ///
    /// The checksum does not match, or the block is invalid.
    pub fn decode(
        &mut self,
        block: &[u8],
        times: &mut Vec<i64>,
        values: &mut Values,
    ) -> Result<(), DecodeError> {
        let (times_before, values_before) = (times.len(), values.len());
        let decoded = self.append(block, times, values);
        if decoded.is_err() {
            times.truncate(times_before);
            values.truncate(values_before);
        }
        decoded
    }

    /// Returns the number of strings whose invalid bytes were replaced since the last call.
    pub fn take_replaced(&mut self) -> u64 {
        self.text.take_replaced()
    }

    fn append(
        &mut self,
        block: &[u8],
        times: &mut Vec<i64>,
        values: &mut Values,
    ) -> Result<(), DecodeError> {
        let truncated = || DecodeError::Truncated("block");
        let (checksum, body) = block.split_first_chunk::<4>().ok_or_else(truncated)?;
        let (stored, computed) = (u32::from_be_bytes(*checksum), crc32fast::hash(body));
        if stored != computed {
            return Err(DecodeError::Checksum { stored, computed });
        }
        let (&found, body) = body.split_first().ok_or_else(truncated)?;
        let expected = values.value_type();
        match ValueType::of_block(found) {
            None => return Err(DecodeError::UnknownType(found)),
            Some(value_type) if value_type != expected => {
                let expected = expected.block_type();
                return Err(DecodeError::OtherType { found, expected });
            }
            Some(_) => {}
        }
        let (length, body) = read_varint(body).ok_or_else(truncated)?;
        let length = usize::try_from(length).map_err(|_| truncated())?;
        let (time_bytes, value_bytes) = body.split_at_checked(length).ok_or_else(truncated)?;
        let (times_before, values_before) = (times.len(), values.len());
        timestamps::decode(time_bytes, MAX_BLOCK_VALUES, times, &mut self.scratch)?;
        let count = times.len() - times_before;
        self.append_values(value_bytes, count, values)?;
        match values.len() - values_before {
            decoded if decoded == count => Ok(()),
            decoded => Err(DecodeError::CountMismatch { times: count, values: decoded }),
        }
    }

    fn append_values(
        &mut self,
        bytes: &[u8],
        count: usize,
        values: &mut Values,
    ) -> Result<(), DecodeError> {
        match values {
            Values::Float(list) => floats::decode(bytes, count, list),
            Values::Integer(list) => integers::decode(bytes, count, list, &mut self.scratch),
            Values::Boolean(list) => booleans::decode(bytes, count, list),
            Values::String(list) => self.text.decode(bytes, count, list),
            Values::Unsigned(list) => {
                integers::decode(bytes, count, &mut UnsignedList(list), &mut self.scratch)
            }
        }
    }
}

/// A list of unsigned integers that takes signed ones with the same bits.
struct UnsignedList<'a>(&'a mut Vec<u64>);

impl Extend<i64> for UnsignedList<'_> {
    fn extend<I: IntoIterator<Item = i64>>(&mut self, values: I) {
        self.0.extend(values.into_iter().map(i64::cast_unsigned));
    }
}
