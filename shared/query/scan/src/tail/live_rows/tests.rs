//! Compares the batches of a scan with its rows, for chunks of any sizes.

use arrow::{
    array::{ArrayRef, Int64Array, TimestampNanosecondArray},
    datatypes::Int64Type,
};
use datafusion::{
    logical_expr::Operator,
    physical_expr::expressions::{BinaryExpr, Literal},
    physical_plan::metrics::ExecutionPlanMetricsSet,
    scalar::ScalarValue,
};
use futures::{StreamExt, TryStreamExt, executor::block_on, poll};
use neap_points::TailImageBuilder;
use neap_schema::ColumnType;
use proptest::{collection::vec, option, prelude::*};

use super::*;

/// Returns an image with a chunk for each list of values of `v`.
fn image(chunks: &[Vec<Option<i64>>]) -> Arc<TailImage> {
    let fields = vec![
        ColumnType::Time.arrow_field("time"),
        ColumnType::Integer.arrow_field("v"),
    ];
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

/// Returns the condition `v > than`.
fn is_greater(image: &TailImage, than: i64) -> TailCondition {
    let value = Arc::new(Column::new("v", 0));
    let than = Arc::new(Literal::new(ScalarValue::Int64(Some(than))));
    let predicate = BinaryExpr::new(value, Operator::Gt, than);
    let schema = image.schema().project(&[1]).unwrap();
    TailCondition::new(&(Arc::new(predicate) as _), &[1], &schema).unwrap()
}

/// Returns a scan of the column `v`.
fn scan(
    image: &Arc<TailImage>,
    batch_rows: usize,
    than: Option<i64>,
    fetch: Option<usize>,
) -> LiveRows {
    let rows = ImageRows {
        image: Arc::clone(image),
        selected: None,
    };
    let schema = Arc::new(image.schema().project(&[1]).unwrap());
    let chunks = image.chunks.clone().into();
    let rows = LiveRows::new(&rows, chunks, (&[1], schema), batch_rows)
        .with_condition(than.map(|than| is_greater(image, than)));
    match fetch {
        Some(fetch) => rows.with_fetch(fetch),
        None => rows,
    }
}

fn stream(rows: LiveRows) -> SendableRecordBatchStream {
    rows.stream(BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0))
}

/// Returns the values of all batches.
fn batches(rows: LiveRows) -> Vec<Vec<Option<i64>>> {
    let batches: Vec<RecordBatch> = block_on(stream(rows).try_collect()).unwrap();
    let values = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().iter().collect();
    batches.iter().map(values).collect()
}

proptest! {
    #[test]
    fn batches_have_the_rows_that_meet_the_condition_in_their_order(
        chunks in vec(vec(option::weighted(0.8, 0..1_000_i64), 1..40), 0..12),
        batch_rows in 1..50usize,
        than in option::of(0..1_000_i64),
        fetch in option::of(0..20usize),
    ) {
        let image = image(&chunks);
        let found = batches(scan(&image, batch_rows, than, fetch));
        let is_met = |value: &Option<i64>| {
            than.is_none_or(|than| value.is_some_and(|value| value > than))
        };
        let expected: Vec<_> = chunks.concat().into_iter().filter(is_met).collect();
        prop_assert_eq!(found.concat(), expected);
        for batch in &found {
            prop_assert!((1..=batch_rows).contains(&batch.len()));
        }
    }
}

#[test]
fn small_chunks_become_large_batches_and_large_ones_are_not_copied() {
    let sizes = |chunks: &[usize], than: Option<i64>| {
        let chunks = chunks.iter().map(|rows| {
            let values = 0..i64::try_from(*rows).unwrap();
            values.map(|value| Some(value % 10)).collect()
        });
        let image = image(&chunks.collect::<Vec<_>>());
        let batches = batches(scan(&image, 80, than, None));
        batches.iter().map(Vec::len).collect::<Vec<_>>()
    };
    assert_eq!(sizes(&[1; 25], None), [10, 10, 5]);
    assert_eq!(sizes(&[30, 5, 90, 2, 79], None), [30, 5, 80, 10, 2, 79]);
    // A tenth of the rows meets the condition.
    assert_eq!(sizes(&[100; 10], Some(8)), [40, 40, 20]);
    assert_eq!(sizes(&[100; 10], Some(9)), [0; 0]);
    assert_eq!(sizes(&[80; 3], Some(-1)), [80, 80, 80]);
}

#[test]
fn few_parts_are_copied_at_once() {
    let image = image(&vec![vec![Some(1)]; 600]);
    for than in [None, Some(0)] {
        let batches = batches(scan(&image, 8_192, than, None));
        let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
        assert_eq!(sizes, [256, 256, 88]);
    }
}

#[test]
fn the_first_rows_are_returned_at_once_if_no_others_are_read() {
    let image = image(&vec![vec![Some(1); 10]; 50]);
    let first = |than, fetch| batches(scan(&image, 160, than, fetch))[0].len();
    assert_eq!(first(Some(0), Some(1)), 20);
    assert_eq!(first(Some(0), Some(35)), 40);
    assert_eq!(first(Some(0), None), 80);
    assert_eq!(first(None, Some(1)), 10);
    assert_eq!(first(None, None), 20);
}

#[tokio::test]
async fn a_long_search_lets_other_tasks_run() {
    let image = image(&vec![vec![Some(1)]; 1_000]);
    let mut rows = stream(scan(&image, 1, Some(1), None));
    assert!(poll!(rows.next()).is_pending());
    assert!(rows.next().await.is_none());
}
