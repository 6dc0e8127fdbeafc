//! Compares the batches of a scan with its rows, for chunks of any sizes.

use arrow::{
    array::{ArrayRef, Int64Array, TimestampNanosecondArray, cast::AsArray},
    datatypes::{Int64Type, Schema},
};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::{TryStreamExt, executor::block_on};
use neap_points::TailImageBuilder;
use neap_schema::ColumnType;
use proptest::{collection::vec, option, prelude::*};

use super::*;

/// Returns an image with a chunk for each list of values of `v`.
fn image(chunks: &[Vec<Option<i64>>]) -> Arc<TailImage> {
    let fields = vec![ColumnType::Time.arrow_field("time"), ColumnType::Integer.arrow_field("v")];
    let schema = Arc::new(Schema::new(fields));
    let mut builder = TailImageBuilder::new(&[], Arc::clone(&schema));
    let mut times = 0..;
    for values in chunks {
        let times = times.by_ref().take(values.len()).collect::<Vec<i64>>();
        let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(times));
        let values: ArrayRef = Arc::new(Int64Array::from(values.clone()));
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![times, values]);
        builder.push(&rows.unwrap()).unwrap();
    }
    builder.image()
}

/// Returns a scan of the column `v`.
fn scan(image: &Arc<TailImage>, batch_rows: usize, fetch: Option<usize>) -> LiveRows {
    let rows = ImageRows { image: Arc::clone(image), selected: None };
    let schema = Arc::new(image.schema().project(&[1]).unwrap());
    let chunks = image.chunks.clone().into();
    let rows = LiveRows::new(&rows, chunks, (&[1], schema), batch_rows);
    match fetch {
        Some(fetch) => rows.with_fetch(fetch),
        None => rows,
    }
}

fn batches(rows: LiveRows) -> Vec<Vec<Option<i64>>> {
    let metrics = BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
    let batches: Vec<RecordBatch> = block_on(rows.stream(metrics).try_collect()).unwrap();
    let values = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().iter().collect();
    batches.iter().map(values).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn batches_have_all_rows_in_their_order(
        chunks in vec(vec(option::weighted(0.8, 0..1_000_i64), 1..40), 0..12),
        batch_rows in 1..50usize,
        fetch in option::of(0..20usize),
    ) {
        let image = image(&chunks);
        let found = batches(scan(&image, batch_rows, fetch));
        prop_assert_eq!(found.concat(), chunks.concat());
        for batch in &found {
            prop_assert!((1..=batch_rows).contains(&batch.len()));
        }
    }
}

#[test]
fn small_chunks_become_large_batches_and_large_ones_are_not_copied() {
    let sizes = |chunks: &[usize]| {
        let chunks = chunks.iter().map(|rows| vec![Some(1); *rows]);
        let image = image(&chunks.collect::<Vec<_>>());
        let batches = batches(scan(&image, 80, None));
        batches.iter().map(Vec::len).collect::<Vec<_>>()
    };
    assert_eq!(sizes(&[1; 25]), [10, 10, 5]);
    assert_eq!(sizes(&[30, 5, 90, 2, 79]), [30, 5, 80, 10, 2, 79]);
}

#[test]
fn few_parts_are_copied_at_once() {
    let image = image(&vec![vec![Some(1)]; 600]);
    let batches = batches(scan(&image, 8_192, None));
    let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
    assert_eq!(sizes, [256, 256, 88]);
}

#[test]
fn the_first_rows_are_returned_at_once_if_no_others_are_read() {
    let image = image(&vec![vec![Some(1); 10]; 50]);
    let first = |fetch| batches(scan(&image, 160, fetch))[0].len();
    assert_eq!(first(Some(1)), 10);
    assert_eq!(first(None), 20);
}
