//! Converts errors of the shared crates to answers.

use std::time::Duration;

use neap_bucket::{RegisterError, StoreError};
use neap_catalog::CatalogError;
use neap_identity::IdentityError;

use crate::{ApiError, Kind, NAME_IS_ALIAS};

/// The time that a client waits before it repeats a request that the store did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

fn retry(kind: Kind, message: String) -> ApiError {
    ApiError::text(kind, message).retry_after(Some(RETRY_AFTER))
}

impl From<StoreError> for ApiError {
    /// A refusal by the store is also answered as unavailable, because its cause is the server's permissions or disk,
    /// and the request is valid once that is repaired.
    fn from(error: StoreError) -> Self {
        retry(Kind::Unavailable, error.to_string())
    }
}

impl From<RegisterError> for ApiError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Store(error) => error.into(),
            RegisterError::Format(error) => Self::text(Kind::Corrupt, error.to_string()),
            RegisterError::Missing(error) => Self::text(Kind::Corrupt, error.to_string()),
        }
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        let message = error.to_string();
        match error {
            CatalogError::InvalidName(_) | CatalogError::SoftDeleted { .. } => {
                Self::json(Kind::Invalid, message)
            }
            CatalogError::EmptyName { .. }
            | CatalogError::InvalidTableName(_)
            | CatalogError::InvalidColumnName(_)
            | CatalogError::ReservedColumn { .. }
            | CatalogError::DuplicateColumn { .. }
            | CatalogError::FixedColumn { .. }
            | CatalogError::TypeConflict { .. }
            | CatalogError::CreationRefused(_)
            | CatalogError::InvalidCache { .. }
            | CatalogError::InvalidFileIndex { .. }
            | CatalogError::InvalidTrigger { .. }
            | CatalogError::InvalidRules { .. }
            | CatalogError::InvalidView { .. }
            | CatalogError::InvalidPlugin { .. }
            | CatalogError::InvalidQueryGroup { .. }
            | CatalogError::InvalidColdStorage { .. }
            | CatalogError::InvalidFormatLevel { .. }
            | CatalogError::InvalidRename { .. }
            | CatalogError::LastCacheKeyType
            | CatalogError::DistinctCacheColumnType
            | CatalogError::TokenNameTooLong
            | CatalogError::InvalidUser { .. }
            | CatalogError::Permission(_) => Self::text(Kind::Invalid, message),
            CatalogError::NotFound { .. }
            | CatalogError::NoSuchTable { .. }
            | CatalogError::NoSuchColumn { .. } => Self::text(Kind::NotFound, message),
            CatalogError::NameIsAlias { .. } => {
                Self::with_code(Kind::Conflict, message, NAME_IS_ALIAS)
            }
            CatalogError::AlreadyExists { .. }
            | CatalogError::AliasInUse { .. }
            | CatalogError::ColumnInUse { .. }
            | CatalogError::AlreadyDeleted { .. }
            | CatalogError::TokenExists { .. }
            | CatalogError::UserExists { .. }
            | CatalogError::RoleExists { .. }
            | CatalogError::Purged { .. }
            | CatalogError::PluginChanged { .. }
            | CatalogError::HasTables
            | CatalogError::Ambiguous { .. } => Self::text(Kind::Conflict, message),
            CatalogError::Limit(_)
            | CatalogError::TooManyTokens
            | CatalogError::NoMoreIds { .. } => Self::json(Kind::Limit, message),
            CatalogError::OperatorToken | CatalogError::BuiltInRole => {
                Self::text(Kind::NotAllowed, message)
            }
            // Same status as in InfluxDB 3.
            CatalogError::TriggerEnabled { .. } => Self::text(Kind::Internal, message),
            CatalogError::Revoked => Self::refusal(Kind::Unauthenticated, message),
            CatalogError::Forbidden | CatalogError::AppendRefused => {
                Self::refusal(Kind::Forbidden, message)
            }
            CatalogError::Store(error) => error.into(),
            CatalogError::OtherFormatLevel { .. }
            | CatalogError::OtherTail { .. }
            | CatalogError::NoStoreTime => retry(Kind::Unavailable, message),
            CatalogError::Unknown { .. } => retry(Kind::Unknown, message),
            CatalogError::Format(_) | CatalogError::Missing(_) => {
                Self::text(Kind::Corrupt, message)
            }
        }
    }
}

impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        let message = error.to_string();
        match error {
            IdentityError::WrongCredentials | IdentityError::Replayed => {
                Self::refusal(Kind::Unauthenticated, message)
            }
            IdentityError::ResetRequired => Self::refusal(Kind::Forbidden, message),
            IdentityError::PasswordLength | IdentityError::SamePassword => {
                Self::text(Kind::Invalid, message)
            }
            IdentityError::Throttled { wait } => {
                Self::json(Kind::TooManyRequests, message).retry_after(Some(wait))
            }
            IdentityError::NotEnabled { .. } => Self::text(Kind::NotAllowed, message),
            IdentityError::Busy | IdentityError::Provider { .. } => {
                retry(Kind::Unavailable, message)
            }
            IdentityError::Cryptography { .. } => Self::text(Kind::Internal, message),
            IdentityError::Catalog(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use neap_bucket::Operation;
    use neap_catalog::LimitError;

    use super::*;

    #[test]
    fn an_unanswered_store_request_can_be_retried() {
        let (operation, key, reason) = (Operation::Put, "catalog".to_owned(), "x".to_owned());
        let error = StoreError::Unavailable { operation, key, reason };
        let unknown = CatalogError::Unknown { reason: String::new() };
        for error in [
            ApiError::from(CatalogError::from(RegisterError::from(error.clone()))),
            ApiError::from(RegisterError::from(error)),
            ApiError::from(unknown),
        ] {
            let response = error.into_response();
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()["retry-after"], "1");
        }
    }

    #[test]
    fn errors_of_the_catalog_have_the_statuses_of_influxdb() {
        let name = || "x".to_owned();
        for (error, status) in [
            (CatalogError::NotFound { name: name() }, 404),
            (CatalogError::AlreadyExists { name: name() }, 409),
            (CatalogError::AlreadyDeleted { name: name() }, 409),
            (CatalogError::SoftDeleted { name: name() }, 400),
            (CatalogError::ReservedColumn { column: name() }, 400),
            (LimitError::Databases { limit: 5 }.into(), 422),
        ] {
            assert_eq!(ApiError::from(error).kind().status().as_u16(), status);
        }
    }
}
