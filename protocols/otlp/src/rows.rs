//! Converts requests to rows, as `influxdb-observability` of InfluxData does.
//!
//! | data | table | tags | fields |
//! |---|---|---|---|
//! | data points | name of the metric, or `prometheus` | attributes of the point, the scope and the resource | values |
//! | spans | `spans` | ids, dimensions | other properties, other attributes as JSON |
//! | events of spans | `logs` | ids of the span | name, attributes as JSON |
//! | links of spans | `span-links` | ids of both spans | attributes as JSON |
//! | log records | `logs` | ids of the span, dimensions | severity, body, other attributes as JSON |

mod collector;
mod distinct_times;
mod ids;
mod item_error;
mod item_source;
mod logs;
mod metric_tags;
mod metrics;
mod number;
mod point_source;
mod prometheus_v1;
mod prometheus_v2;
mod request;
mod spans;

pub(crate) use collector::{CollectedRows, RowCollector, RowRole};
pub(crate) use item_error::ItemError;
pub(crate) use request::{Signal, collect_rows};
