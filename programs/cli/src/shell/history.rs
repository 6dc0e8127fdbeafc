//! The history file: entries of earlier sessions, readable only by its owner.
//!
//! Each line is an entry, with `\n` and `\\` for line breaks and backslashes. Sessions only append, so that concurrent
//! sessions keep each other's entries; a file that exceeds its maximum size is rewritten with its newest entries.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::owner_only;

/// Maximum number of entries.
pub(super) const MAX_ENTRIES: usize = 2000;
/// Maximum size of an entry in bytes.
const MAX_ENTRY_BYTES: usize = 16 * 1024;
/// Size in bytes above which the file is cut to its newer half.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The file with earlier entries.
#[derive(Clone, Debug)]
pub(super) struct HistoryFile {
    path: PathBuf,
}

impl HistoryFile {
    /// Returns the file of this user: in the state directory, or in the data directory if there is none.
    pub(super) fn of_user() -> Option<Self> {
        let folder = dirs::state_dir().or_else(dirs::data_local_dir)?;
        Some(Self::at(folder.join("neap").join("query_history")))
    }

    fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Loads the entries, oldest first.
    ///
    /// # Errors
    ///
    /// The file exists and can't be read.
    pub(super) fn load(&self) -> io::Result<Vec<String>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        let is_cut = length > MAX_FILE_BYTES;
        if is_cut {
            file.seek(SeekFrom::End(-(MAX_FILE_BYTES.cast_signed())))?;
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        // The first line after a cut may be incomplete.
        let lines = text.lines().skip(usize::from(is_cut));
        let mut entries: Vec<_> = lines.map(decode).collect();
        entries.drain(..entries.len().saturating_sub(MAX_ENTRIES));
        Ok(entries)
    }

    /// Appends an entry, unless it must not be stored.
    pub(super) fn append(&self, entry: &str) -> io::Result<()> {
        if !is_storable(entry) {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = owner_only::append_to_file(&self.path)?;
        // A single write, so that entries of two sessions don't interleave.
        file.write_all(format!("{}\n", encode(entry)).as_bytes())?;
        if file.metadata()?.len() > MAX_FILE_BYTES {
            self.shorten()?;
        }
        Ok(())
    }

    /// Rewrites the file with its newer entries.
    fn shorten(&self) -> io::Result<()> {
        let entries = self.load()?;
        let mut kept = Vec::new();
        let mut bytes = 0_u64;
        for line in entries.iter().rev().map(|entry| encode(entry)) {
            bytes += line.len() as u64 + 1;
            if bytes > MAX_FILE_BYTES / 2 {
                break;
            }
            kept.push(line);
        }
        let lines: String = kept.iter().rev().map(|line| format!("{line}\n")).collect();
        owner_only::replace_file_through(&new_path(&self.path), &self.path, lines.as_bytes())
    }
}

/// Returns the path of a temporary file next to the history file, unique to this process.
fn new_path(path: &Path) -> PathBuf {
    path.with_extension(format!("new-{}", std::process::id()))
}

/// Returns whether an entry may be stored: it is not too long, and contains no token.
pub(super) fn is_storable(entry: &str) -> bool {
    let lower = entry.to_ascii_lowercase();
    let shows_secret = ["apiv3_", "bearer ", "authorization", "password", "token="]
        .iter()
        .any(|sign| lower.contains(sign));
    !shows_secret && entry.len() <= MAX_ENTRY_BYTES && !entry.starts_with(' ')
}

fn encode(entry: &str) -> String {
    let entry = entry.replace('\\', "\\\\");
    entry.replace('\n', "\\n").replace('\r', "")
}

fn decode(line: &str) -> String {
    let mut entry = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => entry.push('\n'),
                Some(other) => entry.push(other),
                None => entry.push('\\'),
            },
            _ => entry.push(character),
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn history() -> (TempDir, HistoryFile) {
        let folder = TempDir::new().unwrap();
        let file = HistoryFile::at(folder.path().join("state/neap/query_history"));
        (folder, file)
    }

    #[test]
    fn entries_of_several_lines_come_back_in_their_order() {
        let (_folder, file) = history();
        assert_eq!(file.load().unwrap(), Vec::<String>::new());
        let entries = ["SELECT 1;", "SELECT '\\n',\n  2;", "\\d cpu"];
        for entry in entries {
            file.append(entry).unwrap();
        }
        assert_eq!(file.load().unwrap(), entries);
    }

    #[test]
    fn only_its_owner_can_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, file) = history();
        let mode = || fs::metadata(&file.path).unwrap().permissions().mode() & 0o777;
        file.append("SELECT 1;").unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o644)).unwrap();
        file.append("SELECT 2;").unwrap();
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn secrets_are_not_stored() {
        let (_folder, file) = history();
        for secret in [
            "SELECT 'apiv3_abc';",
            "-- Authorization: x",
            "SELECT 'Bearer x';",
            " SELECT 'as in other shells';",
        ] {
            file.append(secret).unwrap();
        }
        assert!(!file.path.exists());
        file.append(&"x".repeat(MAX_ENTRY_BYTES + 1)).unwrap();
        assert!(!file.path.exists());
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let (_folder, file) = history();
        let entry = |number: usize| format!("{number:8} {}", "x".repeat(8000)).trim().to_owned();
        let count = 300;
        for number in 0..count {
            file.append(&entry(number)).unwrap();
            assert!(fs::metadata(&file.path).unwrap().len() <= MAX_FILE_BYTES);
        }
        let entries = file.load().unwrap();
        assert!(entries.len() >= 60, "{}", entries.len());
        let first = count - entries.len();
        assert!(entries.iter().enumerate().all(|(at, kept)| *kept == entry(first + at)));
    }

    #[test]
    fn a_large_file_of_another_program_is_read_from_its_end() {
        let (_folder, file) = history();
        file.append("first").unwrap();
        let line = format!("{}\n", "y".repeat(999));
        let text = line.repeat(3000);
        fs::write(&file.path, text).unwrap();
        let entries = file.load().unwrap();
        assert!(entries.len() > 1000 && entries.len() <= MAX_ENTRIES);
        assert!(entries.iter().all(|entry| entry.len() == 999));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn entries_survive_their_encoding(entry in r"([a\\\n né;])*") {
            let line = encode(&entry);
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(decode(&line), entry);
        }
    }
}
