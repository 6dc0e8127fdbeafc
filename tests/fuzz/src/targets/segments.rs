//! Segments of the tail.

use arrow_array::RecordBatch;
use bytes::Bytes;
use neap_bucket::{HEADER_BYTES, SegmentName, Stamp};
use neap_schema::DatabaseId;
use neap_wal::{Segment, StreamEntry};

use crate::{
    decoder_panics::catch_decoder_panic, ipc_memory::has_small_buffers, object_bytes::with_checksum,
};

const DATABASE: DatabaseId = DatabaseId::new(1);

/// A segment is decoded or damaged, and its rows are, too.
pub(crate) fn run(input: &[u8]) {
    decode(Bytes::copy_from_slice(input));
    decode(with_checksum(input));
}

fn decode(object: Bytes) {
    Segment::unverified_tables(&object);
    let Ok(segment) = Segment::decode(DATABASE, name_of(&object), object) else {
        return;
    };
    let damaged: Vec<u32> = segment.damaged_streams().map(|entry| entry.offset).collect();
    assert_eq!(segment.is_damaged(), !damaged.is_empty());
    assert!(segment.damaged_rows().len() <= segment.tables().count());
    read_rows(&segment);
    read_rows(&segment.without_streams(&damaged));
    let moved = segment.moved_to(DatabaseId::new(2), 9);
    assert!(moved.is_some() || segment.is_damaged());
    if let Some(moved) = moved {
        let again = Segment::decode(moved.database(), moved.name(), moved.object().clone())
            .expect("an encoded segment");
        assert_eq!(again.directory(), segment.directory());
        assert_eq!(again.deletes(), segment.deletes());
    }
}

fn read_rows(segment: &Segment) {
    let streams = segment.directory().iter();
    if !streams.fold(true, |all, entry| all & is_small(segment, entry)) {
        return;
    }
    for table in segment.tables() {
        let is_wanted = |name: &str| name.len().is_multiple_of(2);
        let some = catch_decoder_panic(|| segment.columns(table.table, &is_wanted));
        let batches = catch_decoder_panic(|| segment.rows(table.table));
        let Some(Ok(batches)) = batches else {
            continue;
        };
        let some = some.and_then(Result::ok).expect("a part of the columns");
        let is_part = |(some, all): (&RecordBatch, &RecordBatch)| {
            let mut fields = some.schema_ref().fields().iter();
            let has = |name: &str| all.column_by_name(name).is_some() && is_wanted(name);
            some.num_rows() == all.num_rows() && fields.all(|field| has(field.name()))
        };
        assert!(some.iter().zip(&batches).all(is_part));
        let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
        assert_eq!(u64::try_from(rows).ok(), Some(table.rows));
    }
}

/// Returns whether the buffers of a stream are small.
fn is_small(segment: &Segment, entry: &StreamEntry) -> bool {
    let object = segment.object();
    let header = object
        .get(HEADER_BYTES..HEADER_BYTES + 4)
        .and_then(|length| length.first_chunk::<4>())
        .map_or(0, |length| u32::from_le_bytes(*length));
    let start = HEADER_BYTES + 4 + header as usize + entry.offset as usize;
    let stream = object.get(start..start + entry.length as usize);
    stream.is_none_or(has_small_buffers)
}

/// Returns the name that the envelope of a segment names.
fn name_of(object: &Bytes) -> SegmentName {
    let put_id = object
        .get(8..24)
        .and_then(|id| id.first_chunk::<16>())
        .map_or(0, |id| u128::from_le_bytes(*id));
    let [nonce, stamp] = [put_id, put_id >> 64].map(|part| part as u64);
    SegmentName { stamp: Stamp::from_u64(stamp), nonce }
}
