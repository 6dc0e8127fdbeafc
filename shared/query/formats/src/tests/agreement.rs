//! Agreement with arrow's writers of the same formats.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
struct SampleRow {
    flag: Option<bool>,
    whole: Option<i64>,
    real: Option<f64>,
    text: Option<String>,
    tag: Option<i32>,
    time: Option<i64>,
}

/// Any number, with a preference for those where the notation changes.
fn real() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        (-1000i32..1000).prop_map(|cents| f64::from(cents) / 100.0),
        (1i32..1000, -10i32..22)
            .prop_map(|(digits, places)| f64::from(digits) * 10f64.powi(places)),
    ]
}

fn row() -> impl Strategy<Value = SampleRow> {
    let option = prop::option::of::<BoxedStrategy<i64>>;
    (
        any::<Option<bool>>(),
        option(any::<i64>().boxed()),
        prop::option::of(real()),
        prop::option::of("(?s)([a-z ]{0,5}|.{0,12}|[,\"\\n\\r]{0,3})"),
        prop::option::of(0..5i32),
        option(any::<i64>().boxed()),
    )
        .prop_map(|(flag, whole, real, text, tag, time)| SampleRow {
            flag,
            whole,
            real,
            text,
            tag,
            time,
        })
}

fn rows_batch(rows: &[SampleRow]) -> RecordBatch {
    let values: ArrayRef = Arc::new(StringArray::from(vec!["a", "b c", "d\"e", "f,g", "ü"]));
    let keys: Int32Array = rows.iter().map(|row| row.tag).collect();
    batch(vec![
        ("flag", Arc::new(rows.iter().map(|row| row.flag).collect::<BooleanArray>())),
        ("whole", Arc::new(rows.iter().map(|row| row.whole).collect::<Int64Array>())),
        ("re \"al", Arc::new(rows.iter().map(|row| row.real).collect::<Float64Array>())),
        (
            "text",
            Arc::new(rows.iter().map(|row| row.text.clone()).collect::<StringArray>()),
        ),
        ("tag", Arc::new(DictionaryArray::new(keys, values))),
        (
            "time",
            Arc::new(rows.iter().map(|row| row.time).collect::<TimestampNanosecondArray>()),
        ),
    ])
}

/// Whether two JSON values are equal. Floats are compared up to the accuracy of the parser.
fn same_json(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_json(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same_json(a, b)))
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= a.abs() * 1e-15
        }
        _ => a == b,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn text_formats_agree_with_those_of_arrow(rows in prop::collection::vec(row(), 1..30), cut in 0usize..30) {
        let whole = rows_batch(&rows);
        let cut = cut.min(rows.len());
        let parts: Vec<_> = [whole.slice(0, cut), whole.slice(cut, rows.len() - cut)]
            .into_iter()
            .filter(|part| part.num_rows() > 0)
            .collect();

        let mut arrow_json = arrow::json::ArrayWriter::new(Vec::new());
        arrow_json.write(&whole).unwrap();
        arrow_json.finish().unwrap();
        let expected: serde_json::Value = serde_json::from_slice(&arrow_json.into_inner()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&encode(Format::Json, &parts)).unwrap();
        prop_assert!(same_json(&json, &expected), "{}\n{}", json, expected);

        let mut arrow_csv = arrow::csv::Writer::new(Vec::new());
        arrow_csv.write(&whole).unwrap();
        let csv = String::from_utf8(encode(Format::Csv, &parts)).unwrap();
        prop_assert_eq!(csv, String::from_utf8(arrow_csv.into_inner()).unwrap());

        let table = arrow::util::pretty::pretty_format_batches(&parts).unwrap().to_string();
        prop_assert_eq!(String::from_utf8(encode(Format::Pretty, &parts)).unwrap(), table);
    }

    #[test]
    fn single_columns_agree_with_those_of_arrow(rows in prop::collection::vec(row(), 1..10), column in 0usize..6) {
        let batch = rows_batch(&rows).project(&[column]).unwrap();
        let mut arrow_csv = arrow::csv::Writer::new(Vec::new());
        arrow_csv.write(&batch).unwrap();
        prop_assert_eq!(text(Format::Csv, &batch), String::from_utf8(arrow_csv.into_inner()).unwrap());
        let table = arrow::util::pretty::pretty_format_batches(std::slice::from_ref(&batch)).unwrap().to_string();
        prop_assert_eq!(text(Format::Pretty, &batch), table);
    }
}
