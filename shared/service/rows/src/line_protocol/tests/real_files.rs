//! Compares the parser with that of InfluxDB 3 on real line protocol.

use std::collections::BTreeMap;

use influxdb_line_protocol::{FieldValue, ParsedLine, parse_lines};

use super::{
    points::{Field, Point},
    *,
};
use crate::line_protocol::Precision;

#[test]
fn real_files_are_read_as_influxdb_reads_them() {
    for name in ["bay-area-weather", "eu-wind-data", "home-sensor-data", "telegraf-metrics"] {
        let Some(bytes) = read_bytes_outside(&format!("data/{name}.lp")) else {
            return;
        };
        let options = Options::with_precision(Precision::Nanosecond);
        let parsed = parse(&bytes, &TestDatabase::default(), &options).unwrap();
        assert_eq!(messages(&parsed), [], "{name}");
        let mut expected: HashMap<String, Vec<Point>> = HashMap::new();
        for line in parse_lines(std::str::from_utf8(&bytes).unwrap()) {
            let point = point(&line.unwrap());
            expected.entry(point.table.clone()).or_default().push(point);
        }
        assert_eq!(parsed.rows, expected.values().map(Vec::len).sum::<usize>());
        assert_eq!(points_by_table(&parsed), expected, "{name}");
    }
}

fn point(line: &ParsedLine<'_>) -> Point {
    let tags: BTreeMap<_, _> = line
        .series
        .tag_set
        .iter()
        .flatten()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    let field = |value: &FieldValue<'_>| match value {
        FieldValue::F64(value) => Field::Float(*value),
        FieldValue::I64(value) => Field::Integer(*value),
        FieldValue::U64(value) => Field::UInteger(*value),
        FieldValue::String(value) => Field::String(value.to_string()),
        FieldValue::Boolean(value) => Field::Boolean(*value),
    };
    Point {
        table: line.series.measurement.to_string(),
        tags,
        fields: line
            .field_set
            .iter()
            .map(|(key, value)| (key.to_string(), field(value)))
            .collect(),
        time: line.timestamp.unwrap(),
    }
}
