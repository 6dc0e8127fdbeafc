//! OpenTelemetry metrics, logs and traces as writes.
//!
//! ```text
//! POST /v1/metrics, /v1/logs, /v1/traces     protobuf or JSON, gzip ──┐
//! gRPC: MetricsService, LogsService, TraceService                     ├─ walked item by item ── rows by table
//!                                                                     │       │ refused items
//!                                                                     ▼       ▼
//!                                    WriteService::write_rows ── Export…ServiceResponse, partial_success
//! ```
//!
//! A request is not decoded as a whole, because two bytes can announce a message of hundreds of bytes. Spans, log
//! records and data points are decoded and converted one at a time. An item that is malformed, or whose rows do not fit
//! their tables, is refused alone. Tables and columns are those of InfluxData's `influxdb-observability`, which Telegraf
//! and the OpenTelemetry Collector use.
//!
//! | item | description |
//! |---|---|
//! | [`router`] | the routes over HTTP |
//! | `grpc_router` | the routes over gRPC, with the feature `grpc` |
//!
//! Source: "OTLP Specification 1.9" and `opentelemetry-proto` 1.9.

mod encoding;
mod export;
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "grpc")]
mod grpc;
mod http_routes;
mod mapping;
mod messages;
mod rows;
mod target;
#[cfg(test)]
mod tests;

#[cfg(feature = "grpc")]
pub use grpc::grpc_router;
pub use http_routes::router;
