//! Tests of the caches of section data, and of the ranges that requests read.

use neap_bucket::{Stamp, World};
use neap_manifest::CondemnedEntry;
use neap_schema::TableId;
use ulid::Ulid;

use super::*;

fn empty_caches(limits: DataCacheLimits) -> SectionData {
    SectionData::new(Bucket::in_memory(World::system()), IoRuntime::of_caller(), limits)
}

#[test]
fn cached_chunks_are_bounded_and_can_be_released() {
    let limits = DataCacheLimits { metadata_bytes: 1 << 20, chunk_bytes: 10 << 10 };
    let data = empty_caches(limits);
    let id = |number: u64| (Key::Manifest(DatabaseId::new(1)), number, number + 1);
    for number in 0..100 {
        let bytes = Bytes::from(vec![0; 1 << 10]);
        data.chunks.insert(id(number), bytes);
    }
    let bytes = data.stats().chunk_bytes;
    assert!(bytes > 5 << 10 && bytes <= limits.chunk_bytes, "{bytes}");
    data.release_chunks();
    // They are not only hidden from readers.
    assert_eq!((data.chunks.entry_count(), data.chunks.weighted_size()), (0, 0));
}

#[test]
fn ranges_with_small_gaps_are_read_with_one_request() {
    let mib = 1 << 20;
    let reads = coalesce(vec![3 * mib..3 * mib + 10, 0..10, 20..30, mib..mib + 5]);
    assert_eq!(reads, vec![0..mib + 5, 3 * mib..3 * mib + 10]);
}

#[test]
fn a_read_is_never_larger_than_the_limit() {
    let reads = coalesce((0..40).map(|at| at << 20..(at + 1) << 20).collect());
    assert_eq!(reads.len(), 3);
    assert!(reads.iter().all(|read| read.end - read.start <= MAX_READ_BYTES));
}

#[test]
fn ranges_are_cut_from_the_block_that_contains_them() {
    let blocks = vec![(0, Bytes::from_static(b"0123")), (10, Bytes::from_static(b"abcdef"))];
    assert_eq!(cut(&blocks, &(1..3)).as_deref(), Some(&b"12"[..]));
    assert_eq!(cut(&blocks, &(12..16)).as_deref(), Some(&b"cdef"[..]));
    assert_eq!(cut(&blocks, &(3..5)), None);
}

const DATABASE: DatabaseId = DatabaseId::new(1);

/// A section of a bundle, 100 bytes long.
fn bundled(object: u128, offset: u64) -> Section {
    Section {
        object: Ulid(object),
        offset,
        in_bundle: true,
        length: 100,
        footer_length: 10,
        table: TableId::new(1),
        upto: Stamp::from_u64(1),
        rows: 1,
        ..Section::default()
    }
}

/// A version of a manifest that has replaced sections.
fn version_of(replaced: &[(&Section, u64)], version: u64) -> VersionedValue<Manifest> {
    let condemned = replaced.iter().map(|(section, version)| CondemnedEntry {
        what: DroppedItem::Section(Arc::new(Section::clone(section))),
        version: *version,
        first_version: None,
        committed: None,
        doomed: false,
    });
    let manifest = Manifest { condemned: condemned.collect(), ..Manifest::default() };
    VersionedValue::absent(None).view(Arc::new(manifest), version)
}

#[test]
fn chunks_of_sections_that_a_newer_manifest_replaces_are_dropped_once() {
    let data = empty_caches(DataCacheLimits { metadata_bytes: 1 << 20, chunk_bytes: 1 << 20 });
    let sections = [bundled(1, 0), bundled(1, 100), bundled(2, 0)];
    let id = |section: &Section| (section.key(DATABASE), section.offset + 20, 50);
    let fill = || {
        for section in &sections {
            data.chunks.insert(id(section), Bytes::from_static(b"chunk"));
        }
    };
    let cached = || {
        let chunks = sections.iter().map(|one| data.chunks.contains_key(&id(one)));
        chunks.collect::<Vec<_>>()
    };
    let [first, second, _] = &sections;
    fill();
    // The caches may have been filled for this version.
    data.evict_replaced(DATABASE, &version_of(&[(second, 7)], 7));
    assert_eq!(cached(), [true, true, true]);
    let next = version_of(&[(second, 7), (first, 8)], 8);
    data.evict_replaced(DATABASE, &next);
    assert_eq!(cached(), [false, true, true]);
    // A query as of an earlier time has read them again.
    fill();
    data.evict_replaced(DATABASE, &version_of(&[(second, 7)], 7));
    data.evict_replaced(DATABASE, &next);
    assert_eq!(cached(), [true, true, true]);
}
