//! The rule for the names of tables, however a name enters.

/// Maximum bytes of the name of a table, as in line protocol.
pub const MAX_TABLE_NAME_BYTES: usize = 1 << 20;

/// Why a table can't have a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableNameError {
    /// The name is empty.
    #[error("table name cannot be empty")]
    Empty,
    /// The name is longer than [`MAX_TABLE_NAME_BYTES`].
    #[error("table name too long: max {MAX_TABLE_NAME_BYTES}")]
    TooLong,
    /// The name contains NUL, at which many programs end a text.
    #[error("the name of the table '{}' contains a NUL character", .0.escape_debug())]
    Nul(String),
    /// Line protocol can't start with the name: it would be a comment, a blank, or ignored.
    #[error("the name of the table '{}' starts with '#', a tab, a line break or a byte order mark, which line protocol cannot", .0.escape_debug())]
    Start(String),
}

/// Checks the name of a new table.
///
/// # Errors
/// No table can have the name.
///
/// # Examples
///
/// ```
/// use neap_schema::{TableNameError, validate_table_name};
///
/// assert_eq!(validate_table_name("living room"), Ok(()));
/// assert_eq!(validate_table_name(""), Err(TableNameError::Empty));
/// ```
pub fn validate_table_name(name: &str) -> Result<(), TableNameError> {
    if name.is_empty() {
        return Err(TableNameError::Empty);
    }
    if name.len() > MAX_TABLE_NAME_BYTES {
        return Err(TableNameError::TooLong);
    }
    if name.contains('\0') {
        return Err(TableNameError::Nul(name.to_owned()));
    }
    // A carriage return is a blank only before a newline.
    if name.starts_with(['#', '\t', '\u{feff}']) || name.starts_with("\r\n") {
        return Err(TableNameError::Start(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_line_protocol_can_write() {
        let longest = "a".repeat(MAX_TABLE_NAME_BYTES);
        for name in ["a", "räume 1", "\rm", "a#", "a\u{feff}", "time", "../x", longest.as_str()] {
            assert_eq!(validate_table_name(name), Ok(()), "{name:?}");
        }
        for (name, error) in [
            (String::new(), TableNameError::Empty),
            (format!("{longest}a"), TableNameError::TooLong),
            ("\0".to_owned(), TableNameError::Nul("\0".to_owned())),
            ("a\0b".to_owned(), TableNameError::Nul("a\0b".to_owned())),
            ("#a".to_owned(), TableNameError::Start("#a".to_owned())),
            ("\ta".to_owned(), TableNameError::Start("\ta".to_owned())),
            ("\u{feff}a".to_owned(), TableNameError::Start("\u{feff}a".to_owned())),
            ("\r\na".to_owned(), TableNameError::Start("\r\na".to_owned())),
        ] {
            assert_eq!(validate_table_name(&name), Err(error), "{name:.20?}");
        }
        assert_eq!(
            TableNameError::Nul("a\0b".to_owned()).to_string(),
            r"the name of the table 'a\0b' contains a NUL character"
        );
    }
}
