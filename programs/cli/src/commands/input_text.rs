//! Reads the input text of a command from an argument, files, or the standard input.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use neap_file_formats::{Compression, FileInput, ReadError};
use neap_server::console::Console;

use crate::{
    client::InputSource,
    commands::{CommandError, CommandResult},
};

/// File name for the standard input.
pub(super) const STANDARD_INPUT: &str = "-";
/// Maximum size in bytes of a text that becomes one request, after decompression.
const MAX_TEXT_BYTES: u64 = 16 * 1024 * 1024;
/// The byte order mark in UTF-8, which some editors put before a text. It would be a part of the first name.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// Maximum size in bytes of a text repeated in a message.
const MAX_SHOWN_BYTES: usize = 200;

/// Sources of a command's input text.
pub(super) struct InputText<'a> {
    /// Kind of text, for messages.
    pub what: &'static str,
    /// The command line up to the text, for messages.
    pub command: &'a str,
    /// The arguments; an unquoted text with spaces consists of several.
    pub arguments: &'a [String],
    /// The files.
    pub files: &'a [PathBuf],
}

impl InputText<'_> {
    /// Opens the sources and returns their total size in bytes, if known. Files that are compressed with gzip or zstd are
    /// decompressed.
    pub(super) fn open(
        &self,
        console: &mut Console,
    ) -> CommandResult<(Vec<InputSource>, Option<u64>)> {
        match self.arguments {
            [] => {}
            [text] if text != STANDARD_INPUT => {
                let bytes = text.len() as u64;
                let reader = Box::new(io::Cursor::new(text.clone().into_bytes()));
                let name = String::new();
                return Ok((vec![InputSource { name, reader }], Some(bytes)));
            }
            [_] => return Ok((vec![standard_input(console)], None)),
            pieces => {
                return Err(CommandError::NotQuoted {
                    what: self.what,
                    command: format!("{} {}", self.command, quoted(&pieces.join(" "))),
                });
            }
        }
        if self.files.is_empty() {
            // Don't wait for input on a terminal without a prompt.
            if console.input_is_terminal {
                return Err(CommandError::MissingInput(self.what));
            }
            return Ok((vec![standard_input(console)], None));
        }
        let mut sources = Vec::new();
        let mut total = Some(0_u64);
        for path in self.files {
            if path.as_os_str() == STANDARD_INPUT {
                sources.push(standard_input(console));
                total = None;
                continue;
            }
            let name = path.display().to_string();
            let failed = |error| CommandError::File { path: name.clone(), error };
            let (reader, bytes) = open_file(path).map_err(failed)?;
            total = total.zip(bytes).map(|(total, bytes)| total.saturating_add(bytes));
            sources.push(InputSource { name, reader });
        }
        Ok((sources, total))
    }

    /// Reads the whole text, which becomes one request.
    pub(super) fn read(&self, console: &mut Console) -> CommandResult<String> {
        let mut text = String::new();
        for InputSource { name, reader } in self.open(console)?.0 {
            let failed = |error| {
                if name.is_empty() {
                    CommandError::Input(error)
                } else {
                    let path = name.clone();
                    CommandError::File { path, error }
                }
            };
            let left = MAX_TEXT_BYTES.saturating_sub(text.len() as u64);
            let mut bytes = Vec::new();
            reader.take(left + 1).read_to_end(&mut bytes).map_err(failed)?;
            if bytes.len() as u64 > left {
                return Err(CommandError::InputTooLarge { what: self.what, limit: MAX_TEXT_BYTES });
            }
            let decoded = String::from_utf8(bytes)
                .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
            text.push_str(&decoded);
        }
        if text.trim().is_empty() {
            Err(CommandError::MissingInput(self.what))
        } else {
            Ok(text)
        }
    }
}

/// Opens a file, and returns the number of bytes that it contains, if known.
fn open_file(path: &Path) -> io::Result<(Box<dyn Read + Send>, Option<u64>)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        // A pipe has no length. Its start isn't examined, because lines are sent as they arrive.
        return Ok((Box::new(file), None));
    }
    let opened = FileInput::File(file).into_reader();
    let (compression, reader) = opened.map_err(|error| match error {
        ReadError::Io(error) => error,
        error => io::Error::other(error),
    })?;
    let is_plain = compression == Compression::None;
    Ok((without_mark(reader)?, is_plain.then_some(metadata.len())))
}

/// Returns a reader of a text without its byte order mark.
fn without_mark(mut reader: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut start = Vec::new();
    let length = BYTE_ORDER_MARK.len() as u64;
    reader.by_ref().take(length).read_to_end(&mut start)?;
    if start == BYTE_ORDER_MARK {
        start.clear();
    }
    Ok(Box::new(io::Cursor::new(start).chain(reader)))
}

/// Quotes a text as one shell argument; returns a placeholder for a text that would fill the terminal.
fn quoted(text: &str) -> String {
    if text.len() > MAX_SHOWN_BYTES {
        "'...'".to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn standard_input(console: &mut Console) -> InputSource {
    InputSource {
        name: "the standard input".to_owned(),
        reader: console.take_input(),
    }
}

#[cfg(test)]
mod tests {
    use neap_server::console::testing::console;

    use super::*;

    fn read(arguments: &[&str], files: &[PathBuf], input: &str) -> Result<String, String> {
        let arguments: Vec<_> = arguments.iter().map(|&text| text.to_owned()).collect();
        let (mut console, _, _) = console(input);
        let given = InputText {
            what: "query",
            command: "neap query --database db",
            arguments: &arguments,
            files,
        };
        given.read(&mut console).map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_take_precedence_over_files_and_files_over_standard_input() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.sql");
        std::fs::write(&path, "SELECT 2").unwrap();
        let files = [path];
        assert_eq!(read(&["SELECT 1"], &files, "SELECT 3").unwrap(), "SELECT 1");
        assert_eq!(read(&[], &files, "SELECT 3").unwrap(), "SELECT 2");
        assert_eq!(read(&[], &[], "SELECT 3").unwrap(), "SELECT 3");
        assert_eq!(read(&["-"], &files, "SELECT 3").unwrap(), "SELECT 3");
        assert_eq!(read(&[], &["-".into()], "SELECT 3").unwrap(), "SELECT 3");
    }

    #[test]
    fn a_file_may_begin_with_a_byte_order_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.sql");
        let files = [path.clone()];
        for (text, expected) in [
            ("\u{feff}SELECT '\u{feff}'", "SELECT '\u{feff}'"),
            ("1", "1"),
            ("SELECT \u{feff}", "SELECT \u{feff}"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(&[], &files, "").unwrap(), expected);
            let compressed = zstd::encode_all(text.as_bytes(), 1).unwrap();
            std::fs::write(&path, compressed).unwrap();
            assert_eq!(read(&[], &files, "").unwrap(), expected);
        }
    }

    #[test]
    fn a_text_beyond_the_limit_is_refused_also_if_its_file_is_small() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.sql.zst");
        let limit = usize::try_from(MAX_TEXT_BYTES).unwrap();
        let write = |bytes: usize| {
            let text = zstd::encode_all("-".repeat(bytes).as_bytes(), 1).unwrap();
            std::fs::write(&path, text).unwrap();
        };
        write(limit);
        let files = [path.clone()];
        assert_eq!(read(&[], &files, "").unwrap().len(), limit);
        write(limit + 1);
        insta::assert_snapshot!(read(&[], &files, "").unwrap_err(), @"the query is too large: it has more than 16777216 bytes");
        write(limit / 2 + 1);
        let twice = [path.clone(), path.clone()];
        assert!(read(&[], &twice, "").unwrap_err().ends_with("it has more than 16777216 bytes"));
    }

    #[test]
    fn missing_or_unquoted_input_is_an_error() {
        insta::assert_snapshot!(read(&["SELECT", "1"], &[], "").unwrap_err(), @"more than one argument: put the query in quotes: neap query --database db 'SELECT 1'");
        insta::assert_snapshot!(read(&["SELECT", "'1'"], &[], "").unwrap_err(), @r"more than one argument: put the query in quotes: neap query --database db 'SELECT '\''1'\'''");
        let long = "a".repeat(MAX_SHOWN_BYTES);
        insta::assert_snapshot!(read(&["SELECT", &long], &[], "").unwrap_err(), @"more than one argument: put the query in quotes: neap query --database db '...'");
        insta::assert_snapshot!(read(&[], &[], " \n").unwrap_err(), @"no query given: pass it as an argument, in a file with --file, or to standard input");
        let error = read(&[], &["/nowhere/q.sql".into()], "").unwrap_err();
        assert!(error.starts_with("/nowhere/q.sql: "), "{error}");
    }
}
