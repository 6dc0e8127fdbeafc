//! The messages of Prometheus.

use neap_prometheus::{
    Message, RowKind, WriteVersion, compress, decode_read, decode_write, decompress,
};
use neap_rows::line_protocol::RowSource;

use crate::empty_schema::{EmptySchema, WRITE_OPTIONS};

/// Maximum memory of a message or of its points, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// Each value is a row or counted as refused.
pub(crate) fn write(input: &[u8]) {
    check_snappy(input);
    for version in [WriteVersion::One, WriteVersion::Two] {
        let Ok(write) = decode_write(input, version, MAX_BYTES) else {
            continue;
        };
        assert_eq!(write.rows.len(), write.points.row_count());
        let discarded = write.count(RowKind::Discarded);
        assert!(discarded <= write.refused.count);
        let rows = write.rows.len() - discarded;
        let points = write.points.into_rows().expect("points within the limit");
        let Ok(parsed) = points.validate(&EmptySchema, &WRITE_OPTIONS) else {
            continue;
        };
        assert_eq!(parsed.lines, rows);
        assert!(parsed.rows + parsed.errors.len() <= rows);
    }
}

/// A request within the limits is decoded, and encoded equally.
pub(crate) fn read(input: &[u8]) {
    check_snappy(input);
    let Ok(request) = decode_read(input, 16, 64) else {
        return;
    };
    assert!(request.queries.len() <= 16);
    let again = decode_read(&request.encode_to_vec(), 16, 64).expect("an encoded request");
    // Numbers that are not a number are not equal.
    assert_eq!(format!("{again:?}"), format!("{request:?}"));
}

/// Decompresses the input, and what it becomes when it is compressed.
fn check_snappy(input: &[u8]) {
    if let Ok(message) = decompress(input, MAX_BYTES) {
        assert!(message.len() <= MAX_BYTES);
    }
    let block = compress(input).expect("inputs are small");
    assert_eq!(decompress(&block, input.len()).expect("a block"), input);
}
