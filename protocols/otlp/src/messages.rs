//! The messages of OTLP, as far as their content is stored.
//!
//! Each message can be decoded from protobuf and from JSON. Fields without a use are left out, and decoders skip them.
//! Messages that contain others in large numbers are walked by [`crate::encoding`] instead, so that a request is never
//! in memory as a whole.

mod any_value;
mod attribute_map;
mod common;
mod json;
mod logs;
mod metrics;
mod plain_json;
mod response;
mod trace;

pub(crate) use any_value::{AnyValue, KeyValue};
pub(crate) use attribute_map::{AttributeMap, SharedAttributes};
pub(crate) use common::{Resource, Scope};
pub(crate) use logs::LogRecord;
pub(crate) use metrics::{
    CUMULATIVE, Exemplar, ExponentialBuckets, ExponentialPoint, HistogramPoint, MetricHeader,
    NO_RECORDED_VALUE, NumberPoint, SumHeader, SummaryPoint,
};
pub(crate) use response::{BadRequest, ExportResponse, PartialSuccess, RpcStatus};
pub(crate) use trace::{Event, Link, Span};
