use arrow::{
    array::{
        ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int64Array,
        ListArray, NullArray, StringArray, TimestampNanosecondArray, UInt64Array,
    },
    datatypes::{Float64Type, Int32Type},
};
use futures::TryStreamExt;

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Returns the body of an answer, and the number of its chunks.
async fn body(batches: Vec<RecordBatch>, params: &ExecParams) -> (String, usize) {
    let schema = batches[0].schema();
    let batches = batches.into_iter().map(Ok);
    let answer = AnswerStream {
        prefix: head(&schema, params).into_bytes(),
        batches: Box::pin(stream::iter(batches)),
        schema,
        options: encoder_options(),
        unwritten: None,
        seen: 0,
        has_rows: false,
        params: params.clone(),
        timings: QueryTimings::begin(World::system()),
    };
    let chunks: Vec<Bytes> = answer.into_chunks().try_collect().await.unwrap();
    (String::from_utf8(chunks.concat()).unwrap(), chunks.len())
}

fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
    batch(vec![("n", Arc::new(Int64Array::from_iter_values(range)) as ArrayRef)])
}

#[tokio::test]
async fn values_have_the_forms_of_questdb() {
    let lists = [Some(vec![Some(1.0), None]), None];
    let rows = batch(vec![
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("i", Arc::new(Int64Array::from(vec![Some(-5), None]))),
        ("u", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
        ("f", Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::NAN)]))),
        ("s", Arc::new(StringArray::from(vec![Some("a \"b\"\n"), None]))),
        ("t", Arc::new(DictionaryArray::<Int32Type>::from_iter([Some("x"), None]))),
        (
            "time",
            Arc::new(TimestampNanosecondArray::from(vec![1_700_000_000_123_456_789, 0])),
        ),
        (
            "d",
            Arc::new(
                Decimal128Array::from(vec![Some(12_345), None])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        ("l", Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists))),
        ("n", Arc::new(NullArray::new(2))),
    ]);
    let params = ExecParams { query: "select \"x\"".to_owned(), ..ExecParams::default() };
    let (body, _) = body(vec![rows], &params).await;
    serde_json::from_str::<Value>(&body).unwrap();
    let body = body.replace("},{", "},\n{").replace("],", "],\n");
    insta::assert_snapshot!(body, @r#"
    {"query":"select \"x\"","columns":[{"name":"b","type":"BOOLEAN"},
    {"name":"i","type":"LONG"},
    {"name":"u","type":"LONG"},
    {"name":"f","type":"DOUBLE"},
    {"name":"s","type":"VARCHAR"},
    {"name":"t","type":"SYMBOL"},
    {"name":"time","type":"TIMESTAMP_NS"},
    {"name":"d","type":"DECIMAL"},
    {"dim":1,"elemType":"DOUBLE","name":"l","type":"ARRAY"},
    {"name":"n","type":"STRING"}],
    "timestamp":6,"dataset":[[true,-5,18446744073709551615,1.5,"a \"b\"\n","x","2023-11-14T22:13:20.123456789Z",123.45,[1.0,null],
    null],
    [null,null,null,null,null,null,"1970-01-01T00:00:00.000000000Z",null,null,null]],
    "count":2}
    "#);
}

#[tokio::test]
async fn an_answer_without_rows_is_complete() {
    let (body, _) = body(vec![numbers(0..0)], &ExecParams::default()).await;
    insta::assert_snapshot!(body, @r#"{"query":"","columns":[{"name":"n","type":"LONG"}],"timestamp":-1,"dataset":[],"count":0}"#);
}

#[tokio::test]
async fn limits_count_rows_from_one() {
    let answer = async |params: ExecParams| {
        let params = ExecParams { without_metadata: true, ..params };
        body(vec![numbers(0..3), numbers(3..6)], &params).await.0
    };
    let limited =
        |skip, stop, counts_all| ExecParams { skip, stop, counts_all, ..ExecParams::default() };
    assert_eq!(
        answer(limited(0, None, false)).await,
        r#"{"dataset":[[0],[1],[2],[3],[4],[5]],"count":6}"#
    );
    assert_eq!(
        answer(limited(0, Some(4), false)).await,
        r#"{"dataset":[[0],[1],[2],[3]],"count":4}"#
    );
    assert_eq!(answer(limited(2, Some(4), false)).await, r#"{"dataset":[[2],[3]],"count":4}"#);
    assert_eq!(answer(limited(2, Some(4), true)).await, r#"{"dataset":[[2],[3]],"count":6}"#);
    assert_eq!(answer(limited(9, None, false)).await, r#"{"dataset":[],"count":6}"#);
    assert_eq!(answer(limited(0, Some(0), false)).await, r#"{"dataset":[],"count":0}"#);
}

#[tokio::test]
async fn long_answers_are_sent_in_chunks() {
    let params = ExecParams::default();
    let rows = i64::try_from(CHUNK_ROWS).unwrap() * 2 + 1;
    let (body, chunks) = body(vec![numbers(0..rows), numbers(0..1)], &params).await;
    assert_eq!(chunks, 5);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["dataset"].as_array().unwrap().len(), CHUNK_ROWS * 2 + 2);
    assert_eq!(body["count"], CHUNK_ROWS * 2 + 2);
}

#[tokio::test]
async fn large_integers_are_quoted_on_request() {
    let params = ExecParams {
        quotes_large_numbers: true,
        without_metadata: true,
        ..ExecParams::default()
    };
    let rows = batch(vec![
        ("i", Arc::new(Int64Array::from(vec![1 << 53, (1 << 53) + 1, i64::MIN]))),
        ("u", Arc::new(UInt64Array::from(vec![0, u64::MAX, 1]))),
        ("s", Arc::new(StringArray::from(vec!["9007199254740993"; 3]))),
    ]);
    let (body, _) = body(vec![rows], &params).await;
    insta::assert_snapshot!(body, @r#"{"dataset":[[9007199254740992,0,"9007199254740993"],["9007199254740993","18446744073709551615","9007199254740993"],["-9223372036854775808",1,"9007199254740993"]],"count":3}"#);
}

#[tokio::test]
async fn timings_are_in_the_answer_on_request() {
    let params = ExecParams { with_timings: true, ..ExecParams::default() };
    let (body, _) = body(vec![numbers(0..1)], &params).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    for step in ["authentication", "compiler", "execute", "count"] {
        assert!(body["timings"][step].is_u64(), "{body}");
    }
}
