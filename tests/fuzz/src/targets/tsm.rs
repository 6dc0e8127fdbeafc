//! The data files of InfluxDB 1 and 2.

use std::fs;

use neap_tsm::{
    BlockDecoder, RowReader, ShardFiles, ShardReader, TimeRange, Tombstones, ValueType, Values,
};
use tempfile::TempDir;

/// A TSM file.
pub(crate) fn file(input: &[u8]) {
    read_shard(&[("000000001-000000001.tsm", input)]);
}

/// The deletes of a TSM file: those before the first damage are read.
pub(crate) fn tombstone(input: &[u8]) {
    let folder = TempDir::new().expect("a folder for temporary files");
    let path = folder.path().join("000000001-000000001.tombstone");
    fs::write(&path, input).expect("a temporary file");
    let mut damage = Vec::new();
    Tombstones::read(&path, &mut damage).expect("few deletes");
    assert!(damage.len() <= 1);
}

/// A segment of the write-ahead log.
pub(crate) fn log(input: &[u8]) {
    read_shard(&[("_00001.wal", input)]);
}

/// A block, without its checksum: as many values as times, or an error.
pub(crate) fn block(input: &[u8]) {
    let mut block = checksum(input).to_be_bytes().to_vec();
    block.extend(input);
    for &value_type in ValueType::ALL {
        let (mut times, mut values) = (Vec::new(), Values::new(value_type));
        let decoded = BlockDecoder::default().decode(&block, &mut times, &mut values);
        assert_eq!(times.len(), values.len());
        assert!(decoded.is_ok() || times.is_empty());
    }
}

/// Reads all rows of the files of a shard.
fn read_shard(files: &[(&str, &[u8])]) {
    let folder = TempDir::new().expect("a folder for temporary files");
    for (name, contents) in files {
        fs::write(folder.path().join(name), contents).expect("a temporary file");
    }
    let files = ShardFiles::list(folder.path(), Some(folder.path())).expect("the folder exists");
    let Ok(mut shard) = ShardReader::open(&files) else {
        return;
    };
    while let Some(series) = shard.next_series() {
        series.parse_key();
        series.time_range();
        let mut rows = RowReader::new(&mut shard, series, TimeRange::ALL);
        while let Some(chunk) = rows.next_chunk() {
            for column in &chunk.columns {
                assert_eq!(column.values.len(), chunk.times.len());
            }
        }
    }
    shard.take_damage();
}

/// Returns the CRC-32 of bytes.
fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}
