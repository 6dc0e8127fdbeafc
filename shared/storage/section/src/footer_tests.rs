use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, RecordBatch, TimestampNanosecondArray,
    types::Int32Type,
};
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    },
    file::{
        metadata::ParquetMetaDataWriter,
        properties::{BloomFilterPosition, EnabledStatistics, WriterProperties},
    },
};

use super::*;
use crate::add_checksums;

/// Rows for two row groups with dictionaries, several pages for each column, and bloom filters at the end.
fn rows() -> RecordBatch {
    let host: DictionaryArray<Int32Type> =
        (0..40).map(|row| ["a", "b", "c"].get(row % 3).copied()).collect();
    let value = Float64Array::from_iter_values((0..40).map(f64::from));
    let time = TimestampNanosecondArray::from_iter_values(0..40);
    RecordBatch::try_from_iter([
        ("host", Arc::new(host) as ArrayRef),
        ("time", Arc::new(time)),
        ("value", Arc::new(value)),
    ])
    .unwrap()
}

/// Returns a file as written by Parquet, and its metadata.
fn plain() -> (Vec<u8>, ParquetMetaData) {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(25))
        .set_data_page_row_count_limit(10)
        .set_write_batch_size(5)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_bloom_filter_enabled(true)
        .set_bloom_filter_max_ndv(8)
        .set_bloom_filter_position(BloomFilterPosition::End)
        .build();
    let rows = rows();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
    writer.write(&rows).unwrap();
    let metadata = writer.finish().unwrap();
    (std::mem::take(writer.inner_mut()), metadata)
}

fn checked() -> Bytes {
    let (file, metadata) = plain();
    add_checksums(file, &metadata).unwrap().into()
}

fn footer_of(section: &Bytes) -> SectionFooter {
    let length = section.len() as u64;
    SectionFooter::decode(section, length, PageIndexPolicy::Optional).unwrap()
}

/// Returns the offset where the last column chunk ends.
fn data_end(footer: &SectionFooter) -> u64 {
    let chunks = chunks_of(footer);
    chunks.iter().map(|chunk| chunk.end).max().unwrap()
}

fn chunks_of(footer: &SectionFooter) -> Vec<Range<u64>> {
    let groups = footer.metadata().row_groups().iter();
    let columns = groups.flat_map(|group| group.columns());
    columns
        .map(|column| {
            let (start, length) = column.byte_range();
            start..start + length
        })
        .collect()
}

fn bloom_filters_of(footer: &SectionFooter) -> Vec<Range<u64>> {
    let groups = footer.metadata().row_groups().iter();
    let columns = groups.flat_map(|group| group.columns());
    columns
        .filter_map(|column| {
            let start = column.bloom_filter_offset()? as u64;
            Some(start..start + column.bloom_filter_length()? as u64)
        })
        .collect()
}

fn cut(section: &Bytes, range: &Range<u64>) -> Bytes {
    let at = |offset: u64| usize::try_from(offset).unwrap();
    section.slice(at(range.start)..at(range.end))
}

#[test]
fn checksums_change_nothing_for_other_readers() {
    let (file, before) = plain();
    let section = checked();
    let footer = footer_of(&section);
    assert_eq!(
        footer.metadata().file_metadata(),
        before.file_metadata(),
        "no key-value metadata, which would be part of the schema of its rows"
    );
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let read = |bytes: Bytes| {
        let builder =
            ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options.clone()).unwrap();
        let filters = (0..2).map(|group| {
            let filter = builder.get_row_group_column_bloom_filter(group, 0).unwrap();
            filter.unwrap().check(&"b")
        });
        let filters: Vec<bool> = filters.collect();
        let rows: Vec<_> = builder.build().unwrap().map(Result::unwrap).collect();
        (filters, rows)
    };
    assert_eq!(read(section.clone()), read(file.clone().into()));
    let pages = |metadata: &ParquetMetaData| metadata.offset_index().cloned();
    assert_eq!(pages(footer.metadata()), pages(&before));
    let columns = |metadata: &ParquetMetaData| metadata.column_index().cloned();
    assert_eq!(columns(footer.metadata()), columns(&before));
}

#[test]
fn pages_chunks_and_bloom_filters_are_parts() {
    let section = checked();
    let footer = footer_of(&section);
    assert_eq!(footer.verify_all(&section), Ok(()));
    for chunk in chunks_of(&footer) {
        assert_eq!(footer.verify(chunk.start, &cut(&section, &chunk)), Ok(()));
    }
    let index = footer.metadata().offset_index().unwrap();
    let pages: Vec<_> = index.iter().flatten().flat_map(|column| column.page_locations()).collect();
    assert!(pages.len() > 6, "{}", pages.len());
    for page in pages {
        let start = page.offset as u64;
        let page = start..start + page.compressed_page_size as u64;
        assert_eq!(footer.verify(start, &cut(&section, &page)), Ok(()));
        let short = page.start..page.end - 1;
        let late = page.start + 1..page.end;
        for part in [short, late] {
            let verified = footer.verify(part.start, &cut(&section, &part));
            let (start, end) = (part.start, part.end);
            assert_eq!(verified, Err(ParquetPartError::Unaligned { start, end }));
        }
    }
    for filter in bloom_filters_of(&footer) {
        assert_eq!(footer.verify(filter.start, &cut(&section, &filter)), Ok(()));
    }
    assert!(footer.verify(0, &section).is_err(), "more than its parts");
}

#[test]
fn any_flipped_bit_of_a_page_or_bloom_filter_is_found_and_names_the_column() {
    let section = checked();
    let footer = footer_of(&section);
    let end = data_end(&footer);
    let bloom_filters = bloom_filters_of(&footer);
    assert_eq!(bloom_filters.len(), 6);
    for at in 4..section.len() {
        for bit in 0..8 {
            let mut damaged = section.to_vec();
            damaged[at] ^= 1 << bit;
            let chunks = chunks_of(&footer);
            let chunk = chunks.iter().position(|chunk| chunk.contains(&(at as u64)));
            let Some(chunk) = chunk else {
                assert!(at as u64 >= end, "a byte between the chunks");
                let is_filter = bloom_filters.iter().any(|one| one.contains(&(at as u64)));
                assert_eq!(footer.verify_all(&damaged).is_err(), is_filter);
                continue;
            };
            let column = ["host", "time", "value"][chunk % 3].to_owned();
            let found = footer.verify_all(&damaged);
            assert_eq!(found, Err(ParquetPartError::Checksum { column: column.clone() }));
            let chunk = &chunks[chunk];
            let damaged = Bytes::from(damaged);
            let found = footer.verify(chunk.start, &cut(&damaged, chunk));
            assert_eq!(found, Err(ParquetPartError::Checksum { column }));
        }
    }
}

#[test]
fn a_section_without_rows_has_no_parts() {
    let rows = rows().slice(0, 0);
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    let metadata = writer.finish().unwrap();
    let file = std::mem::take(writer.inner_mut());
    let section: Bytes = add_checksums(file, &metadata).unwrap().into();
    assert_eq!(footer_of(&section).verify_all(&section), Ok(()));
}

#[test]
fn a_footer_without_its_checksums_is_refused() {
    let section = checked();
    let start = crate::parts::page_index_start(footer_of(&section).metadata()).unwrap();
    let truncated = cut(&section, &(start..section.len() as u64));
    let plain = Bytes::from(plain().0);
    for (footer, length) in [(truncated, section.len()), (plain.clone(), plain.len())] {
        let decoded = SectionFooter::decode(&footer, length as u64, PageIndexPolicy::Skip);
        let error = decoded.unwrap_err().to_string();
        assert!(error.contains("checksums of its pages"), "{error}");
    }
}

#[test]
fn a_footer_with_a_negative_position_is_refused() {
    let rows = rows().project(&[1]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    let written = writer.finish().unwrap();
    for (start, length) in [(-1, 10), (4, -1)] {
        let mut metadata = written.clone().into_builder();
        let mut group = metadata.take_row_groups().remove(0).into_builder();
        let builder = group.take_columns().remove(0).into_builder();
        let column = builder
            .set_dictionary_page_offset(None)
            .set_data_page_offset(start)
            .set_total_compressed_size(length)
            .set_column_index_offset(None)
            .set_column_index_length(None)
            .set_offset_index_offset(None)
            .set_offset_index_length(None);
        let group = group.set_column_metadata(vec![column.build().unwrap()]);
        let metadata = metadata
            .set_row_groups(vec![group.build().unwrap()])
            .set_column_index(None)
            .set_offset_index(None)
            .build();
        let mut end = Vec::new();
        let writer = ParquetMetaDataWriter::new(&mut end, &metadata);
        writer.finish().unwrap();
        let end = Bytes::from(end);
        let decoded = SectionFooter::decode(&end, end.len() as u64, PageIndexPolicy::Optional);
        let error = decoded.unwrap_err().to_string();
        assert!(error.contains("the position of column 'time' is negative"), "{error}");
    }
}
