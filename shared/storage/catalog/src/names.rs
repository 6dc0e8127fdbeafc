//! The names of databases, with the rules and messages of InfluxDB 3 (`validate_db_name`).

use std::time::Duration;

use neap_schema::DatabaseId;

/// The internal database of a server. It always exists, and is in no catalog.
pub const INTERNAL_DATABASE: &str = "_internal";

/// The id of [`INTERNAL_DATABASE`], reserved for it.
pub const INTERNAL_DATABASE_ID: DatabaseId = DatabaseId::new(0);

/// The retention that [`INTERNAL_DATABASE`] reports, as in InfluxDB 3: 7 days.
pub const INTERNAL_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Maximum bytes of the name of a database.
pub const MAX_DATABASE_NAME_BYTES: usize = 511;

/// Why the name of a database is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseNameError {
    /// The name is empty.
    #[error("db name cannot be empty")]
    Empty,
    /// The name is longer than [`MAX_DATABASE_NAME_BYTES`].
    #[error("db name too long: max {MAX_DATABASE_NAME_BYTES}")]
    TooLong,
    /// The name does not start with an ASCII letter or digit.
    #[error("db name did not start with a number or letter")]
    Start,
    /// The name contains a character other than ASCII letters, digits, `_`, `-` and one `/`.
    #[error(
        "invalid character in database or rp name: must be ASCII, containing only letters, numbers, underscores, or hyphens"
    )]
    Character,
    /// The name has more than one `/`, or ends with `/`.
    #[error(
        "db name with invalid retention policy, if providing a retention policy name, must be of form '<db_name>/<rp_name>'"
    )]
    RetentionPolicy,
}

/// Validates the name of a database: `name`, or `name/rp` as InfluxDB 1 clients form it with a retention policy.
///
/// # Examples
///
/// ```
/// use neap_catalog::{DatabaseNameError, validate_database_name};
///
/// assert_eq!(validate_database_name("sensors"), Ok(()));
/// assert_eq!(validate_database_name("sensors/autogen"), Ok(()));
/// assert_eq!(validate_database_name("_sensors"), Err(DatabaseNameError::Start));
/// ```
pub fn validate_database_name(name: &str) -> Result<(), DatabaseNameError> {
    let Some(first) = name.chars().next() else {
        return Err(DatabaseNameError::Empty);
    };
    if name.len() > MAX_DATABASE_NAME_BYTES {
        return Err(DatabaseNameError::TooLong);
    }
    if !first.is_ascii() {
        return Err(DatabaseNameError::Character);
    }
    if !first.is_ascii_alphanumeric() {
        return Err(DatabaseNameError::Start);
    }
    let mut separated = false;
    for char in name.chars().skip(1) {
        match char {
            '/' if separated => return Err(DatabaseNameError::RetentionPolicy),
            '/' => separated = true,
            '_' | '-' => {}
            char if char.is_ascii_alphanumeric() => {}
            _ => return Err(DatabaseNameError::Character),
        }
    }
    if name.ends_with('/') {
        return Err(DatabaseNameError::RetentionPolicy);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_validation_matches_influxdb() {
        let long = "a".repeat(MAX_DATABASE_NAME_BYTES);
        for good in ["a", "0", "a-b_c9", "db/rp", "db/_x", long.as_str()] {
            assert_eq!(validate_database_name(good), Ok(()), "{good}");
        }
        let too_long = "a".repeat(MAX_DATABASE_NAME_BYTES + 1);
        for (bad, error) in [
            ("", DatabaseNameError::Empty),
            (too_long.as_str(), DatabaseNameError::TooLong),
            ("_internal", DatabaseNameError::Start),
            ("/a", DatabaseNameError::Start),
            ("é", DatabaseNameError::Character),
            ("a b", DatabaseNameError::Character),
            ("aé", DatabaseNameError::Character),
            ("a/b/c", DatabaseNameError::RetentionPolicy),
            ("a/", DatabaseNameError::RetentionPolicy),
        ] {
            assert_eq!(validate_database_name(bad), Err(error), "{bad}");
        }
        assert_eq!(DatabaseNameError::TooLong.to_string(), "db name too long: max 511");
    }
}
