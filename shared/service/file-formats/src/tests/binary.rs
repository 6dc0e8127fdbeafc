//! Parquet, Arrow and compressed files.

use std::{io::Write as _, sync::Arc};

use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
    builder::{BinaryBuilder, ListBuilder, MapBuilder, StringBuilder},
    types::Int32Type,
};
use arrow_cast::cast;
use arrow_ipc::{
    CompressionType,
    writer::{FileWriter, IpcWriteOptions, StreamWriter},
};
use arrow_schema::{DataType, Field};
use neap_rows::columnar::batch_bytes;
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};

use super::*;
use crate::{MAX_BATCH_ROWS, MAX_COLUMNS, limits::MAX_PART_BYTES};

/// Returns rows with a tag, a field and a time.
fn rows(count: i64) -> RecordBatch {
    let hosts: DictionaryArray<Int32Type> =
        (0..count).map(|row| if row % 2 == 0 { "a" } else { "b" }).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("host", Arc::new(hosts)),
        ("v", Arc::new((0..count).map(|row| Some(row as f64)).collect::<Float64Array>())),
        ("time", Arc::new((0..count).map(Some).collect::<TimestampMicrosecondArray>())),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn parquet_file(batch: &RecordBatch, compression: Compression) -> Vec<u8> {
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn arrow_file(batch: &RecordBatch, compression: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let mut writer =
        FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn arrow_stream(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

/// Options without a format.
fn sniffed() -> ReadOptions {
    ReadOptions {
        mapping: ColumnMapping::for_table("m"),
        ..ReadOptions::default()
    }
}

#[test]
fn parquet_and_arrow_are_recognized_with_all_compressions() {
    let batch = rows(3);
    for file in [
        parquet_file(&batch, Compression::UNCOMPRESSED),
        parquet_file(&batch, Compression::SNAPPY),
        parquet_file(&batch, Compression::LZ4_RAW),
        parquet_file(&batch, Compression::GZIP(Default::default())),
        parquet_file(&batch, Compression::BROTLI(Default::default())),
        parquet_file(&batch, Compression::ZSTD(Default::default())),
        arrow_file(&batch, None),
        arrow_file(&batch, Some(CompressionType::LZ4_FRAME)),
        arrow_file(&batch, Some(CompressionType::ZSTD)),
        arrow_stream(&batch),
    ] {
        let options = ReadOptions { max_decoded_bytes: Some(1 << 20), ..sniffed() };
        let parts = read_parts(file, options).unwrap();
        assert_eq!(show(&parts), "1: m,host=a v=0 0\n2: m,host=b v=1 1000\n3: m,host=a v=2 2000\n");
    }
}

#[test]
fn large_batches_are_split_and_rows_skipped() {
    let batch = rows(20_000);
    for file in [parquet_file(&batch, Compression::SNAPPY), arrow_stream(&batch)] {
        let options = ReadOptions { skip_rows: 10_000, ..sniffed() };
        let parts = read_parts(file, options).unwrap();
        let numbered = parts.iter().map(|part| &part.batches[0]);
        assert!(numbered.clone().all(|batch| batch.batch.num_rows() <= MAX_BATCH_ROWS));
        assert_eq!(numbered.clone().next().unwrap().first_row, 10_001);
        let rows: usize = numbered.map(|batch| batch.batch.num_rows()).sum();
        assert_eq!(rows, 10_000);
    }
}

#[test]
fn files_compressed_as_a_whole_are_decompressed() {
    let csv = b"host,v\na,1\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(csv).unwrap();
    let zstd = zstd::encode_all(&csv[..], 1).unwrap();
    for file in [gzip.finish().unwrap(), zstd] {
        let length = file.len() as u64;
        let input = FileInput::Bytes(file.into());
        let mut reader = FileReader::open(input, options(Format::Csv, "m", &["host"])).unwrap();
        let part = reader.next_part().unwrap().unwrap();
        assert_eq!(show(&[part]), "1: m,host=a v=1i\n");
        assert!(reader.next_part().unwrap().is_none());
        assert_eq!(reader.consumed_bytes(), length);
    }
}

#[test]
fn compressed_files_that_are_cut_off_are_errors() {
    let csv = b"host,v\na,1\n".to_vec();
    for (format, file) in [
        (Format::Csv, csv),
        (Format::JsonLines, b"{\"v\":1}\n{\"v\":2}\n".to_vec()),
        (Format::Arrow, arrow_stream(&rows(2_000))),
    ] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&file).unwrap();
        for whole in [gzip.finish().unwrap(), zstd::encode_all(&file[..], 1).unwrap()] {
            let read = |file: &[u8]| read_parts(file.to_vec(), options(format, "m", &[]));
            assert!(read(&whole).is_ok(), "{format:?}");
            let size = whole.len();
            // Fewer than four bytes do not show that the file is compressed.
            let lengths = (4..size).step_by(size.div_ceil(50)).chain(size - 12..size);
            for length in lengths {
                assert!(read(&whole[..length]).is_err(), "{format:?} {length}");
            }
        }
    }
}

#[test]
fn files_read_from_disk_report_their_progress() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&parquet_file(&rows(20_000), Compression::SNAPPY)).unwrap();
    let length = file.metadata().unwrap().len();
    let mut reader = FileReader::open(FileInput::File(file), sniffed_parquet()).unwrap();
    let mut consumed = Vec::new();
    while reader.next_part().unwrap().is_some() {
        consumed.push(reader.consumed_bytes());
    }
    assert!(consumed.is_sorted() && consumed.len() == 3);
    assert_eq!(consumed.last(), Some(&length));
}

fn sniffed_parquet() -> ReadOptions {
    ReadOptions { format: Some(Format::Parquet), ..sniffed() }
}

#[test]
fn limits_are_checked_before_memory_is_allocated() {
    let text = "x".repeat(1 << 20);
    let texts: ArrayRef = Arc::new(StringArray::from(vec![text.as_str(); 8]));
    let batch = RecordBatch::try_from_iter([("v", texts)]).unwrap();
    let gzip = |contents: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(contents).unwrap();
        gzip.finish().unwrap()
    };
    let plain = arrow_stream(&batch);
    for file in [
        parquet_file(&batch, Compression::UNCOMPRESSED),
        arrow_file(&batch, Some(CompressionType::ZSTD)),
        gzip(&plain),
        gzip(format!("v\n{}\n", text.repeat(3)).as_bytes()),
        plain,
    ] {
        let in_gzip = if file.starts_with(&[0x1f]) && file.len() > 20_000 {
            Format::Arrow
        } else {
            Format::Csv
        };
        let format = Format::sniff(&file).or(Some(in_gzip));
        let options = ReadOptions { format, max_decoded_bytes: Some(2 << 20), ..sniffed() };
        let error = read_parts(file, options).unwrap_err();
        assert!(matches!(error, ReadError::TooLarge { limit } if limit == 2 << 20), "{error}");
    }
}

#[test]
fn sizes_that_a_message_states_are_not_believed() {
    let mut file = arrow_stream(&rows(3));
    let metadata_length = u32::from_le_bytes(*file[4..].first_chunk().unwrap()) as usize;
    // The length of the metadata of the second message.
    let second = 8 + metadata_length + 4;
    file[second..second + 4].copy_from_slice(&i32::MAX.to_le_bytes());
    let options = ReadOptions { max_decoded_bytes: Some(1 << 20), ..sniffed() };
    let error = read_parts(file, options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read Arrow data after row 0: Ipc error: a message is longer than the file"
    );
}

#[test]
fn a_stream_cannot_be_parquet_and_an_unknown_file_needs_a_format() {
    let file = parquet_file(&rows(3), Compression::SNAPPY);
    let input = FileInput::Stream(Box::new(std::io::Cursor::new(file)));
    let error = FileReader::open(input, sniffed()).unwrap_err();
    assert_eq!(error.to_string(), "Parquet cannot be read from a stream: save it as a file");
    let error = read_parts("a,b\n", sniffed()).unwrap_err();
    assert!(matches!(error, ReadError::UnknownFormat));
}

#[test]
fn an_arrow_file_that_is_cut_off_is_refused() {
    let file = arrow_file(&rows(3), None);
    let footer_length = u32::from_le_bytes(*file[file.len() - 10..].first_chunk().unwrap());
    let stream_end = file.len() - 10 - footer_length as usize;
    // At the end of the file, in the footer, after and before the marker of the end of the stream.
    for end in [file.len() - 1, file.len() - 10, stream_end, stream_end - 8] {
        let error = read_parts(file[..end].to_vec(), sniffed()).unwrap_err();
        assert_eq!(error.to_string(), "the Arrow file is cut off after row 3: its end is missing");
    }
}

#[test]
fn buffers_that_share_their_memory_count_once() {
    let file = arrow_stream(&rows(3000));
    let options = ReadOptions { max_decoded_bytes: Some(file.len() as u64 * 2), ..sniffed() };
    assert!(read_parts(file, options).is_ok());
}

/// Returns a file with texts of a MiB, each a page of its own or all the same value of a dictionary.
fn file_of_large_texts(rows: usize, has_dictionary: bool) -> Vec<u8> {
    let text = "x".repeat(1 << 20);
    let texts = StringArray::from_iter_values((0..rows).map(|_| &text));
    let times = Int64Array::from_iter_values(0..i64::try_from(rows).unwrap());
    let batch = RecordBatch::try_from_iter([
        ("note", Arc::new(texts) as ArrayRef),
        ("time", Arc::new(times)),
    ])
    .unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(Default::default()))
        .set_dictionary_enabled(has_dictionary)
        .set_dictionary_page_size_limit(4 << 20)
        .set_write_batch_size(1);
    let mut writer =
        ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn large_texts_are_decoded_in_parts_of_bounded_size() {
    for has_dictionary in [true, false] {
        let file = file_of_large_texts(100, has_dictionary);
        assert!(file.len() < 100_000, "{}", file.len());
        for skip_rows in [0, 37] {
            let options = ReadOptions { skip_rows, ..sniffed_parquet() };
            let mut reader =
                FileReader::open(FileInput::Bytes(file.clone().into()), options).unwrap();
            assert!(reader.memory_bytes() < 20 << 20, "{}", reader.memory_bytes());
            let mut next_row = skip_rows + 1;
            while let Some(part) = reader.next_part().unwrap() {
                let numbered = &part.batches[0];
                assert!(batch_bytes(&numbered.batch) <= MAX_PART_BYTES);
                assert_eq!(numbered.first_row, next_row);
                next_row += numbered.batch.num_rows();
            }
            assert_eq!(next_row, 101);
        }
    }
}

#[test]
fn columns_keep_the_types_that_the_file_states() {
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append_value([Some("a"), None]);
    lists.append_null();
    let texts = || StringArray::from(vec![Some("x"), None]);
    let mut maps = MapBuilder::new(None, StringBuilder::new(), BinaryBuilder::new());
    maps.keys().append_value("k");
    maps.values().append_value(b"v");
    maps.append(true).unwrap();
    maps.append(true).unwrap();
    let inner = Arc::new(Field::new("inner", DataType::Utf8, true));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("text", Arc::new(texts())),
        ("large", cast(&texts(), &DataType::LargeUtf8).unwrap()),
        ("binary", cast(&texts(), &DataType::Binary).unwrap()),
        ("view", cast(&texts(), &DataType::Utf8View).unwrap()),
        ("list", Arc::new(lists.finish())),
        ("map", Arc::new(maps.finish())),
        (
            "struct",
            Arc::new(StructArray::from(vec![(inner, Arc::new(texts()) as ArrayRef)])),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = parquet_file(&batch, Compression::SNAPPY);
    let mut reader = FileReader::open(FileInput::Bytes(file.into()), sniffed_parquet()).unwrap();
    let part = reader.next_part().unwrap().unwrap();
    assert_eq!(part.batches[0].batch.columns(), batch.columns());
}

#[test]
fn large_pages_count_as_memory_before_they_are_decompressed() {
    let text = "x".repeat(1 << 20);
    let texts = StringArray::from_iter_values((0..100).map(|_| &text));
    let batch = RecordBatch::try_from_iter([("note", Arc::new(texts) as ArrayRef)]).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(Default::default()))
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(1 << 30)
        .set_write_batch_size(1_000);
    let mut writer =
        ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    let file = writer.into_inner().unwrap();
    let reader = FileReader::open(FileInput::Bytes(file.into()), sniffed_parquet()).unwrap();
    let pages: u64 = 100 << 20;
    let memory = pages..pages + (20 << 20);
    assert!(memory.contains(&reader.memory_bytes()), "{}", reader.memory_bytes());
}

#[test]
fn files_with_too_many_columns_are_refused() {
    let columns = MAX_COLUMNS + 1;
    let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    let values: Vec<ArrayRef> =
        (0..columns).map(|_| Arc::new(Int64Array::from(vec![1])) as ArrayRef).collect();
    let batch = RecordBatch::try_from_iter(names.iter().zip(values)).unwrap();
    let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":1")).collect();
    let (first, second) = members.split_at(columns / 2);
    let texts = [
        (Format::Csv, format!("{}\n{}\n", names.join(","), "1,".repeat(columns))),
        (Format::Csv, format!("#datatype{}\n", ",long".repeat(columns))),
        (Format::JsonLines, format!("{{{}}}\n", members.join(","))),
        (
            Format::JsonLines,
            format!("{{{}}}\n{{{}}}\n", first.join(","), second.join(",")),
        ),
    ];
    let binary = [
        (Format::Parquet, parquet_file(&batch, Compression::SNAPPY)),
        (Format::Arrow, arrow_stream(&batch)),
    ];
    let texts = texts.map(|(format, text)| (format, text.into_bytes()));
    for (format, file) in texts.into_iter().chain(binary) {
        let options = ReadOptions { format: Some(format), ..sniffed() };
        let error = read_parts(file, options).unwrap_err().to_string();
        assert!(error.ends_with("columns (limit: 10000)"), "{error}");
    }
}
