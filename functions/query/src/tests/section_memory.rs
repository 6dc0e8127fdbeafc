//! Sections and statements that do not fit into the memory of queries.

use std::{
    fmt::Write as _,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use arrow::array::RecordBatch;
use neap_http::Caller;
use serde_json::json;

use super::QueryTestInstance;
use crate::{
    ClientQueryError, QueryErrorKind, QueryRequest, QuerySettings,
    promql::{Metric, MetricRowReader, MetricStatements},
};

/// Rows of a section. Its four columns of random values take 96 kB.
const ROWS: u64 = 3_000;

/// Creates an instance whose queries have 4 MiB, of which sections that are merged may hold a quarter.
async fn with_little_memory() -> QueryTestInstance {
    with_memory(4 << 20, 2).await
}

async fn with_memory(memory_pool_bytes: usize, partitions: usize) -> QueryTestInstance {
    let (store, clock) = QueryTestInstance::memory_store();
    let settings = QuerySettings { memory_pool_bytes, partitions, ..QuerySettings::default() };
    QueryTestInstance::with(store, clock, settings).await
}

/// Returns a value that does not compress.
fn random(seed: u64) -> f64 {
    let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 12) as f64 / 1e9
}

/// Flushes a section with all points of a day. Field `n` has the number of the version.
async fn flush_version(one: &QueryTestInstance, day: u64, version: u64) {
    let mut lines = String::new();
    for row in 0..ROWS {
        let seed = (day * 1_000 + version) * ROWS + row;
        let (a, b, c) = (random(seed), random(seed << 20), random(seed << 40));
        let time = (19_000 + day) * 86_400_000_000_000 + row * 1_000_000;
        let _ = writeln!(lines, "m a={a},b={b},c={c},n={version} {time}");
    }
    one.write(&lines).await;
    one.flush().await;
}

const SUMS: &str = "SELECT count(*) AS rows, min(n) AS first, max(n) AS last, \
    count(a) + count(b) + count(c) AS n, sum(a + b + c) > 0 AS is_read FROM m";

fn in_list(values: usize) -> String {
    let values: Vec<_> = (0..values).map(|value| value.to_string()).collect();
    format!("SELECT n FROM m WHERE n IN ({})", values.join(","))
}

/// Counts the rows of statements.
#[derive(Debug)]
struct RowCounter {
    statements: Vec<String>,
    rows: AtomicUsize,
}

impl MetricRowReader for RowCounter {
    fn begin(&self, _: &[Arc<Metric>]) -> MetricStatements {
        self.rows.store(0, Ordering::Relaxed);
        Box::new(self.statements.clone().into_iter())
    }

    fn read(&self, _: usize, batch: &RecordBatch) -> ControlFlow<()> {
        self.rows.fetch_add(batch.num_rows(), Ordering::Relaxed);
        ControlFlow::Continue(())
    }
}

/// Returns the number of rows of statements that are executed as those of a list.
async fn count_rows(
    one: &QueryTestInstance,
    statements: Vec<String>,
) -> Result<usize, ClientQueryError> {
    let counter = Arc::new(RowCounter { statements, rows: AtomicUsize::new(0) });
    let (caller, request) = (Caller::unrestricted(), QueryRequest::new("rows"));
    let reader = Arc::clone(&counter) as Arc<dyn MetricRowReader>;
    one.engine.read_metrics(&caller, "db", request, reader).await?;
    Ok(counter.rows.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_statement_that_needs_more_memory_to_be_planned_than_there_is_is_refused() {
    let one = with_little_memory().await;
    one.write("m n=7 1").await;
    assert_eq!(one.sql(&in_list(1_000)).await, "n\n7.0\n");
    let large = json!({"db": "db", "q": in_list(3_000)});
    let (status, body) = one.post(large).await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("planning"), "{body}");
    assert_eq!(one.sql(&in_list(1_000)).await, "n\n7.0\n");
}

#[tokio::test]
async fn statements_of_a_list_that_do_not_fit_together_are_executed_one_after_the_other() {
    let one = with_little_memory().await;
    one.write("m n=7 1").await;
    assert_eq!(count_rows(&one, vec![in_list(1_000); 8]).await.unwrap(), 8);
}

#[tokio::test]
async fn overlapping_sections_are_merged_in_passes_if_they_do_not_fit() {
    let one = with_little_memory().await;
    for version in 0..24 {
        flush_version(&one, 0, version).await;
    }
    let answer = one.sql(SUMS).await;
    assert_eq!(answer, "rows,first,last,n,is_read\n3000,23.0,23.0,9000,true\n");
}

#[tokio::test]
async fn overlaps_are_merged_one_after_the_other_if_they_do_not_fit() {
    let one = with_little_memory().await;
    for day in 0..12 {
        flush_version(&one, day, 0).await;
        flush_version(&one, day, 1).await;
    }
    let plan = one.sql(&format!("EXPLAIN {SUMS}")).await;
    // Six of them fit at once. No row of these sections is outside of their overlap.
    assert!(plan.contains("SequenceExec: partitions=6"), "{plan}");
    assert!(!plan.contains("FilterExec"), "{plan}");
    assert_eq!(plan.matches("DedupExec").count(), 12, "{plan}");
    let answer = one.sql(SUMS).await;
    assert_eq!(answer, "rows,first,last,n,is_read\n36000,1.0,1.0,108000,true\n");
}

#[tokio::test]
async fn a_statement_that_reads_rows_while_it_is_planned_is_refused_if_they_do_not_fit() {
    let one = with_memory(8 << 10, 1).await;
    flush_version(&one, 0, 0).await;
    let show = "SHOW%20SERIES%20FROM%20m%20WHERE%20a%20%3E%200";
    let (status, body) = one.get(&format!("/api/v3/query_influxql?db=db&q={show}")).await;
    assert_eq!(status, 503, "{body}");
}

#[tokio::test]
async fn a_query_is_refused_if_the_data_of_its_sections_do_not_fit() {
    let one = with_memory(32 << 10, 1).await;
    flush_version(&one, 0, 0).await;
    let (status, body) = one.post(json!({"db": "db", "q": SUMS})).await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("SectionReader"), "{body}");
    let Err(ClientQueryError::Query(error)) = count_rows(&one, vec![SUMS.to_owned()]).await else {
        panic!("the data of the section fit");
    };
    assert_eq!(error.kind(), QueryErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("SectionReader"), "{error}");
}
