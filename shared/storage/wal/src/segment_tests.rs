//! Tests of the segment format and of damage detection.

use neap_row_delete::Condition;
use proptest::prelude::*;

use super::*;
use crate::test_world::{batch_of_times, batches};

const DATABASE: DatabaseId = DatabaseId::new(3);
const NAME: SegmentName = SegmentName { stamp: Stamp::from_u64(7_000_000 << 12 | 5), nonce: 0xabc };
const KEY: &str = "tail/3/00000000028672000005-0000000000000abc.wal";

fn rows(table: u32, times: &[i64]) -> EncodedRows {
    EncodedRows::encode(TableId::new(table), &batch_of_times(times)).unwrap()
}

fn small() -> Segment {
    let rows = [rows(1, &[1, 2]), rows(2, &[9]), rows(1, &[-4])];
    Segment::encode(DATABASE, NAME, 5, 12, 0, &rows, Vec::new()).unwrap()
}

fn delete(table: u32, host: &str) -> RowDelete {
    let tag = Condition::Tag { name: "host".to_owned(), value: Some(host.to_owned()) };
    RowDelete {
        table: TableId::new(table),
        condition: tag.and(Condition::Time { min: -1, max: 9 }),
    }
}

fn small_deletes() -> Segment {
    let deletes = [delete(1, "a"), delete(2, "b")];
    Segment::encode_deletes(DATABASE, NAME, 5, 12, &deletes, Vec::new()).unwrap()
}

fn small_of_plugins() -> Segment {
    let rows = [rows(1, &[1, 2])];
    Segment::encode(DATABASE, NAME, 5, 12, 2, &rows, Vec::new()).unwrap()
}

#[test]
fn progress_round_trips_with_and_without_rows_and_with_deletes() {
    let progress = vec![ImportProgress {
        job: ulid::Ulid(u128::MAX),
        rows: u64::MAX,
        is_permanent: true,
    }];
    for rows in [vec![], vec![rows(1, &[1, 2])]] {
        let written = Segment::encode(DATABASE, NAME, 5, 12, 0, &rows, progress.clone()).unwrap();
        let parts = rows.iter().map(|rows| rows.size_bytes() + ENTRY_BYTES);
        assert!(written.size_bytes() <= SEGMENT_OVERHEAD_BYTES + parts.sum::<usize>());
        let read = Segment::decode(DATABASE, NAME, written.object().clone()).unwrap();
        assert_eq!(read.progress(), progress);
        assert_eq!(read.directory().len(), rows.len());
    }
    let deletes = [delete(1, "a")];
    let written =
        Segment::encode_deletes(DATABASE, NAME, 5, 12, &deletes, progress.clone()).unwrap();
    let read = Segment::decode(DATABASE, NAME, written.object().clone()).unwrap();
    assert_eq!(read.progress(), progress);
    assert_eq!(read.deletes(), deletes);
}

/// A segment with narrow columns, and others.
fn narrow() -> Segment {
    let large: Vec<i64> = (0..2_000).collect();
    let rows = [rows(1, &[1, 2]), rows(2, &large), rows(1, &[-4])];
    Segment::encode(DATABASE, NAME, 5, 12, 0, &rows, Vec::new()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn segments_round_trip(batches in proptest::collection::vec((0_u32..3, batches()), 1..5)) {
        let rows: Vec<_> = batches
            .iter()
            .map(|(table, batch)| EncodedRows::encode(TableId::new(*table), batch).unwrap())
            .collect();
        let written = Segment::encode(DATABASE, NAME, 5, 12, 0, &rows, Vec::new()).unwrap();
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
    let header = SegmentHeader { directory: Vec::new(), ..header };
    assert_eq!(directory, 3);
    insta::assert_snapshot!(
        serde_json::to_string(&header).unwrap(),
        @r#"{"stamp":28672000005,"nonce":2748,"salt":5,"needs_catalog":12,"directory":[]}"#
    );
    let entry = StreamEntry {
        table: TableId::new(1),
        offset: 2,
        length: 3,
        rows: 4,
        min_time: -5,
        max_time: 6,
        crc32c: 7,
        memory_bytes: 8,
    };
    insta::assert_snapshot!(
        serde_json::to_string(&entry).unwrap(),
        @r#"{"table":1,"offset":2,"length":3,"rows":4,"min_time":-5,"max_time":6,"crc32c":7,"memory_bytes":8}"#
    );
}

#[test]
fn the_largest_header_and_entry_fit_their_bounds() {
    let entry = StreamEntry {
        table: TableId::new(u32::MAX),
        offset: u32::MAX,
        length: u32::MAX,
        rows: u32::MAX,
        min_time: i64::MIN,
        max_time: i64::MIN,
        crc32c: u32::MAX,
        memory_bytes: u64::from(u32::MAX) * 64,
    };
    assert!(serde_json::to_vec(&entry).unwrap().len() < ENTRY_BYTES);
    let header = SegmentHeader {
        progress: vec![ImportProgress {
            job: ulid::Ulid(u128::MAX),
            rows: u64::MAX,
            is_permanent: true,
        }],
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
    let segment = small();
    let tables: Vec<_> = segment.tables().collect();
    let memory_of = |table| {
        let entries = segment.directory().iter().filter(|entry| entry.table == TableId::new(table));
        entries.map(|entry| entry.memory_bytes).sum::<u64>()
    };
    let expected =
        [(1, 3, -4, 2), (2, 1, 9, 9)].map(|(table, rows, min_time, max_time)| TableSummary {
            table: TableId::new(table),
            rows,
            min_time,
            max_time,
            memory_bytes: memory_of(table),
        });
    assert_eq!(tables, expected);
}

#[test]
fn segments_of_deletes_round_trip() {
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
    let header = SegmentHeader { deletes: vec![delete(1, "a")], ..header };
    insta::assert_snapshot!(
        serde_json::to_string(&header).unwrap(),
        @r#"{"stamp":28672000005,"nonce":2748,"salt":5,"needs_catalog":12,"deletes":[{"table":1,"condition":{"all":[{"tag":{"name":"host","value":"a"}},{"time":{"min":-1,"max":9}}]}}],"directory":[]}"#
    );
}

#[test]
fn all_segments_have_version_1_and_no_other() {
    for segment in [small(), small_deletes(), small_of_plugins(), narrow()] {
        assert_eq!(segment.object()[4..8], [1, 0, 0, 0]);
        for (at, other, reason) in [(4, 0, "format version 0"), (6, 1, "reserved bytes")] {
            let mut bytes = segment.object().to_vec();
            bytes[at] = other;
            let error = Segment::decode(DATABASE, NAME, bytes.into()).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
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
    let header = SegmentHeader { directory: Vec::new(), ..header };
    insta::assert_snapshot!(
        serde_json::to_string(&header).unwrap(),
        @r#"{"stamp":28672000005,"nonce":2748,"salt":5,"needs_catalog":12,"depth":2,"directory":[]}"#
    );
}

#[test]
fn a_segment_of_rows_and_deletes_is_damaged() {
    let rows = [rows(1, &[1])];
    let header = SegmentHeader {
        progress: Vec::new(),
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
    let object = FORMAT.encode(put_id(NAME), &payload);
    let error = Segment::decode(DATABASE, NAME, object).unwrap_err();
    assert!(error.to_string().contains("not valid for a segment"), "{error}");
    assert!(Segment::build(DATABASE, header, &rows.each_ref().map(EncodedRows::stream)).is_none());
}

/// Checks that a damaged object is refused with an error that has its key, or is read correctly except for the streams
/// that it reports as damaged. Returns the offsets of these streams, or of all streams if the object is refused.
fn read_damaged(written: &Segment, object: Bytes, damage: &str) -> Vec<u32> {
    let read = match Segment::decode(DATABASE, NAME, object) {
        Ok(read) => read,
        Err(error) => {
            assert!(error.to_string().contains(KEY), "{damage}: {error}");
            return offsets(written.directory());
        }
    };
    let damaged = offsets(read.damaged_streams());
    assert!(!damaged.is_empty(), "{damage} is not noticed");
    assert_eq!(read.directory(), written.directory(), "{damage}");
    assert_eq!(read.needs_catalog(), written.needs_catalog(), "{damage}");
    assert_eq!(read.depth(), written.depth(), "{damage}");
    for table in written.tables().map(|rows| rows.table) {
        let is_damaged = read.damaged_streams().any(|entry| entry.table == table);
        match read.rows(table) {
            Ok(rows) => assert_eq!((rows, is_damaged), (written.rows(table).unwrap(), false)),
            Err(error) => {
                assert!(is_damaged, "{damage}: {error}");
                let text = format!("'{KEY}' is damaged: rows of table {table}: ");
                assert!(error.to_string().starts_with(&text), "{damage}: {error}");
            }
        }
        let rest = read.without_streams(&damaged);
        let expected = written.without_streams(&damaged);
        assert_eq!(rest.rows(table).unwrap(), expected.rows(table).unwrap());
        assert!(!rest.is_damaged());
    }
    damaged
}

fn offsets<'a>(streams: impl IntoIterator<Item = &'a StreamEntry>) -> Vec<u32> {
    streams.into_iter().map(|entry| entry.offset).collect()
}

/// Returns the offset of the first stream in the object.
fn first_stream(segment: &Segment) -> usize {
    segment.size_bytes() - segment.streams.len()
}

#[test]
fn a_flipped_bit_damages_its_stream_or_the_segment_and_never_changes_rows() {
    for segment in [small(), small_deletes(), small_of_plugins(), narrow()] {
        let object = segment.object();
        for bit in 0..object.len() * 8 {
            let mut bytes = object.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let damaged = read_damaged(&segment, bytes.into(), &format!("bit {bit}"));
            let in_streams = (bit / 8).checked_sub(first_stream(&segment));
            let hit = segment.directory().iter().find(|entry| {
                let range = entry.range().unwrap();
                in_streams.is_some_and(|byte| range.contains(&byte))
            });
            let expected = match hit {
                Some(entry) => vec![entry.offset],
                None => offsets(segment.directory()),
            };
            assert_eq!(damaged, expected, "bit {bit}");
        }
    }
}

#[test]
fn a_truncation_damages_the_streams_after_it() {
    for segment in [small(), small_deletes(), small_of_plugins(), narrow()] {
        let object = segment.object();
        for length in 0..object.len() {
            let text = format!("{length} bytes");
            let damaged = read_damaged(&segment, object.slice(..length), &text);
            let cut = |entry: &&StreamEntry| {
                let end = first_stream(&segment) + entry.range().unwrap().end;
                length < first_stream(&segment) || length < end
            };
            let expected = offsets(segment.directory().iter().filter(cut));
            assert_eq!(damaged, expected, "{text}");
        }
        let longer = [object.as_ref(), b"x"].concat();
        Segment::decode(DATABASE, NAME, longer.into()).unwrap_err();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn several_flipped_bits_never_change_rows(
        bits in proptest::collection::vec(any::<proptest::sample::Index>(), 1..20),
    ) {
        let segment = small();
        let mut bytes = segment.object().to_vec();
        for bit in bits {
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        if bytes != *segment.object() {
            read_damaged(&segment, bytes.into(), "several bits");
        }
    }
}

#[test]
fn the_rows_of_a_damaged_stream_are_named_and_the_others_are_read() {
    let segment = small();
    let mut bytes = segment.object().to_vec();
    let third = segment.directory()[2];
    bytes[first_stream(&segment) + third.offset as usize + 100] ^= 4;
    let read = Segment::decode(DATABASE, NAME, Bytes::from(bytes.clone())).unwrap();
    insta::assert_snapshot!(
        read.rows(TableId::new(1)).unwrap_err(),
        @"'tail/3/00000000028672000005-0000000000000abc.wal' is damaged: rows of table 1: their checksum does not match"
    );
    assert_eq!(read.rows(TableId::new(2)).unwrap().len(), 1);
    let lost = TableSummary {
        table: TableId::new(1),
        rows: 1,
        min_time: -4,
        max_time: -4,
        memory_bytes: third.memory_bytes,
    };
    assert_eq!(read.damaged_rows(), [lost]);
    let rest = read.without_streams(&[third.offset]);
    assert_eq!(rest.rows(TableId::new(1)).unwrap(), [batch_of_times(&[1, 2])]);
    assert_eq!(rest.tables().map(|rows| rows.rows).sum::<u64>(), 3);
    // The header is damaged, too, so nothing can be verified.
    bytes[HEADER_BYTES + 10] ^= 1;
    Segment::decode(DATABASE, NAME, bytes.into()).unwrap_err();
}

#[test]
fn claimed_tables_are_read_from_a_damaged_object() {
    let segment = small();
    let tables: Vec<_> = segment.tables().collect();
    let mut bytes = segment.object().to_vec();
    bytes[HEADER_BYTES - 1] ^= 1;
    assert_eq!(Segment::unverified_tables(&bytes.into()), tables);
    for length in [0, 10, HEADER_BYTES + 20] {
        let cut = segment.object().slice(..length);
        assert_eq!(Segment::unverified_tables(&cut), []);
    }
}

#[test]
fn a_segment_under_another_name_is_damaged() {
    let other = SegmentName { nonce: NAME.nonce + 1, ..NAME };
    let error = Segment::decode(DATABASE, other, small().object().clone()).unwrap_err();
    assert!(error.to_string().contains("another name"), "{error}");
}

#[test]
fn a_segment_of_a_newer_version_is_refused() {
    let mut bytes = small().object().to_vec();
    bytes[4] = 2;
    let error = Segment::decode(DATABASE, NAME, bytes.into()).unwrap_err();
    insta::assert_snapshot!(
        error,
        @"'tail/3/00000000028672000005-0000000000000abc.wal' has format version 2; this release reads segment up to version 1"
    );
}

#[test]
fn narrow_columns_are_read_with_the_types_of_the_table() {
    let read = Segment::decode(DATABASE, NAME, narrow().object().clone()).unwrap();
    let rows = read.rows(TableId::new(2)).unwrap();
    assert_eq!(rows, [batch_of_times(&(0..2_000).collect::<Vec<_>>())]);
}

#[test]
fn a_segment_of_another_database_has_the_same_contents() {
    let other = DatabaseId::new(9);
    for segment in [small(), small_deletes(), small_of_plugins(), narrow()] {
        let moved = segment.moved_to(other, 1).unwrap();
        let read = Segment::decode(other, NAME, moved.object().clone()).unwrap();
        assert_eq!((read.database(), read.needs_catalog()), (other, 1));
        assert_eq!(read.directory(), segment.directory());
        assert_eq!(read.deletes(), segment.deletes());
        assert_eq!(read.depth(), segment.depth());
        for table in segment.tables() {
            let [expected, found] = [&segment, &read].map(|one| one.rows(table.table).unwrap());
            assert_eq!(found, expected);
        }
    }
}
