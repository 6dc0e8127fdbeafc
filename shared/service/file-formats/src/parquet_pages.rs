//! The headers of the pages of a Parquet file. They state the sizes that pages have when they are decompressed, so these are
//! known before memory is allocated.

use std::io::{self, Read};

use parquet::file::{metadata::ColumnChunkMetaData, reader::ChunkReader};

use crate::ReadError;

/// Maximum depth of the structures in a header. Those of the format have 3 levels.
const MAX_DEPTH: usize = 8;

/// The sizes of the pages of a column chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChunkPages {
    /// The bytes of all pages when they are decompressed.
    pub(crate) total_bytes: u64,
    /// The bytes of the largest dictionary.
    pub(crate) dictionary_bytes: u64,
    /// The bytes of the largest page of values.
    pub(crate) page_bytes: u64,
    /// The largest average of the bytes of a value in a page.
    pub(crate) value_bytes: u64,
}

/// The part of a page header that is needed here.
#[derive(Debug, Default, PartialEq, Eq)]
struct PageHeader {
    kind: i64,
    decompressed_bytes: i64,
    stored_bytes: i64,
    values: i64,
}

impl ChunkPages {
    /// Reads the headers of all pages of a column chunk.
    pub(crate) fn read<R: ChunkReader>(
        file: &R,
        chunk: &ColumnChunkMetaData,
    ) -> Result<Self, ReadError> {
        let failed = |error| ReadError::Parquet { row: 0, error };
        let (start, length) = chunk.byte_range();
        let end = start.saturating_add(length).min(file.len());
        let mut pages = Self::default();
        let mut position = start;
        while position < end {
            let input = file.get_read(position).map_err(failed)?;
            let mut input = CompactReader { input, consumed: 0 };
            let header = input.page_header()?;
            let stored_bytes = u64::try_from(header.stored_bytes).map_err(|_| malformed())?;
            position = position.saturating_add(input.consumed).saturating_add(stored_bytes);
            pages.add(&header)?;
        }
        Ok(pages)
    }

    fn add(&mut self, header: &PageHeader) -> Result<(), ReadError> {
        const DICTIONARY: i64 = 2;
        let bytes = u64::try_from(header.decompressed_bytes).map_err(|_| malformed())?;
        self.total_bytes = self.total_bytes.saturating_add(bytes);
        if header.kind == DICTIONARY {
            self.dictionary_bytes = self.dictionary_bytes.max(bytes);
            return Ok(());
        }
        self.page_bytes = self.page_bytes.max(bytes);
        let values = u64::try_from(header.values).unwrap_or(0).max(1);
        self.value_bytes = self.value_bytes.max(bytes.div_ceil(values));
        Ok(())
    }
}

fn malformed() -> ReadError {
    let reason = "the header of a page is not valid";
    io::Error::new(io::ErrorKind::InvalidData, reason).into()
}

/// Reads the compact protocol of Thrift.
struct CompactReader<R> {
    input: R,
    /// The number of bytes that are read.
    consumed: u64,
}

/// The types of the protocol.
mod wire_type {
    pub(super) const STOP: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const I16: u8 = 4;
    pub(super) const I32: u8 = 5;
    pub(super) const I64: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const STRUCT: u8 = 12;
}

impl<R: Read> CompactReader<R> {
    fn page_header(&mut self) -> Result<PageHeader, ReadError> {
        let mut header = PageHeader::default();
        let mut field = 0;
        while let Some(kind) = self.field(&mut field)? {
            match (field, kind) {
                (1, wire_type::I32) => header.kind = self.integer()?,
                (2, wire_type::I32) => header.decompressed_bytes = self.integer()?,
                (3, wire_type::I32) => header.stored_bytes = self.integer()?,
                // The headers of pages of values, in both versions.
                (5 | 8, wire_type::STRUCT) => header.values = self.number_of_values()?,
                _ => self.skip(kind, 1)?,
            }
        }
        Ok(header)
    }

    fn number_of_values(&mut self) -> Result<i64, ReadError> {
        let (mut values, mut field) = (0, 0);
        while let Some(kind) = self.field(&mut field)? {
            match (field, kind) {
                (1, wire_type::I32) => values = self.integer()?,
                _ => self.skip(kind, 2)?,
            }
        }
        Ok(values)
    }

    /// Reads the number and the type of the next field; `None` at the end of a structure.
    fn field(&mut self, number: &mut i64) -> Result<Option<u8>, ReadError> {
        let byte = self.byte()?;
        let (step, kind) = (byte >> 4, byte & 0x0f);
        if kind == wire_type::STOP {
            return Ok(None);
        }
        *number = match step {
            0 => self.integer()?,
            step => number.saturating_add(i64::from(step)),
        };
        Ok(Some(kind))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), ReadError> {
        if depth > MAX_DEPTH {
            return Err(malformed());
        }
        match kind {
            wire_type::TRUE | wire_type::FALSE => Ok(()),
            wire_type::BYTE => self.byte().map(drop),
            wire_type::I16 | wire_type::I32 | wire_type::I64 => self.varint().map(drop),
            wire_type::DOUBLE => self.skip_bytes(8),
            wire_type::BINARY => {
                let length = self.varint()?;
                self.skip_bytes(length)
            }
            wire_type::LIST | wire_type::SET => self.skip_list(depth),
            wire_type::STRUCT => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, depth + 1)?;
                }
                Ok(())
            }
            // Page headers have no maps.
            _ => Err(malformed()),
        }
    }

    fn skip_list(&mut self, depth: usize) -> Result<(), ReadError> {
        const LONG: u8 = 15;
        let byte = self.byte()?;
        let length = match byte >> 4 {
            LONG => self.varint()?,
            length => u64::from(length),
        };
        for _ in 0..length {
            match byte & 0x0f {
                // In lists, a Boolean is a byte.
                wire_type::TRUE | wire_type::FALSE => self.byte().map(drop)?,
                kind => self.skip(kind, depth + 1)?,
            }
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, ReadError> {
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        self.consumed += 1;
        let [byte] = byte;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64, ReadError> {
        let mut value = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed())
    }

    /// Reads a signed integer: its sign is the lowest bit.
    fn integer(&mut self) -> Result<i64, ReadError> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn skip_bytes(&mut self, length: u64) -> Result<(), ReadError> {
        let mut skipped = self.input.by_ref().take(length);
        let skipped = io::copy(&mut skipped, &mut io::sink())?;
        self.consumed = self.consumed.saturating_add(skipped);
        if skipped < length {
            return Err(malformed());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(PageHeader, u64), ReadError> {
        let mut input = CompactReader { input: bytes, consumed: 0 };
        let header = input.page_header()?;
        Ok((header, input.consumed))
    }

    #[test]
    fn a_header_states_sizes_and_values() {
        // type 0, 300 bytes, 40 stored, crc 1, { 12 values, encoding, { statistics: binary } }
        let bytes = [
            0x15, 0x00, 0x15, 0xd8, 0x04, 0x15, 0x50, 0x15, 0x02, 0x1c, 0x15, 0x18, 0x15, 0x00,
            0x3c, 0x18, 0x02, 0xaa, 0xbb, 0x00, 0x00, 0x00, 0xff,
        ];
        let (header, consumed) = read(&bytes).unwrap();
        let expected = PageHeader {
            kind: 0,
            decompressed_bytes: 300,
            stored_bytes: 40,
            values: 12,
        };
        assert_eq!((header, consumed), (expected, 22));
    }

    #[test]
    fn headers_that_are_cut_off_or_too_deep_are_errors() {
        assert!(read(&[0x15, 0x00, 0x15]).is_err());
        assert!(read(&[0x1c; 100]).is_err());
        assert!(read(&[0x18, 0x7f, 0x00]).is_err());
    }
}
