//! One page of the keys below a directory, in key order.

use std::{fs, io, path::Path};

use super::{OWN_DIRECTORY, modified};
use crate::{ListEntry, ListPage};

/// Returns the first `page_keys` keys that start with `prefix` and sort after `after`.
pub(super) fn page(
    root: &Path,
    prefix: &str,
    after: &str,
    page_keys: usize,
) -> io::Result<ListPage> {
    let mut walk = DirectoryWalk {
        root,
        prefix,
        after,
        limit: page_keys.saturating_add(1),
        entries: Vec::new(),
    };
    let directory = prefix.rfind('/').map_or("", |at| &prefix[..=at]);
    walk.directory(directory)?;
    let mut entries = walk.entries;
    let more = entries.len() > page_keys;
    entries.truncate(page_keys);
    let next_page_token = entries
        .last()
        .filter(|_| more)
        .map(|entry| entry.key.clone());
    Ok(ListPage {
        entries,
        next_page_token,
    })
}

struct DirectoryWalk<'a> {
    root: &'a Path,
    prefix: &'a str,
    after: &'a str,
    limit: usize,
    entries: Vec<ListEntry>,
}

impl DirectoryWalk<'_> {
    /// Adds the entries below the directory with this key, which is empty or ends with `/`.
    fn directory(&mut self, directory: &str) -> io::Result<()> {
        let mut keys = match self.children(directory) {
            Ok(keys) => keys,
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        keys.sort_unstable();
        for key in keys {
            if self.entries.len() >= self.limit {
                break;
            }
            if key.ends_with('/') {
                self.directory(&key)?;
            } else {
                self.file(key)?;
            }
        }
        Ok(())
    }

    /// Returns the keys of the files and directories in a directory that can be on the page. Keys of directories end
    /// with `/`.
    fn children(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut keys = Vec::new();
        for entry in fs::read_dir(self.root.join(directory))? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                continue;
            };
            if directory.is_empty() && name == OWN_DIRECTORY {
                continue;
            }
            let mut key = format!("{directory}{name}");
            let matters = if entry.file_type()?.is_dir() {
                key.push('/');
                (key.starts_with(self.prefix) || self.prefix.starts_with(&key))
                    && (key.as_str() > self.after || self.after.starts_with(&key))
            } else {
                key.starts_with(self.prefix) && key.as_str() > self.after
            };
            if matters {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    fn file(&mut self, key: String) -> io::Result<()> {
        match fs::metadata(self.root.join(&key)) {
            Ok(metadata) if metadata.is_file() => {
                self.entries.push(ListEntry {
                    key,
                    size_bytes: metadata.len(),
                    last_modified: modified(&metadata),
                });
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether the error says that the file or directory was removed meanwhile, or never was one.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
