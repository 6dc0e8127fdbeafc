//! The HTTP layer that all functions share: request parsing, authentication, error answers, metrics.
//!
//! ```text
//! connection ── finish ──────────────────────────────── routes of the functions
//!   ▲             │  request id, span, counters            │  query strings   parse_query
//!   │             │  CORS preflight                        │  bodies          read_body
//!   │             │  unknown path, wrong method: 404       │  JSON bodies     read_json
//!   │             │  panic: 500                            ▼
//!   └─────────────┴──── cluster-uuid, request id ◄──── answer, or ApiError
//! ```
//!
//! | item | purpose |
//! |---|---|
//! | [`ApiError`] | an error answer in one of the four forms of InfluxDB 3; [`Kind`] determines its status |
//! | [`read_body`], [`read_json`], [`parse_query`] | parse requests, with limits and the error texts of InfluxDB 3 |
//! | [`finish`] | adds the layers that all answers need around the merged routes |
//! | [`health_routes`], [`metrics_routes`] | `/health`, `/ping`, `/metrics` |
//! | [`Metrics`] | counters, gauges and histograms as Prometheus text |

mod auth;
mod body;
mod client_network;
mod cluster;
mod convert;
mod error;
mod finish;
mod health;
mod metrics;
mod query;
mod request_id;
mod stamp;
mod time_limit;

pub use auth::{
    AccessControl, AuthSettings, Authenticator, Caller, ExemptEndpoint, PeerAddress,
    refuse_web_pages,
};
pub use body::{BodyError, BodyLimits, expected_bytes, read_body};
pub use client_network::ClientNetwork;
pub use cluster::ClusterId;
pub use error::{ApiError, ErrorBody, Kind};
pub use finish::{ServiceContext, finish};
pub use health::{COMPATIBLE_VERSION, ServerInfo, health_routes};
pub use metrics::{
    CounterFamily, HistogramFamily, LATENCY_BUCKETS, MetricKind, Metrics, SampleWriter,
    metrics_routes,
};
pub use query::{parse_query, read_json};
pub use request_id::RequestId;
pub use stamp::{ORDER_HEADER, STAMP_HEADER, requested_order, requested_stamp};
pub use time_limit::RequestDeadline;
