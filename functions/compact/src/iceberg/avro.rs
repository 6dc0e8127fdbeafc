//! Writes Avro object container files, uncompressed. Iceberg lists data files in this format.
//!
//! ```text
//!   file     "Obj" 1, metadata: a map with the schema, sync marker, block, block, ...
//!   block    number of records, length in bytes, the records, sync marker
//! ```
//!
//! The caller writes the values of each record in the order of the fields of the schema.
//!
//! Own code instead of the crate `apache-avro`, which brings about 20 crates to a function of limited size: two fixed schemas
//! are written and none is read (docs/decisions/0033).

/// The first bytes of each file.
const MAGIC: &[u8] = b"Obj\x01";

/// Size from which a block is complete, in bytes.
const BLOCK_BYTES: usize = 64 << 10;

/// Encoded values: a record or a part of it.
#[derive(Debug, Default)]
pub(super) struct AvroValues(Vec<u8>);

impl AvroValues {
    /// Adds an `int` or a `long`.
    pub(super) fn long(&mut self, value: i64) -> &mut Self {
        let mut rest = (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned();
        loop {
            let [low, ..] = rest.to_le_bytes();
            rest >>= 7;
            if rest == 0 {
                self.0.push(low & 0x7f);
                return self;
            }
            // The highest bit says that more bytes follow.
            self.0.push(low | 0x80);
        }
    }

    /// Adds a number or a length. Numbers beyond `i64` do not occur, and are limited.
    pub(super) fn count(&mut self, value: u64) -> &mut Self {
        self.long(i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// Adds `bytes`.
    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.count(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// Adds a `string`.
    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    /// Adds the null of a union whose first type is `null`.
    pub(super) fn null(&mut self) -> &mut Self {
        self.long(0)
    }

    /// Begins a value of the second type of a union whose first type is `null`.
    pub(super) fn some(&mut self) -> &mut Self {
        self.long(1)
    }

    /// Adds an array, or a map, of `length` elements that are encoded in `elements`.
    pub(super) fn array(&mut self, length: usize, elements: &Self) -> &mut Self {
        if length > 0 {
            self.count(length as u64);
            self.0.extend_from_slice(&elements.0);
        }
        self.long(0)
    }
}

/// A file under construction.
#[derive(Debug)]
pub(super) struct AvroFile {
    bytes: Vec<u8>,
    sync: [u8; 16],
    block: AvroValues,
    records: u64,
}

impl AvroFile {
    /// Begins a file with records of a schema. `sync` is a random number that marks the ends of blocks.
    pub(super) fn new(schema: &str, metadata: &[(&str, &str)], sync: u128) -> Self {
        let sync = sync.to_be_bytes();
        let mut entries = AvroValues::default();
        for (key, value) in [("avro.schema", schema), ("avro.codec", "null")] {
            entries.text(key).text(value);
        }
        for (key, value) in metadata {
            entries.text(key).text(value);
        }
        let mut header = AvroValues(MAGIC.to_vec());
        header.array(metadata.len() + 2, &entries);
        header.0.extend_from_slice(&sync);
        Self {
            bytes: header.0,
            sync,
            block: AvroValues::default(),
            records: 0,
        }
    }

    /// Begins the next record. The caller adds its values.
    pub(super) fn record(&mut self) -> &mut AvroValues {
        if self.block.0.len() >= BLOCK_BYTES {
            self.end_block();
        }
        self.records += 1;
        &mut self.block
    }

    fn end_block(&mut self) {
        let block = std::mem::take(&mut self.block);
        let mut header = AvroValues(std::mem::take(&mut self.bytes));
        header.count(self.records).bytes(&block.0);
        self.bytes = header.0;
        self.bytes.extend_from_slice(&self.sync);
        self.records = 0;
    }

    /// Completes the file.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.records > 0 {
            self.end_block();
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_zigzag_encoded_in_groups_of_seven_bits() {
        let bytes = |value| {
            let mut values = AvroValues::default();
            values.long(value);
            values.0
        };
        assert_eq!(bytes(0), [0]);
        assert_eq!(bytes(-1), [1]);
        assert_eq!(bytes(1), [2]);
        assert_eq!(bytes(-64), [0x7f]);
        assert_eq!(bytes(64), [0x80, 1]);
        assert_eq!(bytes(i64::MAX).len(), 10);
        assert_eq!(bytes(i64::MIN), [255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    }

    #[test]
    fn a_file_consists_of_a_header_and_blocks_that_end_with_the_sync_marker() {
        let mut file = AvroFile::new("\"long\"", &[("a", "b")], 7);
        file.record().long(3);
        file.record().long(-2);
        let sync = 7u128.to_be_bytes();
        let header = b"Obj\x01\x06\x16avro.schema\x0c\"long\"\x14avro.codec\x08null\x02a\x02b\x00";
        let expected = [&header[..], &sync, &[4, 4, 6, 3], &sync].concat();
        assert_eq!(file.finish(), expected);
    }

    #[test]
    fn many_records_are_divided_into_blocks() {
        let mut file = AvroFile::new("\"string\"", &[], 7);
        let text = "x".repeat(BLOCK_BYTES);
        for _ in 0..3 {
            file.record().text(&text);
        }
        let bytes = file.finish();
        let sync = 7u128.to_be_bytes();
        let marks = bytes.windows(16).filter(|window| *window == sync);
        assert_eq!(marks.count(), 4);
    }
}
