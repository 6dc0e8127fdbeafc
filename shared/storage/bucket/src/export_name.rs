//! Names of exported files.

use std::str::FromStr;

/// Maximum length of a name in bytes. Object stores allow 1,024 bytes for the whole key.
const MAX_BYTES: usize = 512;

/// Maximum length of a part between slashes in bytes. File systems allow no more.
const MAX_PART_BYTES: usize = 255;

/// The name of an exported file below `exports/<database>/`: one or more parts, with `/` between them.
///
/// A part has at most 255 letters, digits, `-`, `_`, `.` and `=`, and is neither `.` nor `..`, so that a name is the same in a
/// directory, in a URL and on the command line.
///
/// # Examples
///
/// ```
/// use neap_bucket::ExportName;
///
/// let name: ExportName = "2026/cpu.parquet".parse()?;
/// assert_eq!(name.as_str(), "2026/cpu.parquet");
/// assert!("../cpu.parquet".parse::<ExportName>().is_err());
/// # Ok::<(), neap_bucket::ExportNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, derive_more::Display)]
pub struct ExportName(String);

impl ExportName {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Error for text that is not the name of an exported file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum ExportNameError {
    #[error("the name is empty")]
    Empty,
    #[error("the name has {bytes} bytes, more than {MAX_BYTES}")]
    TooLong { bytes: usize },
    #[error("the name has a part with {bytes} bytes between slashes, more than {MAX_PART_BYTES}")]
    PartTooLong { bytes: usize },
    /// A part between slashes can't be used.
    #[error("the name '{name}' has the part '{part}': use letters, digits, '-', '_', '.' and '='")]
    Part { name: String, part: String },
}

impl FromStr for ExportName {
    type Err = ExportNameError;

    fn from_str(text: &str) -> Result<Self, ExportNameError> {
        if text.is_empty() {
            return Err(ExportNameError::Empty);
        }
        if text.len() > MAX_BYTES {
            return Err(ExportNameError::TooLong { bytes: text.len() });
        }
        let longest = text.split('/').map(str::len).max().unwrap_or_default();
        if longest > MAX_PART_BYTES {
            return Err(ExportNameError::PartTooLong { bytes: longest });
        }
        let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_.=".contains(char);
        let is_usable =
            |part: &&str| !matches!(*part, "" | "." | "..") && part.chars().all(is_plain);
        match text.split('/').find(|part| !is_usable(part)) {
            None => Ok(Self(text.to_owned())),
            Some(part) => {
                Err(ExportNameError::Part { name: text.to_owned(), part: part.to_owned() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_their_prefix() {
        for name in ["cpu.parquet", "2026/11/cpu.csv", "day=2026-11-01/a_b.json", "..a", "-"] {
            assert_eq!(name.parse::<ExportName>().unwrap().as_str(), name);
        }
        for name in [
            "",
            "/",
            "/etc/passwd",
            "a/",
            "a//b",
            ".",
            "..",
            "../a",
            "a/../b",
            "a/./b",
            "a b",
            "a\\b",
            "a%2e",
            "a?b",
            "ä",
            "a\nb",
            "a\0b",
            "s3://bucket/a",
        ] {
            assert!(name.parse::<ExportName>().is_err(), "{name:?}");
        }
        let long = "a".repeat(MAX_BYTES + 1);
        assert_eq!(
            long.parse::<ExportName>(),
            Err(ExportNameError::TooLong { bytes: MAX_BYTES + 1 })
        );
        let longest = "a".repeat(MAX_PART_BYTES);
        assert!(format!("{longest}/b").parse::<ExportName>().is_ok());
        assert_eq!(
            format!("b/{longest}a").parse::<ExportName>(),
            Err(ExportNameError::PartTooLong { bytes: MAX_PART_BYTES + 1 })
        );
    }
}
