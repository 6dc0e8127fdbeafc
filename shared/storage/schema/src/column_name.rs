//! The rule for the names of columns, however a name enters.

/// The error of a column whose name contains NUL. Many programs end a text there, and so does PostgreSQL's protocol with the names of
/// columns. Other control characters are allowed, as in InfluxDB 3.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of the column '{}' contains a NUL character", .name.escape_debug())]
pub struct NulInColumnName {
    /// The name.
    pub name: String,
}

/// Checks the characters of the name of a new column.
///
/// # Errors
/// No column can have the name.
///
/// # Examples
///
/// ```
/// use neap_schema::validate_column_name;
///
/// assert_eq!(validate_column_name("living room"), Ok(()));
/// assert!(validate_column_name("a\0b").is_err());
/// ```
pub fn validate_column_name(name: &str) -> Result<(), NulInColumnName> {
    if name.contains('\0') {
        let name = name.to_owned();
        return Err(NulInColumnName { name });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_nul() {
        for name in ["a", "räume 1", "a\tb\n\u{1}", "#a"] {
            assert_eq!(validate_column_name(name), Ok(()), "{name:?}");
        }
        assert_eq!(
            validate_column_name("a\0").unwrap_err().to_string(),
            r"the name of the column 'a\0' contains a NUL character"
        );
    }
}
