//! The HTTP layer that all functions share: request parsing, authentication, error answers, metrics.
//!
//! ```text
//! connection ── with_common_layers ───────────────────── routes of the functions
//!   ▲             │  request id, span, counters            │  query strings   parse_query
//!   │             │  CORS preflight                        │  bodies          read_body
//!   │             │  unknown path, wrong method: 404       │  JSON bodies     read_json
//!   │             │  panic: 500                            ▼
//!   └─────────────┴──── cluster-uuid, request id ◄──── answer, or ApiError
//! ```
//!
//! | item | purpose |
//! |---|---|
//! | [`ApiError`] | an error answer in the form of its endpoint; [`Kind`] determines its status |
//! | [`read_body`], [`read_json`], [`parse_query`], [`read_query_or_json`] | parse requests, with limits and the error texts of InfluxDB 3 |
//! | [`named_database`] | the database that headers and parameters name |
//! | [`with_common_layers`] | adds the layers that all answers need around the merged routes |
//! | [`ENDPOINTS`] | all endpoints, who may call them, and the functions that serve them |
//! | [`health_routes`], [`metrics_routes`] | `/health`, `/ping`, `/metrics` |
//! | [`expects_v2_json`] | recognizes clients of InfluxDB 2 |
//! | [`MessageScanner`] | finds the messages of a gRPC body as they arrive |
//! | [`multipart_boundary`], [`multipart_parts`], [`PartHead`] | parse forms with files |
//! | [`GuardedBody`] | a body that holds a permit or a count until it ends |
//! | [`accept_connections`], [`serve_connections`] | accept and serve the connections of a port, in bounded number |
//! | [`ConnectionCounts`] | counts the connections of a port |
//! | [`PendingConnections`] | bounds the connections whose clients have not authenticated |
//! | [`Metrics`] | counters, gauges and histograms as Prometheus text |

mod accept;
mod auth;
mod body;
mod client_network;
mod cluster_id;
mod common_layers;
mod connection_counts;
mod database_names;
mod endpoints;
mod error;
mod error_conversion;
mod grpc;
mod grpc_messages;
mod guarded_body;
mod handler_call;
mod health;
mod iceberg_errors;
mod influxdb2_errors;
mod influxdb2_missing;
mod known_clients;
mod metrics;
mod multipart;
mod order_headers;
mod panic_log;
mod pending_connections;
mod request_deadline;
mod request_id;
mod request_parsing;
mod request_trace;
mod source_metrics;
mod stamp_header;
#[cfg(feature = "testing")]
pub mod testing;

pub use accept::{
    AcceptedConnection, ByteStream, ConnectionDrain, PortPlaces, TlsAcceptorSource,
    accept_connections, accept_stream, accept_tls, serve_connections,
};
pub use auth::{
    AccessControl, AuthSettings, Authenticator, Caller, ExemptEndpoint, PeerAddress,
    presented_token, refuse_web_pages,
};
pub use body::{BodyError, BodyLimits, expected_bytes, read_body};
pub use client_network::ClientNetwork;
pub use cluster_id::{CLUSTER_HEADER, ClusterId};
pub use common_layers::{ServiceContext, with_common_layers, with_traced_layers};
pub use connection_counts::ConnectionCounts;
pub use database_names::{DATABASE_HEADERS, named_database};
pub use endpoints::{ENDPOINTS, Endpoint, EndpointAccess, EndpointFunction};
pub use error::{ApiError, ErrorBody, Kind, NAME_IS_ALIAS, text_prefix};
pub use grpc::{MAX_GRPC_MESSAGE_BYTES, grpc_message};
pub use grpc_messages::{MessagePrefix, MessageScanner};
pub use guarded_body::GuardedBody;
pub use handler_call::{Call, ResourceCall};
pub use health::{COMPATIBLE_VERSION, PingAnswer, PingAnswerError, ServerInfo, health_routes};
pub use known_clients::expects_v2_json;
pub use metrics::{
    CounterFamily, HistogramFamily, LATENCY_BUCKETS, MetricKind, Metrics, SampleWriter,
    metrics_routes,
};
pub use multipart::{PartError, PartHead, multipart_boundary, multipart_parts};
pub use order_headers::{ORDER_HEADER, requested_order, requested_stamp};
pub use panic_log::log_panics;
pub use pending_connections::{PendingConnection, PendingConnections};
pub use request_deadline::RequestDeadline;
pub use request_id::RequestId;
pub use request_parsing::{last_parameter, parse_query, read_json, read_query_or_json};
pub use request_trace::RequestTracer;
pub use source_metrics::SourceMetrics;
pub use stamp_header::STAMP_HEADER;
