//! The statuses of errors.

use neap_http::{ApiError, Kind, grpc_message};
use tonic::{Code, Status};

pub(super) fn status_of(error: &ApiError) -> Status {
    let kind: Kind = error.kind();
    let code = match kind {
        // By the specification of OTLP, clients do not retry it without `RetryInfo`.
        Kind::TooLarge => Code::ResourceExhausted,
        kind => Code::from(i32::from(kind.grpc_code())),
    };
    Status::new(code, grpc_message(kind, error.message()))
}
