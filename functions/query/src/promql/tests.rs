//! Expressions over rows that the tests really write.

use std::sync::Arc;

use arrow::{array::RecordBatch, compute::concat_batches};
use bytes::Bytes;
use datafusion::physical_plan::{common::collect, displayable};
use futures::TryStreamExt;
use neap_http::Caller;
use neap_promql::{
    Evaluation, EvaluationLimits, EvaluationRange, MatchOp, Matcher, MetricSource, PromqlError,
    QueryResult, SampleTable,
};
use neap_scan::SeriesOrder;
use neap_tables::create_optimized_plan;
use tokio::task::yield_now;

use super::{
    Metric, PromqlAnswer, PromqlQuery, PromqlQueryError, ResultFormat, TimeRange,
    source::TableSource, statement_plan::plan_statement,
};
use crate::{
    ClientQueryError, QueryErrorKind, QueryRequest, QuerySettings, TextPieces,
    tests::instance::{DATABASE, QueryTestInstance},
};

/// The time before all rows, in milliseconds.
const START_MS: i64 = 1_700_000_000_000;

/// Rows of one table of Prometheus's remote write and two others, 1 s, 2 s and 3 s after the start.
const ROWS: &str = "\
up,job=api,label_time=noon value=1 1700000001000000000
up,job=api,label_time=noon non_finite=\"stale\" 1700000002000000000
cpu,host=a usage_idle=10.5,usage_user=1i,is_on=true,note=\"x\" 1700000001000000000
cpu,host=b usage_idle=20.5 1700000001000000000
cpu,host=a usage_idle=11.5 1700000002000000000
cpu,host=a usage_idle=12.5 1700000002999999999
cpu,host=a usage_idle=13.5 1700000003000000000
cpu_usage idle=7 1700000001000000000";

async fn written() -> QueryTestInstance {
    QueryTestInstance::with_rows(ROWS).await
}

/// Returns the tables that matchers of the label `__name__` select, and the numbers of their rows from 1 s to 2 s
/// after the start.
async fn select(one: &QueryTestInstance, matchers: &[Matcher]) -> Vec<(SampleTable, usize)> {
    let source = TableSource::new(&one.context().await, Arc::clone(one.engine.plan_cache()));
    let mut counted = Vec::new();
    let tables = source.select(matchers, START_MS + 999, START_MS + 2_000).await.unwrap();
    let selected: Vec<SampleTable> = tables.try_collect().await.unwrap();
    for table in selected {
        let rows = source.execute(table.plan.clone()).await.unwrap();
        let batches = collect(rows).await.unwrap();
        let count = batches.iter().map(|batch| batch.num_rows()).sum();
        counted.push((table, count));
    }
    counted
}

fn named(name: &str) -> Matcher {
    Matcher::new(MatchOp::Equal, "__name__", name)
}

#[tokio::test]
async fn a_metric_of_remote_write_has_numbers_that_are_not_finite() {
    let one = written().await;
    let selected = select(&one, &[named("up")]).await;
    let [(table, 2)] = &selected[..] else {
        panic!("{selected:?}");
    };
    assert_eq!(table.constant_labels, [("__name__".to_owned(), "up".to_owned())]);
    let labels = table.labels.iter().map(|label| (label.label.as_str(), label.column.as_str()));
    assert_eq!(labels.collect::<Vec<_>>(), [("job", "job"), ("time", "label_time")]);
    assert_eq!(table.value_column.as_deref(), Some("value"));
    let special = table.special_value_column.as_ref().unwrap();
    assert_eq!(special.column, "non_finite");
    let stale = (special.decode)("stale").unwrap();
    assert_eq!(stale.to_bits(), neap_promql::STALE_NAN_BITS);
    assert!(table.histogram_column.is_none());
}

#[tokio::test]
async fn samples_for_remote_read_have_the_order_of_the_series_key_and_are_not_sorted() {
    let one = QueryTestInstance::alone().await;
    for time in [1, 3, 2] {
        one.write(&format!("up,b=x,a=y value=1 {time}\nup,b=z value=1 {time}")).await;
        one.flush().await;
    }
    let tables = one.engine.list_own_tables(DATABASE, &QueryRequest::default()).await.unwrap();
    let columns = tables[0].columns.clone().unwrap();
    let metric = Metric::of_tables([("up", &*columns)], &[]).remove(0);
    assert_eq!(metric.tag_labels().collect::<Vec<_>>(), ["b", "a"]);
    let sql = metric.select(&[].into(), TimeRange::ALL).unwrap().samples_sql();
    let context = one.context().await;
    let plan = plan_statement(&context, one.engine.plan_cache(), sql.clone(), true)
        .await
        .unwrap();
    let mut session = context.optimized_session();
    session.config_mut().set_extension(Arc::new(SeriesOrder));
    let planned = create_optimized_plan(&mut session, &plan).await.unwrap();
    let shown = displayable(planned.as_ref()).indent(false).to_string();
    assert!(shown.contains("DedupExec") && !shown.contains("Sort"), "{shown}");
    let rows = async |in_series_order| {
        let request = QueryRequest { in_series_order, ..QueryRequest::new(sql.clone()) };
        let rows = one.engine.query(DATABASE, request).await.unwrap();
        let batches: Vec<RecordBatch> = rows.batches.try_collect().await.unwrap();
        concat_batches(&batches[0].schema(), &batches).unwrap()
    };
    assert_eq!(rows(true).await, rows(false).await);
}

#[tokio::test]
async fn samples_for_remote_read_are_sorted_by_a_tag_with_the_name_of_their_column() {
    let one = QueryTestInstance::with_rows(
        "m,value=a load=3 1700000000000000000\n\
         m,value=b load=1 1700000000000000000\n\
         m,value=a load=2 1700000001000000000",
    )
    .await;
    let tables = one.engine.list_own_tables(DATABASE, &QueryRequest::default()).await.unwrap();
    let columns = tables[0].columns.clone().unwrap();
    let metric = Metric::of_tables([("m", &*columns)], &[]).remove(0);
    let sql = metric.select(&[].into(), TimeRange::ALL).unwrap().samples_sql();
    assert_eq!(
        one.sql(&sql).await,
        "label 0,time,value\n\
         a,2023-11-14T22:13:20,3.0\n\
         a,2023-11-14T22:13:21,2.0\n\
         b,2023-11-14T22:13:20,1.0\n"
    );
}

#[tokio::test]
async fn conditions_on_labels_and_times_choose_rows() {
    let one = written().await;
    let of_host = |value| Matcher::new(MatchOp::Equal, "host", value);
    let rows = async |matchers: &[Matcher]| {
        let selected = select(&one, matchers).await;
        selected.into_iter().map(|(_, count)| count).collect::<Vec<_>>()
    };
    assert_eq!(
        rows(&[named("cpu_usage_idle"), of_host("a")]).await,
        [2],
        "the table without the label has no such series"
    );
    assert_eq!(rows(&[named("cpu_usage_idle"), of_host("")]).await, [0, 1]);
    assert_eq!(rows(&[named("cpu_usage_user")]).await, [1]);
    assert_eq!(rows(&[named("cpu_is_on")]).await, [1]);
    assert!(rows(&[named("cpu_note")]).await.is_empty());
    assert!(rows(&[named("up"), of_host("a")]).await.is_empty());
}

#[tokio::test]
async fn metrics_of_the_same_name_differ_by_their_table() {
    let one = written().await;
    let selected = select(&one, &[named("cpu_usage_idle")]).await;
    let tables: Vec<_> = selected
        .iter()
        .map(|(table, _)| {
            let label = table.constant_labels.iter().find(|(label, _)| label == "__table__");
            label.map(|(_, value)| value.as_str())
        })
        .collect();
    assert_eq!(tables, [Some("cpu"), Some("cpu_usage")]);
}

/// The debug output of a value, in pieces of a byte, after more pieces than a channel has room for.
#[derive(Debug)]
struct DebugFormat;

/// The bytes before the debug output.
const PADDING: &str = "........";

impl ResultFormat for DebugFormat {
    fn text(&self, result: QueryResult) -> TextPieces {
        let text = format!("{PADDING}{:?}", result.value);
        let bytes = text.into_bytes().into_iter();
        TextPieces::new(bytes.map(move |byte| {
            // The whole result is a part of the text until its end.
            let held = &result;
            assert!(held.warnings.is_empty());
            Bytes::copy_from_slice(&[byte])
        }))
    }
}

async fn evaluate(
    one: &QueryTestInstance,
    text: &str,
    database: &str,
) -> Result<PromqlAnswer, PromqlQueryError> {
    evaluate_at(one, (text, database), START_MS + 2_500).await
}

async fn evaluate_at(
    one: &QueryTestInstance,
    (text, database): (&str, &str),
    at_ms: i64,
) -> Result<PromqlAnswer, PromqlQueryError> {
    let query = PromqlQuery {
        caller: Caller::unrestricted(),
        database: database.to_owned(),
        request: QueryRequest::new(text),
        evaluation: Evaluation {
            range: EvaluationRange::Instant { at_ms },
            lookback_ms: 300_000,
            subquery_step_ms: 60_000,
            limits: EvaluationLimits::default(),
            counts_samples: false,
        },
        format: Arc::new(DebugFormat),
    };
    one.engine.query_promql(query).await
}

#[tokio::test]
async fn an_expression_is_a_logged_query() {
    let one = written().await;
    let answer = evaluate(&one, "sum(cpu_usage_idle{host!=\"\"})", "db").await.unwrap();
    assert!(answer.as_of.is_some());
    let pieces: Vec<Bytes> = answer.text.try_collect().await.unwrap();
    let text = String::from_utf8(pieces.concat()).unwrap();
    assert!(text.contains("value: Float(32.0)"), "{text}");
    let logged = "SELECT query_type, phase FROM system.queries WHERE query_text LIKE 'sum(%'";
    assert_eq!(one.sql(logged).await, "query_type,phase\npromql,success\n");
}

#[tokio::test]
async fn an_expression_without_memory_is_no_error_of_the_request() {
    let (store, clock) = QueryTestInstance::memory_store();
    let settings = QuerySettings { memory_pool_bytes: 1, ..QuerySettings::default() };
    let one = QueryTestInstance::with(store, clock, settings).await;
    one.write(ROWS).await;
    let Err(PromqlQueryError::Query(ClientQueryError::Query(error))) =
        evaluate(&one, "sum(cpu_usage_idle)", "db").await
    else {
        panic!("a sum without memory");
    };
    assert_eq!(error.kind(), QueryErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn an_expression_at_other_times_reads_samples_by_a_kept_plan() {
    let (store, clock) = QueryTestInstance::memory_store();
    let one = QueryTestInstance::new(Arc::clone(&store), Arc::clone(&clock)).await;
    one.write(ROWS).await;
    let text = async |one: &QueryTestInstance, expression: &str, at_ms| {
        let answer = evaluate_at(one, (expression, "db"), START_MS + at_ms).await.unwrap();
        let pieces: Vec<Bytes> = answer.text.try_collect().await.unwrap();
        String::from_utf8(pieces.concat()).unwrap()
    };
    let of_host = |host: &str| format!("cpu_usage_idle{{host=\"{host}\"}}");
    for (expression, at_ms, templates, value) in [
        (of_host("a"), 1_500, 0, "Float(10.5)"),
        (of_host("a"), 2_500, 1, "Float(11.5)"),
        (of_host("a"), 1_500, 1, "Float(10.5)"),
        (of_host("b"), 2_999, 1, "Float(20.5)"),
        (of_host("it's"), 2_999, 1, "[]"),
        // The step and the range of an expression are no part of the plan.
        (format!("sum_over_time({}[1500ms])", of_host("a")), 2_999, 1, "Float(24.0)"),
    ] {
        // Another process has no plans.
        let other = QueryTestInstance::new(Arc::clone(&store), Arc::clone(&clock)).await;
        let found = text(&one, &expression, at_ms).await;
        assert_eq!(found, text(&other, &expression, at_ms).await);
        assert!(found.contains(value), "{expression}: {found}");
        let kept = one.engine.plan_cache().templates();
        assert_eq!(kept, templates, "{expression} at {at_ms}");
    }
}

/// Reads all tables, and returns the memory of queries, which includes that of the tail from now on.
async fn read_memory(one: &QueryTestInstance) -> u64 {
    let answer = evaluate(one, "{__name__!=\"\"}", "db").await.unwrap();
    answer.text.try_for_each(async |_| Ok(())).await.unwrap();
    one.engine.memory_stats().queries
}

#[tokio::test]
async fn a_query_runs_and_keeps_its_memory_until_its_answer_is_read() {
    let one = written().await;
    let before = read_memory(&one).await;
    let mut answer = evaluate(&one, "cpu_usage_idle", "db").await.unwrap();
    let first = answer.text.try_next().await.unwrap();
    assert_eq!(first.as_deref(), Some(&b"."[..]));
    let logged =
        "SELECT phase = 'success' AS ended FROM system.queries WHERE query_text = 'cpu_usage_idle'";
    assert_eq!(one.sql(logged).await, "ended\nfalse\n");
    assert!(one.engine.memory_stats().queries > before);
    let rest: Vec<Bytes> = answer.text.try_collect().await.unwrap();
    assert!(rest.len() > PADDING.len());
    assert_eq!(one.sql(logged).await, "ended\ntrue\n");
    assert_eq!(one.engine.memory_stats().queries, before);
}

#[tokio::test]
async fn an_answer_that_is_not_read_to_its_end_keeps_no_memory() {
    let one = written().await;
    let before = read_memory(&one).await;
    let mut answer = evaluate(&one, "cpu_usage_idle", "db").await.unwrap();
    answer.text.try_next().await.unwrap();
    drop(answer);
    for _ in 0..1_000 {
        if one.engine.memory_stats().queries == before {
            return;
        }
        yield_now().await;
    }
    panic!("{} bytes remain", one.engine.memory_stats().queries);
}

#[tokio::test]
async fn errors_of_expressions_keep_their_kind() {
    let one = written().await;
    let failed = async |text: &str, database| evaluate(&one, text, database).await.unwrap_err();
    for text in ["sum(", "sum(cpu_usage_idle{host=~\"(\"})"] {
        let error = failed(text, "db").await;
        assert!(
            matches!(error, PromqlQueryError::Expression(PromqlError::BadData(_))),
            "{error:?}"
        );
    }
    let logged = "SELECT phase FROM system.queries WHERE query_text = 'sum('";
    assert_eq!(one.sql(logged).await, "phase\nfail\n");
    let same_labels = "cpu_usage_idle * on() cpu_usage_idle";
    let error = failed(same_labels, "db").await;
    assert!(
        matches!(error, PromqlQueryError::Expression(PromqlError::Execution(_))),
        "{error:?}"
    );
    let error = failed("up", "missing").await;
    assert!(matches!(error, PromqlQueryError::Query(_)), "{error:?}");
}
