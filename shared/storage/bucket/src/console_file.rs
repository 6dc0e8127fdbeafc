//! Names of the files of the console's page.

use std::str::FromStr;

/// Maximum length of a name in bytes.
const MAX_BYTES: usize = 200;

/// The folder of all files but the page itself.
const ASSETS: &str = "assets/";

/// The name of a file of the console's page, below `console/`: a name, or `assets/` and a name.
///
/// A name has ASCII letters, digits, `-`, `_` and `.`, and begins with no `.`, so that it is the same in URLs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, derive_more::Display)]
pub struct ConsoleFile(String);

impl ConsoleFile {
    /// The page itself.
    pub fn page() -> Self {
        Self("index.html".to_owned())
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Error for text that is not the name of a file of the console's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a file of the console")]
pub struct ConsoleFileError;

impl FromStr for ConsoleFile {
    type Err = ConsoleFileError;

    fn from_str(text: &str) -> Result<Self, ConsoleFileError> {
        let name = text.strip_prefix(ASSETS).unwrap_or(text);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_plain);
        if is_name && text.len() <= MAX_BYTES {
            Ok(Self(text.to_owned()))
        } else {
            Err(ConsoleFileError)
        }
    }
}
