//! Fuzz tests: no bytes cause a panic.

use super::{encoder::write_files, shards::read_rows};
use crate::{BlockDecoder, SeriesKey, TimeRange, ValueType, Values, split_key};

#[test]
fn any_bytes_of_a_block_are_values_or_an_error() {
    bolero::check!().with_iterations(20_000).for_each(|body: &[u8]| {
        let mut block = crc32fast::hash(body).to_be_bytes().to_vec();
        block.extend(body);
        for &value_type in ValueType::ALL {
            let (mut times, mut values) = (Vec::new(), Values::new(value_type));
            let decoded = BlockDecoder::default().decode(&block, &mut times, &mut values);
            assert_eq!(times.len(), values.len());
            assert!(decoded.is_ok() || times.is_empty());
        }
    });
}

/// Decodes bytes as the values of a block with three times.
#[test]
fn any_bytes_of_values_are_values_or_an_error() {
    bolero::check!().with_iterations(20_000).with_type::<(u8, Vec<u8>)>().for_each(
        |(number, bytes)| {
            let number = number % 5;
            let times = super::encoder::timestamps(&[1, 2, 3]);
            let mut body = vec![number];
            super::encoder::varint(times.len() as u64, &mut body);
            body.extend(times);
            body.extend(bytes);
            let mut block = crc32fast::hash(&body).to_be_bytes().to_vec();
            block.extend(body);
            let value_type = ValueType::of_block(number).unwrap();
            let (mut times, mut values) = (Vec::new(), Values::new(value_type));
            let decoded = BlockDecoder::default().decode(&block, &mut times, &mut values);
            assert_eq!(times.len(), values.len());
            assert_eq!(decoded.is_ok(), times.len() == 3);
        },
    );
}

#[test]
fn any_bytes_of_files_are_rows_or_damage() {
    let folder = tempfile::tempdir().unwrap();
    bolero::check!()
        .with_iterations(2_000)
        .with_type::<(Vec<u8>, Vec<u8>)>()
        .for_each(|(index, log)| {
            let mut file = vec![0x16, 0xd1, 0x16, 0xd1, 1];
            file.extend(index);
            file.extend(5u64.to_be_bytes());
            let mut tombstone = 0x1502u32.to_be_bytes().to_vec();
            tombstone.extend(log);
            write_files(
                folder.path(),
                &[("1-1.tsm", file), ("1-1.tombstone", tombstone), ("_00001.wal", log.clone())],
            );
            read_rows(folder.path(), TimeRange::ALL);
        });
}

#[test]
fn any_bytes_are_a_series_key() {
    bolero::check!().with_iterations(20_000).for_each(|key: &[u8]| {
        SeriesKey::parse(key);
        split_key(key);
    });
}
