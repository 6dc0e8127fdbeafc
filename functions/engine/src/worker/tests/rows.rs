use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array,
    NullArray, StringArray, StringViewArray, TimestampMillisecondArray, TimestampNanosecondArray,
    UInt8Array, UInt64Array, types::Int32Type,
};
use neap_bucket::{SegmentName, Stamp};

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// Returns a row with a value in almost every type of column, and a row with several nulls.
pub(super) fn home() -> RecordBatch {
    let room: DictionaryArray<Int32Type> = [Some("Kitchen"), None].into_iter().collect();
    batch(vec![
        ("room", Arc::new(room)),
        ("co", Arc::new(Int64Array::from(vec![None, Some(-4)]))),
        ("temp", Arc::new(Float64Array::from(vec![21.5, f64::NAN]))),
        ("ok", Arc::new(BooleanArray::from(vec![true, false]))),
        ("note", Arc::new(StringArray::from(vec![Some("a\"b"), None]))),
        ("n", Arc::new(UInt64Array::from(vec![u64::MAX, 0]))),
        (
            "time",
            Arc::new(TimestampNanosecondArray::from(vec![1_704_067_200_000_000_001, -1])),
        ),
    ])
}

const LOGGING: &str = r#"
def process_writes(influxdb3_local, table_batches, args=None):
    influxdb3_local.info(table_batches)
    influxdb3_local.info(influxdb3_local.batch_id, influxdb3_local.batch_stamp)
"#;

fn writes(tables: &[(&str, Vec<RecordBatch>)]) -> PluginInput {
    let tables = tables.iter().map(|(name, batches)| ((*name).to_owned(), batches.clone()));
    let stamp = SegmentName { stamp: Stamp::from_u64(6_979_860_000_000_000_000), nonce: 77 };
    PluginInput::Writes { tables: tables.collect(), stamp: Some(stamp) }
}

#[tokio::test]
async fn a_written_row_has_the_columns_that_were_written() {
    let mut stage = WorkerFixture::new(LOGGING);
    stage.run.call = writes(&[("home", vec![home(), home().slice(1, 1)]), ("empty", vec![])]);
    stage.run().await.unwrap();
    let first = "{'room': 'Kitchen', 'temp': 21.5, 'ok': True, 'note': 'a\"b', \
                 'n': 18446744073709551615, 'time': 1704067200000000001}";
    let second = "{'co': -4, 'temp': nan, 'ok': False, 'n': 0, 'time': -1}";
    let home = format!("{{'table_name': 'home', 'rows': [{first}, {second}, {second}]}}");
    let expected = [
        format!("INFO: [{home}, {{'table_name': 'empty', 'rows': []}}]"),
        "INFO: 6979860000000000000-77 6979860000000000000".to_owned(),
    ];
    assert_eq!(stage.recorder.log(), expected);
}

#[tokio::test]
async fn sparse_columns_and_long_batches_arrive_complete() {
    let mut stage = WorkerFixture::new(
        r#"
def process_writes(influxdb3_local, table_batches, args=None):
    rows = table_batches[0]["rows"]
    assert len(rows) == 20_000
    for i, row in enumerate(rows):
        expected = {"i": i, "tag": f"t{i % 3}"}
        if i % 5 == 0:
            expected["few"] = f"s{i}"
        if i % 5 != 1:
            expected["many"] = i / 2
        assert row == expected, (row, expected)
    rows[0]["own"] = "a row can be changed"
"#,
    );
    let tags: DictionaryArray<Int32Type> =
        (0..20_000).map(|i| ["t0", "t1", "t2"][i % 3]).map(Some).collect();
    let few: StringArray = (0..20_000).map(|i| (i % 5 == 0).then(|| format!("s{i}"))).collect();
    let many: Float64Array =
        (0..20_000).map(|i| (i % 5 != 1).then_some(f64::from(i) / 2.0)).collect();
    let numbers: Int64Array = (0..20_000).map(Some).collect();
    let batch = batch(vec![
        ("few", Arc::new(few)),
        ("i", Arc::new(numbers)),
        ("tag", Arc::new(tags)),
        ("many", Arc::new(many)),
    ]);
    stage.run.call = writes(&[("m", vec![batch])]);
    stage.run().await.unwrap();
}

#[tokio::test]
async fn other_numeric_and_string_types_are_converted_and_other_types_raise() {
    let stage = WorkerFixture::of_body("return local.query('SELECT 1')");
    let labels: DictionaryArray<Int32Type> = ["a", "b", "c"].into_iter().map(Some).collect();
    let answer = batch(vec![
        ("i", Arc::new(Int32Array::from(vec![Some(-7), None, Some(7)]))),
        ("u", Arc::new(UInt8Array::from(vec![255, 0, 1]))),
        ("f", Arc::new(Float32Array::from(vec![0.5, 1.5, 2.5]))),
        (
            "v",
            Arc::new(StringViewArray::from(vec!["short", "a string that is not short", ""])),
        ),
        ("z", Arc::new(NullArray::new(3))),
        ("l", Arc::new(labels)),
    ]);
    // In a batch of one row, the dictionary has more labels than rows.
    *stage.recorder.answer.lock().unwrap() = vec![answer.slice(1, 1), answer.slice(0, 1)];
    let expected = r#"[{"i": null, "u": 0, "f": 1.5, "v": "a string that is not short", "z": null, "l": "b"}, {"i": -7, "u": 255, "f": 0.5, "v": "short", "z": null, "l": "a"}]"#;
    assert_eq!(stage.text().await, expected);
    let millis: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1]));
    *stage.recorder.answer.lock().unwrap() = vec![batch(vec![("t", millis)])];
    let expected = "Python function call failed: ValueError: Unsupported data type: Timestamp(Millisecond, None)";
    assert_eq!(stage.failure().await, expected);
    *stage.recorder.answer.lock().unwrap() = vec![];
    assert_eq!(stage.text().await, "[]");
}
