//! Converts failures of writes and deletes to the error forms of the endpoints.

use neap_catalog::CatalogError;
use neap_http::{ApiError, ErrorBody, Kind};
use neap_rows::line_protocol::{LineError, ParseError};
use neap_wal::{WriteError, WriteErrorKind};
use serde_json::{Value, json};

use super::partial_write;
use crate::{DeleteFailure, WriteFailure};

fn line(error: &LineError) -> Value {
    json!({
        "error_message": error.error_message,
        "line_number": error.line_number,
        "original_line": error.original_line,
    })
}

fn tail_kind(error: &WriteError) -> Kind {
    match error.kind() {
        WriteErrorKind::BadRequest => Kind::Invalid,
        WriteErrorKind::TooLarge => Kind::TooLarge,
        WriteErrorKind::Unavailable => match error {
            WriteError::NotAcknowledged { .. } => Kind::Unknown,
            _ => Kind::Unavailable,
        },
    }
}

/// Converts a failure for `/api/v3/write_lp`.
pub(super) fn of(failure: WriteFailure) -> ApiError {
    let (stamp, wait) = (failure.stamp(), failure.retry_after());
    let is_limit = failure.is_limit();
    let message = failure.to_string();
    let answer = match failure {
        WriteFailure::Catalog(error) => return error.into(),
        WriteFailure::Empty | WriteFailure::Parse(ParseError::NotUtf8(_)) => {
            ApiError::text(Kind::Invalid, message)
        }
        WriteFailure::Parse(ParseError::TooLarge { .. }) => ApiError::text(Kind::TooLarge, message),
        WriteFailure::TooManyAdditions { .. } => ApiError::json(Kind::TooLarge, message),
        WriteFailure::MissingTags(_) => ApiError::json(Kind::Invalid, message),
        WriteFailure::Parse(ParseError::Arrow(_)) | WriteFailure::Encode(_) => {
            ApiError::json(Kind::Internal, message)
        }
        WriteFailure::Rejected(error) => {
            ApiError::with_data(Kind::Invalid, "parsing failed for write_lp endpoint", line(&error))
        }
        WriteFailure::Partial { errors, .. } => ApiError::with_data(
            if is_limit { Kind::Limit } else { Kind::Invalid },
            "partial write of line protocol occurred",
            errors.iter().map(line).collect(),
        ),
        WriteFailure::Tail(error) => ApiError::json(tail_kind(&error), message),
        WriteFailure::Busy | WriteFailure::Contended => ApiError::json(Kind::Unavailable, message),
    };
    answer.with_stamp(stamp).retry_after(wait)
}

impl From<WriteFailure> for ApiError {
    /// Same error as of `/api/v3/write_lp`.
    fn from(failure: WriteFailure) -> Self {
        of(failure)
    }
}

impl From<DeleteFailure> for ApiError {
    /// Same error as of `/api/v3/delete_rows`.
    fn from(failure: DeleteFailure) -> Self {
        of_delete(failure)
    }
}

/// Converts a failure for `/api/v3/delete_rows`.
pub(crate) fn of_delete(failure: DeleteFailure) -> ApiError {
    let (stamp, wait) = (failure.stamp(), failure.retry_after());
    let message = failure.to_string();
    let kind = match failure {
        DeleteFailure::Write(failure) => return of(failure).with_body(ErrorBody::Json),
        DeleteFailure::NoDatabase(_) | DeleteFailure::NoTable(_) | DeleteFailure::TableGone(_) => {
            Kind::NotFound
        }
        DeleteFailure::Predicate(_)
        | DeleteFailure::TooComplex(_)
        | DeleteFailure::OtherTable(_)
        | DeleteFailure::Field { .. }
        | DeleteFailure::NoTag { .. }
        | DeleteFailure::NoTagAnywhere(_) => Kind::Invalid,
    };
    ApiError::json(kind, message).with_stamp(stamp).retry_after(wait)
}

/// Converts a failure for `/write`. If lines are refused and others stored, the message is that of InfluxDB 1, and the
/// data those of InfluxDB 3.
pub(super) fn of_v1(failure: WriteFailure) -> ApiError {
    match &failure {
        WriteFailure::Partial { errors, refused, .. } => ApiError::with_data(
            Kind::Invalid,
            partial_write::v1_message(errors, *refused),
            errors.iter().map(line).collect(),
        )
        .with_stamp(failure.stamp()),
        _ => of(failure),
    }
}

/// Converts a failure for `/api/v2/write`, which has no separate status for limits.
pub(super) fn of_v2(failure: WriteFailure) -> ApiError {
    let message = match &failure {
        WriteFailure::Partial { errors, refused, .. } => {
            partial_write::v2_message(errors, *refused)
        }
        WriteFailure::Empty | WriteFailure::Catalog(CatalogError::SoftDeleted { .. }) => {
            format!("write buffer error: {failure}")
        }
        WriteFailure::Rejected(error) => {
            format!("write buffer error: line protocol parse failed: {}", error.error_message)
        }
        _ => failure.to_string(),
    };
    let answer = of(failure);
    let kind = match answer.kind() {
        Kind::Limit => Kind::Invalid,
        kind => kind,
    };
    answer.into_v2(kind, message)
}
