//! Compares the rows of a merge with a single deduplication of all rows, for sections, deletes and batches of every
//! kind.

use std::{collections::VecDeque, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, RecordBatch, StringArray,
    TimestampNanosecondArray, cast::AsArray, types::Int32Type,
};
use arrow_schema::{DataType, Schema, SchemaRef};
use arrow_select::{concat::concat_batches, filter::filter_record_batch};
use bytes::Bytes;
use neap_points::{deduplicate, deduplicate_with, times};
use neap_row_delete::Condition;
use neap_schema::{ColumnType, OnDuplicate};
use neap_test_inputs::cases;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    file::{metadata::ParquetMetaDataReader, properties::WriterProperties},
};
use proptest::prelude::*;

use super::test_bed::without_empty_fields;
use crate::{
    SectionProfile, SectionWriter,
    merge::{
        MergeError,
        blocks::{BlockMerge, RowBlock},
        input::{InputRowFilter, MergeInput, ReadWindow, windows},
    },
};

/// Tags (`zone` was added later), time, and two fields (`b` was added later).
pub(super) type TestPoint = ([Option<u8>; 2], i64, [Option<i8>; 2]);

fn tags() -> Vec<String> {
    vec!["zone".to_owned(), "host".to_owned()]
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        ColumnType::Float.arrow_field("a"),
        ColumnType::String.arrow_field("b"),
        ColumnType::Tag.arrow_field("host"),
        ColumnType::Time.arrow_field("time"),
        ColumnType::Tag.arrow_field("zone"),
    ]))
}

pub(super) fn batch(rows: &[TestPoint]) -> RecordBatch {
    let tag = |at: usize| {
        let values: Vec<_> =
            rows.iter().map(|row| row.0[at].map(|tag| format!("t{tag}"))).collect();
        let column: DictionaryArray<Int32Type> =
            values.iter().map(|value| value.as_deref()).collect();
        Arc::new(column) as ArrayRef
    };
    let a: Float64Array = rows.iter().map(|row| row.2[0].map(f64::from)).collect();
    let b: StringArray = rows.iter().map(|row| row.2[1].map(|value| format!("s{value}"))).collect();
    let time = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.1));
    let columns = vec![Arc::new(a) as ArrayRef, Arc::new(b), tag(1), Arc::new(time), tag(0)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// Returns the rows of a section: deduplicated, without columns that have no value. A tag without a value may not have
/// existed yet.
fn section_rows(rows: &[TestPoint]) -> RecordBatch {
    let folded = deduplicate(&tags(), &schema(), vec![batch(rows)]).unwrap();
    without_empty_fields(&["host".to_owned()], &folded)
}

/// Encodes rows as a file with many small row groups and pages.
fn file(rows: &RecordBatch, group_rows: usize) -> Bytes {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group_rows))
        .set_data_page_row_count_limit(2)
        .set_write_batch_size(2)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    Bytes::from(writer.into_inner().unwrap())
}

struct OpenedInput {
    input: MergeInput,
    bytes: Bytes,
    windows: VecDeque<ReadWindow>,
}

fn open(
    rows: &RecordBatch,
    filter: InputRowFilter,
    batch_rows: usize,
    window_bytes: u64,
) -> OpenedInput {
    let bytes = file(rows, 3);
    let metadata = Arc::new(ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap());
    let windows = windows(&metadata, window_bytes);
    let input =
        MergeInput::new("x".to_owned(), tags().into(), metadata, batch_rows, filter).unwrap();
    OpenedInput { input, bytes, windows }
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

fn blocks(
    opened: Vec<OpenedInput>,
    on_duplicate: OnDuplicate,
) -> Result<Vec<RecordBatch>, MergeError> {
    let mut inputs = Vec::new();
    let mut files = Vec::new();
    for one in opened {
        inputs.push(one.input);
        files.push((one.bytes, one.windows));
    }
    let mut merge = BlockMerge::new(tags(), schema(), on_duplicate, inputs);
    let mut blocks = Vec::new();
    loop {
        match merge.next()? {
            RowBlock::End => return Ok(blocks),
            RowBlock::Rows(rows) => blocks.push(rows),
            RowBlock::Needs(needs) => {
                for input in needs {
                    let (bytes, windows) = &mut files[input];
                    let window = windows.pop_front().unwrap();
                    let parts = window
                        .ranges
                        .iter()
                        .map(|range| bytes.slice(at(range.start)..at(range.end)))
                        .collect();
                    merge.input_mut(input).unwrap().push(window, parts)?;
                }
            }
        }
    }
}

/// Returns the rows as text, independent of dictionaries.
pub(super) fn text(rows: &RecordBatch) -> Vec<String> {
    let columns: Vec<ArrayRef> = rows.columns().iter().map(plain).collect();
    let value = |column: &ArrayRef, row: usize| {
        if column.is_valid(row) {
            format!("{:?}", column.slice(row, 1))
        } else {
            "-".to_owned()
        }
    };
    let line = |row| columns.iter().map(|column| value(column, row)).collect::<String>();
    (0..rows.num_rows()).map(line).collect()
}

fn plain(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Dictionary(..) => {
            let column = column.as_dictionary::<Int32Type>();
            let values = column.downcast_dict::<StringArray>().unwrap();
            Arc::new(values.into_iter().collect::<StringArray>())
        }
        _ => Arc::clone(column),
    }
}

/// Applies a filter row by row.
fn kept(rows: &RecordBatch, filter: &TestFilter) -> RecordBatch {
    let times = times(rows).unwrap();
    let deleted: Vec<_> = filter
        .conditions
        .iter()
        .map(|condition| condition.mask(rows).unwrap())
        .collect();
    let keep: BooleanArray = (0..rows.num_rows())
        .map(|row| {
            let is_deleted = deleted.iter().any(|deleted| deleted.value(row));
            Some(!is_deleted && filter.floor.is_none_or(|floor| times.value(row) >= floor))
        })
        .collect();
    filter_record_batch(rows, &keep).unwrap()
}

fn rows() -> impl Strategy<Value = Vec<TestPoint>> {
    let tags = proptest::array::uniform2(proptest::option::of(0..3u8));
    let fields = proptest::array::uniform2(proptest::option::of(any::<i8>()));
    let row = (tags, 0..8i64, fields);
    // Sections without `zone` or without `b` are from before these columns were added.
    (proptest::collection::vec(row, 1..25), any::<[bool; 2]>()).prop_map(|(mut rows, [zone, b])| {
        for row in &mut rows {
            row.0[0] = row.0[0].filter(|_| zone);
            row.2[1] = row.2[1].filter(|_| b);
        }
        rows
    })
}

/// The deletes and the first time of an input.
#[derive(Clone, Debug)]
struct TestFilter {
    conditions: Vec<Condition>,
    floor: Option<i64>,
}

impl TestFilter {
    fn input(&self) -> InputRowFilter {
        InputRowFilter {
            deleted: Some((Arc::new(self.conditions.iter().collect()), 0)),
            floor: self.floor,
        }
    }
}

fn filter() -> impl Strategy<Value = TestFilter> {
    let time = (0..8i64, 0..8i64).prop_map(|(min, max)| Condition::Time { min, max });
    let tag = (0..3u8, any::<bool>()).prop_map(|(tag, zone)| Condition::Tag {
        name: if zone { "zone" } else { "host" }.to_owned(),
        value: (tag > 0).then(|| format!("t{tag}")),
    });
    let condition = (time, tag).prop_map(|(time, tag)| Condition::All(vec![time, tag]));
    let deleted = proptest::collection::vec(condition, 0..3);
    (deleted, proptest::option::of(0..6i64))
        .prop_map(|(conditions, floor)| TestFilter { conditions, floor })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(300)))]
    #[test]
    fn a_merge_deduplicates_all_visible_rows(
        sections in proptest::collection::vec((rows(), filter()), 1..6),
        batch_rows in 1usize..9,
        window_bytes in prop_oneof![Just(0u64), 300u64..3_000, Just(u64::MAX)],
        on_duplicate in prop_oneof![Just(OnDuplicate::Replace), Just(OnDuplicate::Keep)],
    ) {
        let sections: Vec<_> = sections.into_iter().map(|(rows, filter)| (section_rows(&rows), filter)).collect();
        let opened = sections.iter().map(|(rows, filter)| open(rows, filter.input(), batch_rows, window_bytes));
        let blocks = blocks(opened.collect(), on_duplicate).unwrap();
        let merged = concat_batches(&schema(), &blocks).unwrap();
        let left: Vec<_> = sections.iter().map(|(rows, filter)| kept(rows, filter)).collect();
        let expected = deduplicate_with(&tags(), &schema(), left, on_duplicate).unwrap();
        prop_assert_eq!(text(&merged), text(&expected));
        let most = blocks.iter().map(RecordBatch::num_rows).max().unwrap_or(0);
        prop_assert!(most <= batch_rows * sections.len());
    }

    #[test]
    fn a_section_that_is_written_in_parts_reads_back(rows in rows(), parts in 1usize..6) {
        let rows = deduplicate(&tags(), &schema(), vec![batch(&rows)]).unwrap();
        let mut writer = SectionWriter::new(&tags(), schema(), SectionProfile::Merge).with_expectation(1 << 20, 100);
        let size = rows.num_rows().div_ceil(parts).max(1);
        for start in (0..rows.num_rows()).step_by(size) {
            writer.write(&rows.slice(start, size.min(rows.num_rows() - start))).unwrap();
        }
        let section = writer.finish().unwrap();
        prop_assert_eq!(section.rows, rows.num_rows() as u64);
        let bytes = Bytes::from(section.bytes);
        // Footer, page index and bloom filters are within the last `footer_length` bytes.
        let footer = bytes.slice(bytes.len() - section.footer_length as usize..);
        let mut reader = ParquetMetaDataReader::new().with_page_index_policy(true.into());
        reader.try_parse_sized(&footer, bytes.len() as u64).unwrap();
        let metadata = reader.finish().unwrap();
        prop_assert_eq!(metadata.file_metadata().num_rows(), rows.num_rows() as i64);
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        let read: Vec<_> = reader.map(Result::unwrap).collect();
        prop_assert_eq!(text(&concat_batches(&schema(), &read).unwrap()), text(&rows));
    }
}

#[test]
fn tags_with_many_values_have_bloom_filters_within_the_footer() {
    let rows: Vec<TestPoint> =
        (0..60).map(|at| ([Some(at / 30), Some(at % 30)], 0, [None, None])).collect();
    for (profile, filtered) in [(SectionProfile::Merge, true), (SectionProfile::Flush, false)] {
        let rows = deduplicate(&tags(), &schema(), vec![batch(&rows)]).unwrap();
        let mut writer = SectionWriter::new(&tags(), schema(), profile);
        writer.write(&rows).unwrap();
        let section = writer.finish().unwrap();
        let bytes = Bytes::from(section.bytes);
        let start = bytes.len() - section.footer_length as usize;
        let mut reader = ParquetMetaDataReader::new().with_page_index_policy(true.into());
        let footer = bytes.slice(start..);
        reader.try_parse_sized(&footer, bytes.len() as u64).unwrap();
        let metadata = reader.finish().unwrap();
        let columns = metadata.row_groups()[0].columns();
        let has = |name: &str| {
            let column = columns.iter().find(|column| column.column_path().string() == name);
            let offset = column.unwrap().bloom_filter_offset();
            assert!(offset.is_none_or(|offset| offset >= start as i64));
            offset.is_some()
        };
        assert_eq!([has("host"), has("zone"), has("a")], [filtered, false, false]);
    }
}

#[test]
fn rows_out_of_order_are_refused() {
    let sorted = section_rows(&[
        ([Some(1), Some(1)], 1, [Some(1), None]),
        ([Some(2), Some(1)], 1, [Some(1), None]),
    ]);
    for batch_rows in [1, 2] {
        let reversed =
            concat_batches(&sorted.schema(), &[sorted.slice(1, 1), sorted.slice(0, 1)]).unwrap();
        let input = open(&reversed, InputRowFilter::default(), batch_rows, 0);
        let error = blocks(vec![input], OnDuplicate::Replace).unwrap_err();
        assert!(matches!(error, MergeError::NotSorted(_)), "{error}");
    }
    let twice =
        concat_batches(&sorted.schema(), &[sorted.slice(0, 1), sorted.slice(0, 1)]).unwrap();
    let input = open(&twice, InputRowFilter::default(), 1, 0);
    assert!(blocks(vec![input], OnDuplicate::Replace).is_err());
}

#[test]
fn windows_have_whole_row_groups_and_requests_are_not_too_large() {
    let many: Vec<TestPoint> = (0..30).map(|at| ([None, Some(1)], at, [Some(1), None])).collect();
    let bytes = file(&section_rows(&many), 3);
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap();
    let single = windows(&metadata, 0);
    assert_eq!(single.len(), 10);
    assert!(single.iter().all(|window| window.ranges.len() == 1));
    let all = windows(&metadata, u64::MAX);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].ranges.len(), 1);
    assert_eq!(all[0].size_bytes(), single.iter().map(ReadWindow::size_bytes).sum::<u64>());
}
