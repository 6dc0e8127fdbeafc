//! The entry point of the fuzz targets (`tests/fuzz`): the conversion of bodies, without a server.

use std::sync::Arc;

use neap_rows::line_protocol::{Options, Precision, RowSource, SchemaView, TableView};

use crate::{
    encoding::{Encoding, Node},
    mapping::{MappingOptions, MetricSchema},
    rows::{CollectedRows, RowCollector, Signal, collect_rows},
};

/// Maximum memory of the rows of a body, in bytes.
const MAX_ROW_BYTES: usize = 16 << 20;

/// The time of the arrival of a body, in nanoseconds since the Unix epoch.
const ARRIVAL_NS: i64 = 1_700_000_000_000_000_000;

/// The encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEncoding {
    /// Protobuf.
    Protobuf,
    /// JSON.
    Json,
}

/// A database without tables.
#[derive(Debug)]
struct EmptyDatabase;

impl SchemaView for EmptyDatabase {
    fn table(&self, _name: &str) -> Option<Arc<TableView>> {
        None
    }
}

/// Converts a body to rows and validates them: as metrics with each schema, as logs, and as traces.
///
/// # Panics
/// The answer does not name the items that are refused.
pub fn convert_body(encoding: RequestEncoding, body: &[u8]) {
    let encoding = match encoding {
        RequestEncoding::Protobuf => Encoding::Protobuf,
        RequestEncoding::Json => Encoding::Json,
    };
    for metric_schema in [MetricSchema::PrometheusV1, MetricSchema::PrometheusV2] {
        let mapping = MappingOptions { metric_schema, ..MappingOptions::default() };
        convert(Signal::Metrics, encoding, body, &mapping);
    }
    convert(Signal::Logs, encoding, body, &MappingOptions::default());
    convert(Signal::Traces, encoding, body, &MappingOptions::default());
}

fn convert(signal: Signal, encoding: Encoding, body: &[u8], mapping: &MappingOptions) {
    let mut rows = RowCollector::new(signal.item_noun(), MAX_ROW_BYTES);
    let collected = Node::of_body(encoding, body)
        .and_then(|request| collect_rows(signal, request, mapping, ARRIVAL_NS, &mut rows));
    let Ok(CollectedRows { groups, mut refused }) =
        collected.map_err(|_| ()).and_then(|()| rows.finish().map_err(|_| ()))
    else {
        return;
    };
    let options = Options {
        precision: Precision::Nanosecond,
        max_cells: Some(100_000),
        ..Options::default()
    };
    for (index, rows) in groups.iter().enumerate() {
        let Ok(parsed) = rows.validate(&EmptyDatabase, &options) else {
            return;
        };
        refused.add_rows(index, &parsed.errors, parsed.lines - parsed.rows);
    }
    let message = refused.message().unwrap_or_default();
    // Reasons follow, with text of the request.
    let counts = message.split(" are not stored").next().unwrap_or_default();
    assert_eq!(refused.count() > 0, counts.contains(" of "));
}
