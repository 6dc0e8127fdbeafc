//! Tests of the crate as a whole.

mod encodings;
mod fuzz;
#[cfg(feature = "grpc")]
mod grpc;
mod http;
mod logs;
mod malformed;
mod metrics_v1;
mod metrics_v2;
mod spans;
mod test_bed;

use arrow_array::{
    Array, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt64Array, cast::AsArray, types::Int32Type,
};
use neap_rows::line_protocol::{Options, ParsedBody, Precision, RowSource, SchemaView, TableView};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
};
use prost::Message;

use crate::{
    encoding::{Encoding, Node},
    mapping::MappingOptions,
    rows::{CollectedRows, RowCollector, Signal, collect_rows},
};

const START: u64 = 1_395_066_363_000_000_001;
const TIME: u64 = 1_395_066_363_000_000_123;

/// The time of the arrival of requests.
const ARRIVAL_NS: i64 = 1_700_000_000_000_000_000;

/// A database without tables.
#[derive(Debug)]
struct EmptyDatabase;

impl SchemaView for EmptyDatabase {
    fn table(&self, _: &str) -> Option<std::sync::Arc<TableView>> {
        None
    }
}

/// The rows of a request as lines, and the text about what is not stored.
#[derive(Debug, Default, PartialEq)]
struct Converted {
    lines: Vec<String>,
    rejected: usize,
    message: String,
}

fn try_convert(
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
    mapping: &MappingOptions,
) -> Result<Converted, String> {
    let mut rows = RowCollector::new(signal.item_noun(), 64 << 20);
    let collected = Node::of_body(encoding, body)
        .and_then(|request| collect_rows(signal, request, mapping, ARRIVAL_NS, &mut rows));
    collected.map_err(|error| error.to_string())?;
    let CollectedRows { groups, mut refused } = rows.finish().unwrap();
    let options = Options::with_precision(Precision::Nanosecond);
    let mut lines = Vec::new();
    for (index, rows) in groups.iter().enumerate() {
        let parsed = rows.validate(&EmptyDatabase, &options).unwrap();
        refused.add_rows(index, &parsed.errors, parsed.lines - parsed.rows);
        lines.extend(stored_lines(&parsed));
    }
    Ok(Converted {
        lines,
        rejected: refused.count(),
        message: refused.message().unwrap_or_default(),
    })
}

/// Converts a request of the crate `opentelemetry-proto`, which is another implementation of the messages.
fn convert(signal: Signal, request: &impl Message, mapping: &MappingOptions) -> Converted {
    let body = request.encode_to_vec();
    try_convert(signal, Encoding::Protobuf, &body, mapping).unwrap()
}

/// Returns the rows as lines with sorted columns.
fn stored_lines(parsed: &ParsedBody) -> Vec<String> {
    let lines = parsed.tables.iter().flat_map(|table| {
        let rows = 0..table.batch.num_rows();
        rows.map(|row| format!("{}{}", table.name, columns(&table.batch, row)))
    });
    lines.collect()
}

fn columns(batch: &RecordBatch, row: usize) -> String {
    let (mut tags, mut fields, mut time) = (Vec::new(), Vec::new(), 0);
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if column.is_null(row) {
            continue;
        }
        let (name, any) = (field.name(), column.as_any());
        if let Some(times) = any.downcast_ref::<TimestampNanosecondArray>() {
            time = times.value(row);
        } else if let Some(values) = column.as_dictionary_opt::<Int32Type>() {
            let key = values.key(row).unwrap();
            let text = values.values().as_string::<i32>().value(key);
            tags.push(format!(",{name}={text}"));
        } else if let Some(values) = any.downcast_ref::<Float64Array>() {
            fields.push(format!("{name}={:?}", values.value(row)));
        } else if let Some(values) = any.downcast_ref::<Int64Array>() {
            fields.push(format!("{name}={}i", values.value(row)));
        } else if let Some(values) = any.downcast_ref::<UInt64Array>() {
            fields.push(format!("{name}={}u", values.value(row)));
        } else if let Some(values) = any.downcast_ref::<BooleanArray>() {
            fields.push(format!("{name}={}", values.value(row)));
        } else if let Some(values) = any.downcast_ref::<StringArray>() {
            fields.push(format!("{name}={:?}", values.value(row)));
        } else {
            panic!("{:?}", column.data_type());
        }
    }
    tags.sort();
    fields.sort();
    format!("{} {} {time}", tags.concat(), fields.join(","))
}

fn value(value: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn attribute(key: &str, of: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: value(of), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn resource(attributes: Vec<KeyValue>) -> Option<Resource> {
    Some(Resource { attributes, ..Resource::default() })
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "My Library".to_owned(),
        version: "latest".to_owned(),
        ..InstrumentationScope::default()
    })
}
