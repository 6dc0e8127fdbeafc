//! Damaged files: everything that can be read is read, and the rest is reported with its place.

use std::fs;

use super::{
    encoder::{Points, gzip, log_entry, log_write, tombstone, tsm_file, write_files},
    shards::read_rows,
};
use crate::TimeRange;

fn sample() -> Vec<u8> {
    let texts = [(1, "one".to_owned()), (7, "seven".to_owned())];
    tsm_file(&[
        (
            "m,a=1#!~#f",
            vec![
                Points::Float(vec![(1, 0.5), (2, 1.5), (4, -3.0)]),
                Points::Float(vec![(7, 1e300)]),
            ],
        ),
        ("m,a=1#!~#i", vec![Points::Integer(vec![(1, 10), (2, 20)])]),
        ("m,a=2#!~#s", vec![Points::String(texts.to_vec())]),
        ("m,a=3#!~#b", vec![Points::Boolean(vec![(3, true)])]),
    ])
}

#[test]
fn a_damaged_block_is_reported_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = sample();
    file[20] ^= 0x40;
    write_files(folder.path(), &[("1-1.tsm", file)]);
    let (rows, damage) = read_rows(folder.path(), TimeRange::ALL);
    assert_eq!(
        rows,
        [
            "m,a=1 1 i=10i",
            "m,a=1 2 i=20i",
            "m,a=1 7 f=1e300",
            "m,a=2 1 s=\"one\"",
            "m,a=2 7 s=\"seven\"",
            "m,a=3 3 b=true",
        ]
    );
    assert_eq!(damage.len(), 1);
    assert!(damage[0].starts_with("1-1.tsm at byte 5: the checksum is "), "{damage:?}");
    assert!(damage[0].ends_with(", values of m,a=1 f are left out"), "{damage:?}");
}

#[test]
fn a_file_that_is_no_tsm_file_is_reported_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    write_files(
        folder.path(),
        &[
            ("1-1.tsm", b"hello".to_vec()),
            ("2-1.tsm", b"0123456789abcdefghi".to_vec()),
            ("3-1.tsm", sample()),
            ("4-1.tsm", sample()[..60].to_vec()),
        ],
    );
    let (rows, damage) = read_rows(folder.path(), TimeRange::ALL);
    assert_eq!(rows.len(), 7);
    assert_eq!(
        damage,
        [
            "1-1.tsm at byte 5: the file ends early",
            "2-1.tsm at byte 0: not a TSM file: it starts with 30313233",
            "4-1.tsm at byte 52: invalid offset of the index",
        ]
    );
}

#[test]
fn any_damaged_byte_of_a_file_causes_no_panic_and_no_other_values() {
    let folder = tempfile::tempdir().unwrap();
    let sample = sample();
    write_files(folder.path(), &[("1-1.tsm", sample.clone())]);
    let (all, _) = read_rows(folder.path(), TimeRange::ALL);
    for at in 0..sample.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = sample.clone();
            damaged[at] ^= flip;
            write_files(folder.path(), &[("1-1.tsm", damaged)]);
            let (rows, damage) = read_rows(folder.path(), TimeRange::ALL);
            let blocks = 5..sample.len() - 8 - index_bytes();
            if blocks.contains(&at) {
                assert_eq!(damage.len(), 1, "byte {at}");
                assert!(rows.len() <= all.len(), "byte {at}");
            }
        }
    }
    for length in 0..sample.len() {
        write_files(folder.path(), &[("1-1.tsm", sample[..length].to_vec())]);
        let (_, damage) = read_rows(folder.path(), TimeRange::ALL);
        assert!(!damage.is_empty(), "{length} bytes");
    }
}

/// Returns the size of the index of the sample.
fn index_bytes() -> usize {
    4 * (2 + 10 + 1 + 2) + 5 * 28
}

#[test]
fn any_damaged_byte_of_a_log_causes_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let write = |time| {
        let texts = vec![(time, format!("text {time}"))];
        let points = [
            ("m#!~#i", Points::Integer(vec![(time, time)])),
            ("m#!~#s", Points::String(texts)),
        ];
        log_entry(1, &log_write(&points))
    };
    let log = [write(1), write(2), write(3)].concat();
    let path = folder.path().join("_00001.wal");
    for at in 0..log.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = log.clone();
            damaged[at] ^= flip;
            fs::write(&path, damaged).unwrap();
            read_rows(folder.path(), TimeRange::ALL);
        }
    }
    // An entry that was not written to its end, as after a power failure.
    fs::write(&path, &log[..log.len() - 3]).unwrap();
    let (rows, damage) = read_rows(folder.path(), TimeRange::ALL);
    assert_eq!(rows, ["m 1 i=1i s=\"text 1\"", "m 2 i=2i s=\"text 2\""]);
    let offset = write(1).len() + write(2).len();
    assert_eq!(
        damage,
        [format!("_00001.wal at byte {offset}: the entry of the log ends early")]
    );
}

#[test]
fn an_invalid_entry_of_a_log_is_reported_and_later_ones_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let write = |time| {
        let points = [("m#!~#i", Points::Integer(vec![(time, time)]))];
        log_entry(1, &log_write(&points))
    };
    let invalid = log_entry(1, b"\x09nonsense");
    let log = [write(1), invalid, write(3)].concat();
    write_files(folder.path(), &[("_00001.wal", log)]);
    let (rows, damage) = read_rows(folder.path(), TimeRange::ALL);
    assert_eq!(rows, ["m 1 i=1i", "m 3 i=3i"]);
    let offset = write(1).len();
    assert_eq!(damage, [format!("_00001.wal at byte {offset}: unknown type 9")]);
}

#[test]
fn the_readable_start_of_tombstones_is_applied() {
    let folder = tempfile::tempdir().unwrap();
    let deletes = tombstone("m,a=2#!~#s", 1, 1);
    let mut tombstones = 0x1504u32.to_be_bytes().to_vec();
    tombstones.extend(gzip(&deletes));
    tombstones.extend(b"garbage");
    write_files(folder.path(), &[("1-1.tsm", sample()), ("1-1.tombstone", tombstones)]);
    let (rows, damage) = read_rows(folder.path(), TimeRange::ALL);
    assert!(!rows.contains(&"m,a=2 1 s=\"one\"".to_owned()), "{rows:?}");
    assert_eq!(damage.len(), 1);
    assert!(damage[0].starts_with("1-1.tombstone at byte "), "{damage:?}");
}

#[test]
fn a_block_with_other_times_than_its_index_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = tsm_file(&[("m#!~#v", vec![Points::Integer(vec![(1, 10), (2, 20)])])]);
    // The last time of the entry, before the offset, the size and the footer.
    let at = file.len() - 8 - 4 - 8 - 1;
    assert_eq!(file[at], 2);
    file[at] = 9;
    write_files(folder.path(), &[("1-1.tsm", file)]);
    let (rows, damage) = read_rows(folder.path(), TimeRange::ALL);
    assert_eq!(rows, [""; 0]);
    assert_eq!(
        damage,
        [
            "1-1.tsm at byte 5: the index names other times than the block has, values of m v are left out"
        ]
    );
}

#[test]
fn a_block_of_an_impossible_size_is_reported_without_reading_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1-1.tsm");
    let file = tsm_file(&[("m#!~#v", vec![Points::Integer(vec![(1, 10)])])]);
    fs::write(&path, file).unwrap();
    let mut file = crate::TsmFile::open(&path).unwrap();
    let entry = crate::IndexEntry { range: TimeRange::ALL, offset: 5, size: u32::MAX };
    let error = file.read_block(&entry).unwrap_err();
    assert_eq!(error.to_string(), "invalid size of a block");
}

#[test]
fn texts_that_are_not_utf_8_are_reported() {
    let replace = |mut file: Vec<u8>| {
        let at = file.windows(3).position(|bytes| bytes == b"one").unwrap();
        file[at] = 0xff;
        file
    };
    let folder = tempfile::tempdir().unwrap();
    let texts = || Points::String(vec![(1, "one".to_owned())]);
    let log = log_write(&[("m#!~#s", texts())]);
    write_files(folder.path(), &[("_00001.wal", log_entry(1, &replace(log)))]);
    let (rows, damage) = read_rows(folder.path(), TimeRange::ALL);
    assert_eq!(rows, ["m 1 s=\"\u{fffd}ne\""]);
    assert_eq!(
        damage,
        ["_00001.wal at byte 0: 1 strings are not UTF-8, their invalid bytes are replaced"]
    );
    let mut strings = crate::Strings::default();
    let mut decoder = crate::encoding::text::TextDecoder::default();
    let block = replace(super::encoder::strings(&["one", "two"]));
    decoder.decode(&block, 10, &mut strings).unwrap();
    assert_eq!((strings.len(), decoder.take_replaced()), (2, 1));
}

#[test]
fn names_and_tags_that_are_not_utf_8_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut body = Vec::new();
    for key in [&b"m,a=\xff#!~#v"[..], b"m,a=x#!~#\xff", b"m,a=x#!~#v"] {
        body.push(2);
        body.extend(u16::try_from(key.len()).unwrap().to_be_bytes());
        body.extend(key);
        body.extend(1u32.to_be_bytes());
        body.extend(1i64.to_be_bytes());
        body.extend(7i64.to_be_bytes());
    }
    write_files(folder.path(), &[("_00001.wal", log_entry(1, &body))]);
    let (rows, damage) = read_rows(folder.path(), TimeRange::ALL);
    assert_eq!(rows, ["m,a=x 1 v=7i"]);
    assert_eq!(damage.len(), 2);
    assert!(damage[0].contains("the names or tags are not UTF-8"), "{damage:?}");
}
