//! Requests of OpenTelemetry.

use neap_otlp::fuzzing::{RequestEncoding, convert_body};

/// Metrics, logs and traces in protobuf: each item is stored or refused.
pub(crate) fn protobuf(input: &[u8]) {
    convert_body(RequestEncoding::Protobuf, input);
}

/// The same in JSON.
pub(crate) fn json(input: &[u8]) {
    convert_body(RequestEncoding::Json, input);
}
