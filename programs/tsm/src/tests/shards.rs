//! Shards of several files.

use std::path::Path;

use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;

use super::encoder::{
    Points, gzip, log_delete_range, log_entry, log_write, tombstone, tsm_file, write_files,
};
use crate::{RowReader, ShardFiles, ShardReader, TimeRange, Values};

/// Reads all rows of a shard as text: series, time, and the values of the fields.
pub(super) fn read_rows(folder: &Path, filter: TimeRange) -> (Vec<String>, Vec<String>) {
    let files = ShardFiles::list(folder, Some(folder)).unwrap();
    let mut shard = ShardReader::open(&files).unwrap();
    let mut lines = Vec::new();
    while let Some(series) = shard.next_series() {
        let key = series.parse_key();
        let mut reader = RowReader::new(&mut shard, series, filter);
        while let Some(chunk) = reader.next_chunk() {
            for (row, time) in chunk.times.iter().enumerate() {
                let mut line = format!("{key} {time}");
                for column in &chunk.columns {
                    if column.present.as_ref().is_some_and(|present| !present[row]) {
                        continue;
                    }
                    let field = &reader.fields()[column.field];
                    line += &format!(" {}={}", field.name, text(&column.values, row));
                }
                lines.push(line);
            }
        }
    }
    let reports = shard.take_damage();
    let damage = reports.iter().map(|damage| {
        let text = damage.to_string();
        text.replace(&format!("{}/", folder.display()), "")
    });
    (lines, damage.collect())
}

fn text(values: &Values, row: usize) -> String {
    match values {
        Values::Float(list) => format!("{:?}", list[row]),
        Values::Integer(list) => format!("{}i", list[row]),
        Values::Unsigned(list) => format!("{}u", list[row]),
        Values::Boolean(list) => list[row].to_string(),
        Values::String(list) => format!("{:?}", list.get(row)),
    }
}

fn shard(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path(), files);
    folder
}

fn rows(files: &[(&str, Vec<u8>)]) -> Vec<String> {
    let folder = shard(files);
    let (rows, damage) = read_rows(folder.path(), TimeRange::ALL);
    assert_eq!(damage, [""; 0]);
    rows
}

fn ints(points: &[(i64, i64)]) -> Vec<Points> {
    vec![Points::Integer(points.to_vec())]
}

#[test]
fn fields_of_a_series_are_joined_on_their_times() {
    let texts = vec![(2, "b".to_owned()), (4, "d".to_owned())];
    let file = tsm_file(&[
        ("m,a=1#!~#f", vec![Points::Float(vec![(1, 0.5), (2, 1.5)])]),
        ("m,a=1#!~#i", ints(&[(1, 10), (2, 20), (3, 30)])),
        ("m,a=1#!~#s", vec![Points::String(texts)]),
        ("m,a=1#!~#b", vec![Points::Boolean(vec![(3, true)])]),
        ("m,a=1#!~#u", vec![Points::Unsigned(vec![(1, u64::MAX)])]),
        ("m,a=1 #!~#i", ints(&[(1, 1)])),
        ("m,a=1!#!~#i", ints(&[(1, 2)])),
        ("m#!~#i", ints(&[(5, 3)])),
    ]);
    assert_eq!(
        rows(&[("000000001-000000001.tsm", file)]),
        [
            "m 5 i=3i",
            "m,a=1  1 i=1i",
            "m,a=1! 1 i=2i",
            "m,a=1 1 f=0.5 i=10i u=18446744073709551615u",
            "m,a=1 2 f=1.5 i=20i s=\"b\"",
            "m,a=1 3 b=true i=30i",
            "m,a=1 4 s=\"d\"",
        ]
    );
}

#[test]
fn later_files_and_the_log_have_newer_values() {
    let old = tsm_file(&[("m#!~#v", ints(&[(1, 10), (2, 20), (3, 30), (9, 90)]))]);
    let new =
        tsm_file(&[("m#!~#v", ints(&[(2, 21), (3, 31), (4, 41)])), ("n#!~#v", ints(&[(1, 1)]))]);
    let first = log_write(&[("m#!~#v", Points::Integer(vec![(5, 52), (3, 32)]))]);
    let second = log_write(&[
        ("m#!~#v", Points::Integer(vec![(3, 33)])),
        ("l#!~#v", Points::Boolean(vec![(8, true), (7, false)])),
    ]);
    assert_eq!(
        rows(&[
            ("000000002-000000001.tsm", new),
            ("000000001-000000009.tsm", old),
            ("_00002.wal", log_entry(1, &second)),
            ("_00001.wal", log_entry(1, &first)),
        ]),
        [
            "l 7 v=false",
            "l 8 v=true",
            "m 1 v=10i",
            "m 2 v=21i",
            "m 3 v=33i",
            "m 4 v=41i",
            "m 5 v=52i",
            "m 9 v=90i",
            "n 1 v=1i",
        ]
    );
}

#[test]
fn a_field_may_have_several_types() {
    let old = tsm_file(&[("m#!~#v", ints(&[(1, 10)]))]);
    let new = tsm_file(&[("m#!~#v", vec![Points::Float(vec![(1, 1.5), (2, 2.5)])])]);
    assert_eq!(rows(&[("1-1.tsm", old), ("2-1.tsm", new)]), ["m 1 v=1.5 v=10i", "m 2 v=2.5"]);
}

#[test]
fn tombstones_of_all_versions_delete_from_their_file_only() {
    let points = ints(&[(1, 1), (2, 2), (3, 3), (4, 4)]);
    let other = ints(&[(3, 33)]);
    let deletes = [tombstone("m#!~#v", 1, 1), tombstone("m#!~#v", 3, 9)];
    let with_header = |header: u32, body: Vec<u8>| [header.to_be_bytes().to_vec(), body].concat();
    let separate = [gzip(&deletes[0]), gzip(&deletes[1])].concat();
    for file in [
        with_header(0x1502, deletes.concat()),
        with_header(0x1503, gzip(&deletes.concat())),
        with_header(0x1504, separate),
    ] {
        assert_eq!(
            rows(&[
                ("1-1.tsm", tsm_file(&[("m#!~#v", points.clone())])),
                ("1-1.tombstone", file),
                ("2-1.tsm", tsm_file(&[("m#!~#v", other.clone())])),
            ]),
            ["m 2 v=2i", "m 3 v=33i"]
        );
    }
    assert_eq!(
        rows(&[
            ("1-1.tsm", tsm_file(&[("m#!~#v", points.clone()), ("n#!~#v", points.clone())])),
            ("1-1.tombstone", b"n#!~#v\n".to_vec()),
        ]),
        ["m 1 v=1i", "m 2 v=2i", "m 3 v=3i", "m 4 v=4i"]
    );
}

#[test]
fn deletes_in_the_log_apply_to_earlier_writes_of_the_log() {
    let write = |points: &[(i64, i64)]| {
        log_entry(1, &log_write(&[("m#!~#v", Points::Integer(points.to_vec()))]))
    };
    let log = [
        write(&[(1, 1), (2, 2), (3, 3)]),
        log_entry(3, &log_delete_range(&["m#!~#v", "x#!~#v"], 2, 3)),
        write(&[(3, 30)]),
    ];
    assert_eq!(rows(&[("_00001.wal", log.concat())]), ["m 1 v=1i", "m 3 v=30i"]);
    let log = [write(&[(1, 1)]), log_entry(2, b"m#!~#v\nx#!~#v"), write(&[(2, 2)])];
    assert_eq!(rows(&[("_00001.wal", log.concat())]), ["m 2 v=2i"]);
}

#[test]
fn only_times_of_the_filter_are_read() {
    let file = tsm_file(&[
        (
            "m#!~#v",
            vec![Points::Integer(vec![(1, 1), (2, 2)]), Points::Integer(vec![(3, 3), (4, 4)])],
        ),
        ("n#!~#v", ints(&[(9, 9)])),
    ]);
    let folder = shard(&[("1-1.tsm", file)]);
    let (rows, damage) = read_rows(folder.path(), TimeRange { min: 2, max: 3 });
    assert_eq!(damage, [""; 0]);
    assert_eq!(rows, ["m 2 v=2i", "m 3 v=3i"]);
}

#[test]
fn a_long_series_has_several_chunks_and_each_row_once() {
    let blocks = |offset: i64| -> Vec<Points> {
        (0..700)
            .map(|block| {
                let points = (0..10).map(|row| (offset + block * 100 + row * 10, row));
                Points::Integer(points.collect())
            })
            .collect()
    };
    let wide = Points::Integer((0..70).map(|index| (index * 1_000, -1)).collect());
    let folder = shard(&[
        ("1-1.tsm", tsm_file(&[("m#!~#a", blocks(0)), ("m#!~#b", blocks(5))])),
        ("2-1.tsm", tsm_file(&[("m#!~#a", vec![wide])])),
    ]);
    let files = ShardFiles::list(folder.path(), None).unwrap();
    let mut shard = ShardReader::open(&files).unwrap();
    let series = shard.next_series().unwrap();
    let mut reader = RowReader::new(&mut shard, series, TimeRange::ALL);
    let (mut times, mut chunks, mut newest) = (Vec::new(), 0, 0);
    while let Some(chunk) = reader.next_chunk() {
        chunks += 1;
        times.extend(chunk.times);
        let Values::Integer(values) = &chunk.columns[0].values else {
            panic!("integers");
        };
        newest += values.iter().filter(|value| **value == -1).count();
    }
    let expected: Vec<i64> = (0..14_000).map(|index| index * 5).collect();
    assert_eq!(times, expected);
    assert_eq!(newest, 70);
    assert!(chunks > 3, "{chunks}");
}

/// Files with integer values at small times, the newest last, and deleted ranges of each.
type Model = Vec<(Vec<Vec<(i64, i64)>>, Vec<(i64, i64)>)>;

fn model() -> impl Strategy<Value = Model> {
    let block = proptest::collection::btree_map(0..40i64, any::<i64>(), 1..8)
        .prop_map(|points| points.into_iter().collect::<Vec<_>>());
    let deletes = vec((0..40i64, 0..10i64), 0..3)
        .prop_map(|list| list.into_iter().map(|(min, width)| (min, min + width)).collect());
    vec((vec(block, 1..4), deletes), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn merged_values_are_those_of_the_newest_file(files in model(), min in -1..40i64, width in 0..41i64) {
        let filter = TimeRange { min, max: min + width };
        let folder = tempfile::tempdir().unwrap();
        let mut expected = std::collections::BTreeMap::new();
        for (index, (blocks, deletes)) in files.iter().enumerate() {
            let points = blocks.iter().cloned().map(Points::Integer).collect();
            let file = tsm_file(&[("m#!~#v", points)]);
            let mut tombstones = 0x1502u32.to_be_bytes().to_vec();
            for (min, max) in deletes {
                tombstones.extend(tombstone("m#!~#v", *min, *max));
            }
            write_files(folder.path(), &[
                (&format!("{index}-1.tsm"), file),
                (&format!("{index}-1.tombstone"), tombstones),
            ]);
            for (time, value) in blocks.iter().flatten() {
                if !deletes.iter().any(|(min, max)| (min..=max).contains(&time)) {
                    expected.insert(*time, *value);
                }
            }
        }
        let (rows, damage) = read_rows(folder.path(), filter);
        prop_assert_eq!(damage, Vec::<String>::new());
        let expected: Vec<String> = expected
            .iter()
            .filter(|(time, _)| filter.contains(**time))
            .map(|(time, value)| format!("m {time} v={value}i"))
            .collect();
        prop_assert_eq!(rows, expected);
    }
}
