//! The format of segments, and how damage is told.

use neap_row_delete::Condition;
use proptest::prelude::*;

use super::*;
use crate::test_world::{batch_of_times, batches};

const DATABASE: DatabaseId = DatabaseId::new(3);
const NAME: SegmentName = SegmentName {
    stamp: Stamp::from_u64(7_000_000 << 12 | 5),
    nonce: 0xabc,
};
const KEY: &str = "tail/3/00000000028672000005-0000000000000abc.wal";

fn rows(table: u32, times: &[i64]) -> EncodedRows {
    EncodedRows::encode(TableId::new(table), &batch_of_times(times)).unwrap()
}

fn small() -> Segment {
    let rows = [rows(1, &[1, 2]), rows(2, &[9]), rows(1, &[-4])];
    Segment::encode(DATABASE, NAME, 5, 12, 0, &rows).unwrap()
}

fn delete(table: u32, host: &str) -> RowDelete {
    let tag = Condition::Tag {
        name: "host".to_owned(),
        value: Some(host.to_owned()),
    };
    RowDelete {
        table: TableId::new(table),
        condition: tag.and(Condition::Time { min: -1, max: 9 }),
    }
}

fn small_deletes() -> Segment {
    let deletes = [delete(1, "a"), delete(2, "b")];
    Segment::encode_deletes(DATABASE, NAME, 5, 12, &deletes).unwrap()
}

fn small_of_plugins() -> Segment {
    let rows = [rows(1, &[1, 2])];
    Segment::encode(DATABASE, NAME, 5, 12, 2, &rows).unwrap()
}

proptest! {
    #[test]
    fn what_was_put_is_read(batches in proptest::collection::vec((0_u32..3, batches()), 1..5)) {
        let rows: Vec<_> = batches
            .iter()
            .map(|(table, batch)| EncodedRows::encode(TableId::new(*table), batch).unwrap())
            .collect();
        let written = Segment::encode(DATABASE, NAME, 5, 12, 0, &rows).unwrap();
        prop_assert!(written.size_bytes() <= SEGMENT_OVERHEAD_BYTES
            + rows.iter().map(|rows| rows.size_bytes() + ENTRY_BYTES).sum::<usize>());
        let read = Segment::decode(DATABASE, NAME, written.object().clone()).unwrap();
        prop_assert_eq!(read.directory(), written.directory());
        prop_assert_eq!(read.needs_catalog(), 12);
        for table in (0..3).map(TableId::new) {
            let expected: Vec<_> = batches
                .iter()
                .filter(|(of, _)| TableId::new(*of) == table)
                .map(|(_, batch)| batch.clone())
                .collect();
            prop_assert_eq!(read.rows(table).unwrap(), expected.clone());
            prop_assert_eq!(written.rows(table).unwrap(), expected);
        }
    }
}

#[test]
fn the_header_is_json() {
    let segment = small();
    let (header, _) = split(&segment.object().slice(HEADER_BYTES..)).unwrap();
    let directory = header.directory.len();
    let header = Header {
        directory: Vec::new(),
        ..header
    };
    assert_eq!(directory, 3);
    insta::assert_snapshot!(
        serde_json::to_string(&header).unwrap(),
        @r#"{"stamp":28672000005,"nonce":2748,"salt":5,"needs_catalog":12,"directory":[]}"#
    );
    let entry = Entry {
        table: TableId::new(1),
        offset: 2,
        length: 3,
        rows: 4,
        min_time: -5,
        max_time: 6,
        crc32c: 7,
    };
    insta::assert_snapshot!(
        serde_json::to_string(&entry).unwrap(),
        @r#"{"table":1,"offset":2,"length":3,"rows":4,"min_time":-5,"max_time":6,"crc32c":7}"#
    );
}

#[test]
fn the_largest_header_and_entry_fit_their_bounds() {
    let entry = Entry {
        table: TableId::new(u32::MAX),
        offset: u32::MAX,
        length: u32::MAX,
        rows: u32::MAX,
        min_time: i64::MIN,
        max_time: i64::MIN,
        crc32c: u32::MAX,
    };
    assert!(serde_json::to_vec(&entry).unwrap().len() < ENTRY_BYTES);
    let header = Header {
        stamp: Stamp::from_u64(u64::MAX),
        nonce: u64::MAX,
        salt: u16::MAX,
        needs_catalog: u64::MAX,
        deletes: Vec::new(),
        depth: u8::MAX,
        directory: Vec::new(),
    };
    let header = serde_json::to_vec(&header).unwrap().len();
    assert!(HEADER_BYTES + 4 + header < SEGMENT_OVERHEAD_BYTES);
}

#[test]
fn tables_are_summed_up_over_their_streams() {
    let tables: Vec<_> = small().tables().collect();
    let expected =
        [(1, 3, -4, 2), (2, 1, 9, 9)].map(|(table, rows, min_time, max_time)| TableRows {
            table: TableId::new(table),
            rows,
            min_time,
            max_time,
        });
    assert_eq!(tables, expected);
}

#[test]
fn deletes_that_were_put_are_read() {
    let written = small_deletes();
    let read = Segment::decode(DATABASE, NAME, written.object().clone()).unwrap();
    for segment in [&written, &read] {
        assert_eq!(segment.deletes(), [delete(1, "a"), delete(2, "b")]);
        assert_eq!(segment.needs_catalog(), 12);
        assert_eq!(segment.tables().count(), 0);
        assert_eq!(segment.rows(TableId::new(1)).unwrap(), []);
    }
    let (header, streams) = split(&read.object().slice(HEADER_BYTES..)).unwrap();
    assert!(streams.is_empty());
    let header = Header {
        deletes: vec![delete(1, "a")],
        ..header
    };
    insta::assert_snapshot!(
        serde_json::to_string(&header).unwrap(),
        @r#"{"stamp":28672000005,"nonce":2748,"salt":5,"needs_catalog":12,"deletes":[{"table":1,"condition":{"all":[{"tag":{"name":"host","value":"a"}},{"time":{"min":-1,"max":9}}]}}],"directory":[]}"#
    );
}

#[test]
fn a_release_refuses_only_the_segments_that_hold_what_it_does_not_know() {
    let kinds = [(small(), 1), (small_deletes(), 2), (small_of_plugins(), 3)];
    for (segment, version) in kinds {
        assert_eq!(segment.object()[4..8], [version, 0, 0, 0]);
        for other in (1..=3).filter(|other| *other != version) {
            let mut bytes = segment.object().to_vec();
            bytes[4] = other;
            let error = Segment::decode(DATABASE, NAME, bytes.into()).unwrap_err();
            assert!(error.to_string().contains("its envelope"), "{error}");
        }
    }
}

#[test]
fn the_depth_of_rows_is_read() {
    assert_eq!(small().depth(), 0);
    assert_eq!(small_deletes().depth(), 0);
    let read = Segment::decode(DATABASE, NAME, small_of_plugins().object().clone()).unwrap();
    assert_eq!(read.depth(), 2);
    assert_eq!(read.rows(TableId::new(1)).unwrap().len(), 1);
    let (header, _) = split(&read.object().slice(HEADER_BYTES..)).unwrap();
    let header = Header {
        directory: Vec::new(),
        ..header
    };
    insta::assert_snapshot!(
        serde_json::to_string(&header).unwrap(),
        @r#"{"stamp":28672000005,"nonce":2748,"salt":5,"needs_catalog":12,"depth":2,"directory":[]}"#
    );
}

#[test]
fn a_segment_of_rows_and_deletes_is_damaged() {
    let rows = [rows(1, &[1])];
    let header = Header {
        stamp: NAME.stamp,
        nonce: NAME.nonce,
        salt: 5,
        needs_catalog: 12,
        deletes: vec![delete(1, "a")],
        depth: 0,
        directory: directory(&rows).unwrap(),
    };
    let text = serde_json::to_vec(&header).unwrap();
    let length = u32::try_from(text.len()).unwrap().to_le_bytes();
    let payload = [&length, text.as_slice(), rows[0].stream()].concat();
    for format in [ROWS_FORMAT, DELETES_FORMAT, PLUGIN_ROWS_FORMAT] {
        let object = format.encode(put_id(NAME), &payload);
        let error = Segment::decode(DATABASE, NAME, object).unwrap_err();
        assert!(
            error.to_string().contains("not one of a segment"),
            "{error}"
        );
    }
    assert!(Segment::build(DATABASE, header, &rows).is_none());
}

#[test]
fn every_flipped_bit_is_reported_by_name() {
    for segment in [small(), small_deletes(), small_of_plugins()] {
        let object = segment.object();
        for bit in 0..object.len() * 8 {
            let mut bytes = object.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = Segment::decode(DATABASE, NAME, bytes.into()).unwrap_err();
            assert!(error.to_string().contains(KEY), "bit {bit}: {error}");
        }
    }
}

#[test]
fn every_truncation_is_reported_by_name() {
    for segment in [small(), small_deletes(), small_of_plugins()] {
        let object = segment.object();
        for length in 0..object.len() {
            let error = Segment::decode(DATABASE, NAME, object.slice(..length)).unwrap_err();
            assert!(error.to_string().contains(KEY), "{length} bytes: {error}");
        }
    }
}

#[test]
fn the_damaged_table_is_named() {
    let segment = small();
    let mut bytes = segment.object().to_vec();
    let second = segment.directory()[1];
    let streams = segment.size_bytes() - segment.streams.len();
    bytes[streams + second.offset as usize + 100] ^= 4;
    let error = Segment::decode(DATABASE, NAME, bytes.into()).unwrap_err();
    insta::assert_snapshot!(
        error,
        @"'tail/3/00000000028672000005-0000000000000abc.wal' is damaged: rows of table 2: their checksum does not match"
    );
}

#[test]
fn a_segment_under_another_name_is_damaged() {
    let other = SegmentName {
        nonce: NAME.nonce + 1,
        ..NAME
    };
    let error = Segment::decode(DATABASE, other, small().object().clone()).unwrap_err();
    assert!(error.to_string().contains("another name"), "{error}");
}

#[test]
fn a_newer_segment_is_refused_by_its_number() {
    let mut bytes = small().object().to_vec();
    bytes[4] = 4;
    let error = Segment::decode(DATABASE, NAME, bytes.into()).unwrap_err();
    insta::assert_snapshot!(
        error,
        @"'tail/3/00000000028672000005-0000000000000abc.wal' has format version 4; this release reads segment up to version 3"
    );
}
