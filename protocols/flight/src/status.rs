//! Converts errors to statuses of gRPC, with the texts of InfluxDB 3.

use neap_http::{ApiError, Kind, MAX_GRPC_MESSAGE_BYTES, grpc_message, text_prefix};
use neap_query::{ClientQueryError, QueryError, QueryErrorKind};
use neap_sql_changes::ChangeError;
use tonic::{Code, Status};

/// Converts an error of the HTTP layer or of a function.
pub(crate) fn of_api(error: &ApiError) -> Status {
    status(error.kind(), error.message())
}

/// Converts the error of a statement of a client.
pub(crate) fn of_client_query(error: ClientQueryError) -> Status {
    match error {
        ClientQueryError::Query(error) => of_query(error),
        ClientQueryError::Request(error) => of_api(&error),
    }
}

/// Converts the error of a statement that changes something.
pub(crate) fn of_change(error: ChangeError) -> Status {
    match error {
        ChangeError::Query(error) => of_client_query(*error),
        other => of_api(&other.into()),
    }
}

/// Converts the error of a query.
pub(crate) fn of_query(error: QueryError) -> Status {
    match &error {
        QueryError::DatabaseNotFound(name) => {
            status(Kind::NotFound, &format!("database not found: {name}"))
        }
        QueryError::Planning(cause) => {
            let kind = match error.kind() {
                QueryErrorKind::NotImplemented => Kind::NotAllowed,
                // A statement that can't be planned is the client's mistake, as in InfluxDB 3.
                _ => Kind::Invalid,
            };
            status(kind, &format!("Error while planning query: {cause}"))
        }
        QueryError::Timeout(_) => status(Kind::RequestTimeout, &error.to_string()),
        _ if error.is_out_of_memory() => status(Kind::Limit, &error.to_string()),
        _ => of_api(&error.into()),
    }
}

/// Cuts the message of a status, because clients limit the size of headers.
pub(crate) fn cut(error: Status) -> Status {
    let message = text_prefix(error.message(), MAX_GRPC_MESSAGE_BYTES);
    if message.len() == error.message().len() {
        error
    } else {
        Status::new(error.code(), message)
    }
}

fn status(kind: Kind, message: &str) -> Status {
    let code = Code::from(i32::from(kind.grpc_code()));
    Status::new(code, grpc_message(kind, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_specification() {
        for (kind, code) in [
            (Kind::Invalid, Code::InvalidArgument),
            (Kind::RequestTimeout, Code::DeadlineExceeded),
            (Kind::NotFound, Code::NotFound),
            (Kind::Conflict, Code::AlreadyExists),
            (Kind::Forbidden, Code::PermissionDenied),
            (Kind::Limit, Code::ResourceExhausted),
            (Kind::Gone, Code::FailedPrecondition),
            (Kind::NotAllowed, Code::Unimplemented),
            (Kind::Internal, Code::Internal),
            (Kind::Unavailable, Code::Unavailable),
            (Kind::Corrupt, Code::DataLoss),
            (Kind::Unauthenticated, Code::Unauthenticated),
        ] {
            assert_eq!(status(kind, "").code(), code, "{kind:?}");
        }
    }

    #[test]
    fn messages_have_at_most_two_thousand_bytes() {
        let status = status(Kind::Internal, &"ü".repeat(1_500));
        assert_eq!(status.message().len(), 2_000);
    }

    #[test]
    fn a_missing_database_has_the_text_of_influxdb() {
        let status = of_query(QueryError::DatabaseNotFound("d".to_owned()));
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "database not found: d");
    }
}
