//! The messages of OTLP, as far as their content is stored.
//!
//! Each message can be decoded from protobuf and from JSON. Fields without a use are left out, and decoders skip them.
//! Messages that contain others in large numbers are walked by [`crate::encoding`] instead, so that a request is never
//! in memory as a whole.

/// Defines messages. A line has the name, the type and the protobuf field, and the function of `json` that reads it from JSON.
macro_rules! messages {
    ($(
        $(#[$doc:meta])*
        $message:ident {
            $($(#[$field_doc:meta])* $field:ident: $type:ty = ($($protobuf:tt)*) $(, $reader:tt)?;)*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, prost::Message, serde::Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(crate) struct $message {
            $(
                $(#[$field_doc])*
                #[prost($($protobuf)*)]
                $(#[serde(deserialize_with = $reader)])?
                pub(crate) $field: $type,
            )*
        }
    )*};
}

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
