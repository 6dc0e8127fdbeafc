//! Fuzz tests: no bytes cause a panic, and each value is either a row or counted as refused.

use super::*;

fn check(message: &[u8]) {
    for version in [WriteVersion::One, WriteVersion::Two] {
        let Ok(write) = decode_write(message, version, LIMIT) else {
            continue;
        };
        assert_eq!(write.rows.len(), write.points.row_count());
        let discarded = write.count(RowKind::Discarded);
        assert!(discarded <= write.refused.count);
        let rows = write.rows.len() - discarded;
        let parsed = validate(write.points);
        assert_eq!(parsed.lines, rows);
        assert_eq!(parsed.rows + parsed.errors.len(), rows);
    }
}

#[test]
fn any_bytes_are_stored_or_reported() {
    bolero::check!().with_iterations(20_000).for_each(check);
}

/// Builds messages of pieces of valid ones.
#[test]
fn any_sequence_of_fields_is_stored_or_reported() {
    const PIECES: [&[u8]; 16] = [
        b"\x0a\x0d\x08__name__\x12\x01m",
        b"\x0a\x06\x0a\x01a\x12\x01b",
        b"\x0a\x05\x0a\x01a\x12",
        b"\x12\x0b\x09\0\0\0\0\0\0\xf0\x3f\x10\x01",
        b"\x12\x09\x09\0\0\0\0\0\0\xf8\x7f",
        b"\x12\x00",
        b"\x22\x04\x08\x03\x78\x05",
        b"\x22\x08__name__",
        b"\x22\x01m",
        b"\x22\x00",
        b"\x0a\x02\x00\x01",
        b"\x08\x01",
        b"\x1a\x00",
        b"\x2a\x02\x08\x01",
        b"\xff",
        b"\x0a\x0e\x0a\x08__name__\x12\x02up",
    ];
    bolero::check!().with_iterations(20_000).for_each(|choices: &[u8]| {
        let mut message = Vec::new();
        for series in choices.chunks(6) {
            let pieces = series.iter();
            let fields: Vec<u8> = pieces
                .flat_map(|choice| PIECES[usize::from(*choice) % PIECES.len()])
                .copied()
                .collect();
            let tag = if series[0] < 128 { 0x0a } else { 0x2a };
            message.push(tag);
            message.push(u8::try_from(fields.len().min(127)).unwrap());
            message.extend(fields);
        }
        check(&message);
    });
}
