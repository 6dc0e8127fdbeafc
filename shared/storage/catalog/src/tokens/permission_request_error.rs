//! Errors of requested permissions.

use super::limits::{MAX_PERMISSION_NAMES, MAX_PERMISSIONS};

/// Why a permission is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum PermissionRequestError {
    /// It does not have three parts.
    #[error("invalid permission '{text}', expected RESOURCE_TYPE:RESOURCE_NAMES:ACTIONS")]
    Syntax {
        /// The permission.
        text: String,
    },
    #[error(
        "invalid resource type '{given}', expected one of db, system, token, user, audit, site, *"
    )]
    ResourceType { given: String },
    /// It has no resource name, or an empty one.
    #[error("no resource name provided")]
    NoName,
    /// It has a wildcard and a resource name. The message is that of InfluxDB 3.
    #[error("mixed wildcard (*) and resource name")]
    MixedNames,
    #[error("invalid resource name '{given}' for '{resource_type}', expected {expected}")]
    Name {
        resource_type: String,
        given: String,
        expected: String,
    },
    /// It has no action, or an empty one.
    #[error("no action provided")]
    NoAction,
    #[error("mixed wildcard (*) and action")]
    MixedActions,
    /// There are too many permissions or resource names.
    #[error(
        "a token has at most {MAX_PERMISSIONS} permissions with {MAX_PERMISSION_NAMES} resource names"
    )]
    TooMany,
    #[error("invalid action '{given}' for '{resource_type}', expected {expected}")]
    Action {
        resource_type: String,
        given: String,
        expected: String,
    },
}
