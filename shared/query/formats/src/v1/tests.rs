//! All formats encode the same values, whatever the rows are.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
        StringArray, TimestampNanosecondArray, UInt64Array,
    },
    datatypes::{Int32Type, Schema},
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};

use crate::series::{GroupKey, GroupTag, SeriesLayout};

use super::{EncodingOptions, SeriesWriter, V1Format};

/// One piece, with times as text.
const WHOLE: EncodingOptions = EncodingOptions { epoch: None, pretty: false, chunk_rows: None };

type SeriesRow = (
    String,
    Option<String>,
    i64,
    Option<f64>,
    Option<u64>,
    Option<bool>,
    Option<String>,
);

fn rows() -> impl Strategy<Value = Vec<SeriesRow>> {
    // Few digits, because serde_json does not read all floats back to the last bit.
    let float = any::<i32>().prop_map(|number| f64::from(number) / 8.0);
    let text = "[a\"\\\\,\né]{0,40}";
    let row = (
        select(vec!["m".to_owned(), "n,\"".to_owned()]),
        option::of(select(vec!["".to_owned(), "a".to_owned(), "b=c".to_owned()])),
        any::<i64>(),
        option::of(float),
        option::of(any::<u64>()),
        option::of(any::<bool>()),
        option::of(text),
    );
    vec(row, 0..40).prop_map(|mut rows| {
        rows.sort_by(|one, other| {
            let key = |row: &SeriesRow| (row.0.clone(), row.1.clone().unwrap_or_default());
            key(one).cmp(&key(other))
        });
        rows
    })
}

fn batch(rows: &[SeriesRow]) -> RecordBatch {
    let column = |name: &'static str, values: ArrayRef| (name, values, true);
    RecordBatch::try_from_iter_with_nullable([
        column(
            "iox::measurement",
            Arc::new(rows.iter().map(|row| Some(&row.0)).collect::<StringArray>()),
        ),
        column(
            "time",
            Arc::new(TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.2))),
        ),
        column(
            "tag",
            Arc::new(rows.iter().map(|row| row.1.as_deref()).collect::<StringArray>()),
        ),
        column("f", Arc::new(rows.iter().map(|row| row.3).collect::<Float64Array>())),
        column("u", Arc::new(rows.iter().map(|row| row.4).collect::<UInt64Array>())),
        column("b", Arc::new(rows.iter().map(|row| row.5).collect::<BooleanArray>())),
        column("s", Arc::new(rows.iter().map(|row| row.6.as_deref()).collect::<StringArray>())),
        column(
            "d",
            Arc::new(
                rows.iter().map(|row| row.6.as_deref()).collect::<DictionaryArray<Int32Type>>(),
            ),
        ),
    ])
    .unwrap()
}

fn by_tag() -> SeriesLayout {
    SeriesLayout::Columns(GroupKey {
        measurement_column_index: 0,
        tag_key_columns: vec![GroupTag {
            tag_key: "tag".to_owned(),
            column_index: 2,
            is_projected: false,
        }],
        ranked_tags: Vec::new(),
    })
}

/// Encodes the answer of one statement, with `batch_rows` rows per batch. If the number is even, batches share their
/// dictionary.
fn written(
    format: V1Format,
    options: EncodingOptions,
    rows: &[SeriesRow],
    batch_rows: usize,
) -> Vec<u8> {
    let mut encoder = format.encoder(&options);
    let whole = batch(rows);
    let schema: &Schema = whole.schema_ref();
    let mut series_writer = SeriesWriter::new(schema, &by_tag());
    let mut out = Vec::new();
    encoder.begin(0, series_writer.columns(), &mut out);
    for from in (0..rows.len()).step_by(batch_rows) {
        let count = batch_rows.min(rows.len() - from);
        let batch = if batch_rows.is_multiple_of(2) {
            whole.slice(from, count)
        } else {
            batch(&rows[from..from + count])
        };
        series_writer.write(&batch, encoder.as_mut(), &mut out).unwrap();
    }
    encoder.end(None, &mut out);
    encoder.finish(&mut out);
    out
}

fn json_of(options: EncodingOptions, rows: &[SeriesRow], batch_rows: usize) -> Value {
    let out = written(V1Format::Json, options, rows, batch_rows);
    serde_json::from_slice(&out)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)))
}

/// Joins the chunks. Asserts that all but the last one are marked partial, and so are all but the last of each series.
fn joined(
    options: EncodingOptions,
    rows: &[SeriesRow],
    batch_rows: usize,
    chunk_rows: usize,
) -> Value {
    let out = String::from_utf8(written(V1Format::Json, options, rows, batch_rows)).unwrap();
    let chunks: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut all: Vec<Value> = Vec::new();
    let mut goes_on = false;
    for (index, chunk) in chunks.iter().enumerate() {
        let result = &chunk["results"][0];
        let is_last = index + 1 == chunks.len();
        assert_eq!(result.get("partial").is_some(), !is_last);
        let Some(series) = result.get("series").and_then(|series| series.get(0)) else {
            assert_eq!(chunks.len(), 1);
            break;
        };
        let mut series = series.clone();
        let partial = series.as_object_mut().unwrap().remove("partial").is_some();
        let values = series["values"].as_array().unwrap().clone();
        assert!(values.len() == chunk_rows || !partial && values.len() < chunk_rows);
        if goes_on {
            all.last_mut().unwrap()["values"].as_array_mut().unwrap().extend(values);
        } else {
            all.push(series);
        }
        goes_on = partial;
    }
    assert!(!goes_on);
    if all.is_empty() {
        json!({"results": [{"statement_id": 0}]})
    } else {
        json!({"results": [{"statement_id": 0, "series": all}]})
    }
}

/// Decodes a MessagePack value and returns it with the remaining bytes.
fn unpacked(bytes: &[u8]) -> (Value, &[u8]) {
    let number =
        |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let (first, rest) = bytes.split_first().unwrap();
    let sized = |width: usize| (usize::try_from(number(&rest[..width])).unwrap(), &rest[width..]);
    let text = |(length, rest): (usize, _)| -> (Value, &[u8]) {
        let rest: &[u8] = rest;
        (json!(std::str::from_utf8(&rest[..length]).unwrap()), &rest[length..])
    };
    let list = |(length, mut rest): (usize, &'_ [u8])| -> (Value, usize) {
        let mut values = Vec::new();
        for _ in 0..length {
            let (value, left) = unpacked(rest);
            values.push(value);
            rest = left;
        }
        (Value::Array(values), rest.len())
    };
    let ending = |(value, left): (Value, usize)| (value, &bytes[bytes.len() - left..]);
    match *first {
        byte @ 0x00..=0x7f => (json!(byte), rest),
        byte @ 0x80..=0x8f => {
            let (values, left) = list((2 * usize::from(byte & 15), rest));
            let values = values.as_array().unwrap().chunks(2);
            let members =
                values.map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].clone()));
            (json!(members.collect::<HashMap<_, _>>()), &bytes[bytes.len() - left..])
        }
        byte @ 0x90..=0x9f => ending(list((usize::from(byte & 15), rest))),
        byte @ 0xa0..=0xbf => text((usize::from(byte & 31), rest)),
        0xc0 => (Value::Null, rest),
        0xc2 => (json!(false), rest),
        0xc3 => (json!(true), rest),
        0xcb => (json!(f64::from_bits(number(&rest[..8]))), &rest[8..]),
        0xcf => (json!(number(&rest[..8])), &rest[8..]),
        0xd3 => (json!(number(&rest[..8]).cast_signed()), &rest[8..]),
        0xd9 => text(sized(1)),
        0xda => text(sized(2)),
        0xdd => ending(list(sized(4))),
        other => panic!("{other:x}"),
    }
}

/// Converts all numbers to floats, because JSON writes whole ones without a point.
fn as_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().map(|number| number + 0.0)),
        Value::Array(values) => values.iter().map(as_floats).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), as_floats(value))).collect()
        }
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn all_formats_encode_the_same_values(rows in rows(), batch_rows in 1..10_usize, chunk_rows in 1..5_usize) {
        let whole = json_of(WHOLE, &rows, rows.len().max(1));
        prop_assert_eq!(&json_of(WHOLE, &rows, batch_rows), &whole);
        let pretty = EncodingOptions { pretty: true, ..WHOLE };
        prop_assert_eq!(&json_of(pretty, &rows, batch_rows), &whole);
        let chunked = EncodingOptions { chunk_rows: Some(chunk_rows), ..WHOLE };
        prop_assert_eq!(&joined(chunked, &rows, batch_rows, chunk_rows), &whole);
        let packed = written(V1Format::MessagePack, WHOLE, &rows, batch_rows);
        let (unpacked, rest) = unpacked(&packed);
        prop_assert!(rest.is_empty());
        prop_assert_eq!(as_floats(&unpacked), as_floats(&whole));
        let series = whole["results"][0]["series"].as_array().cloned().unwrap_or_default();
        let values = series.iter().flat_map(|series| series["values"].as_array().unwrap());
        let texts = values.map(|row| (row[4].as_str(), row[5].as_str()));
        let expected = rows.iter().map(|row| (row.6.as_deref(), row.6.as_deref()));
        prop_assert_eq!(texts.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}

#[test]
fn values_that_json_does_not_know_are_null_or_an_error() {
    let row =
        |float: f64| -> SeriesRow { ("m".to_owned(), None, 0, Some(float), None, None, None) };
    let value = &json_of(WHOLE, &[row(f64::NAN)], 1)["results"][0]["series"][0]["values"][0][1];
    assert_eq!(*value, Value::Null);
    let batch = batch(&[row(1.0), row(f64::NEG_INFINITY)]);
    let mut encoder = V1Format::Json.encoder(&WHOLE);
    let mut series_writer = SeriesWriter::new(batch.schema_ref(), &by_tag());
    let mut out = Vec::new();
    encoder.begin(0, series_writer.columns(), &mut out);
    let error = series_writer.write(&batch, encoder.as_mut(), &mut out).unwrap_err();
    encoder.end(Some(&error.to_string()), &mut out);
    encoder.finish(&mut out);
    insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"{"results":[{"statement_id":0,"series":[{"name":"m","tags":{"tag":""},"columns":["time","f","u","b","s","d"],"values":[["1970-01-01T00:00:00Z",1,null,null,null,null]]}],"error":"json: unsupported value: -Inf"}]}"#);
}

#[test]
fn null_values_of_a_dictionary_are_nulls() {
    let values = StringArray::from(vec![None, Some("a")]);
    let keys = Int32Array::from(vec![Some(1), Some(0), None]);
    let tags = DictionaryArray::<Int32Type>::new(keys, Arc::new(values));
    let batch = RecordBatch::try_from_iter([("d", Arc::new(tags) as ArrayRef)]).unwrap();
    let written = |format: V1Format| {
        let mut encoder = format.encoder(&WHOLE);
        let mut series_writer = SeriesWriter::new(batch.schema_ref(), &SeriesLayout::Single(None));
        let mut out = Vec::new();
        encoder.begin(0, series_writer.columns(), &mut out);
        let encoder = encoder.as_mut();
        series_writer.write(&batch, encoder, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert!(written(V1Format::Json).ends_with(r#"[["a"],[null],[null]"#));
    assert!(written(V1Format::Csv).ends_with(",,a\n,,\n,,\n"));
}

#[test]
fn the_first_supported_format_is_chosen() {
    let accepted = V1Format::accepted;
    assert_eq!(accepted(None), Some(V1Format::Json));
    assert_eq!(accepted(Some("text/html, application/csv;q=0.9, */*")), Some(V1Format::Csv));
    assert_eq!(accepted(Some("application/x-msgpack")), Some(V1Format::MessagePack));
    assert_eq!(accepted(Some("application/xml")), None);
    let ints: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("n", ints)]).unwrap();
    assert_eq!(
        SeriesWriter::new(batch.schema_ref(), &SeriesLayout::Single(None)).columns(),
        ["n"]
    );
}
