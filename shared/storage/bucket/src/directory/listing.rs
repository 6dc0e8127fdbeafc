//! One page of the keys below a directory, in key order.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use super::{
    file_version::modified,
    listing_cache::{Child, DirectoryState, Known, ListingCache, MAX_CHILDREN},
    own_directory::OWN_DIRECTORY,
};
use crate::{ListEntry, ListPage};

/// A page of a listing: the first `page_keys` keys that start with `prefix` and sort after `after`.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageRequest<'a> {
    pub(super) root: &'a Path,
    pub(super) prefix: &'a str,
    pub(super) after: &'a str,
    pub(super) page_keys: usize,
}

/// Lists a page at `now`, by [`ListingCache::now`].
pub(super) fn page(
    request: PageRequest<'_>,
    cache: &ListingCache,
    now: Duration,
) -> io::Result<ListPage> {
    let PageRequest { prefix, page_keys, .. } = request;
    let mut walk = DirectoryWalk { request, cache, now, entries: Vec::new() };
    let directory = prefix.rfind('/').map_or("", |at| &prefix[..=at]);
    walk.directory(directory)?;
    let mut entries = walk.entries;
    let more = entries.len() > page_keys;
    entries.truncate(page_keys);
    let next_page_token = entries.last().filter(|_| more).map(|entry| entry.key.clone());
    Ok(ListPage { entries, next_page_token })
}

struct DirectoryWalk<'a> {
    request: PageRequest<'a>,
    cache: &'a ListingCache,
    now: Duration,
    entries: Vec<ListEntry>,
}

impl DirectoryWalk<'_> {
    /// Adds the entries below the directory with this key, which is empty or ends with `/`.
    fn directory(&mut self, directory: &str) -> io::Result<()> {
        match self.read_directory(directory) {
            Err(error) if is_gone(&error) => Ok(()),
            read => read,
        }
    }

    fn read_directory(&mut self, directory: &str) -> io::Result<()> {
        let state = DirectoryState::new(&fs::metadata(self.request.root.join(directory))?);
        match self.cache.find(directory, state, self.now) {
            Known::Children(children) => self.add_known(&children),
            Known::Unsettled => self.add_children(directory),
            Known::Settled => match self.all_children(directory)? {
                Some(children) => {
                    let children: Arc<[Child]> = children.into();
                    self.cache.keep(directory, state, Arc::clone(&children));
                    self.add_known(&children)
                }
                None => self.add_children(directory),
            },
        }
    }

    fn is_full(&self) -> bool {
        self.entries.len() > self.request.page_keys
    }

    /// Returns whether a key can be on the page, or a directory with this key can have such keys.
    fn matters(&self, key: &str) -> bool {
        let PageRequest { prefix, after, .. } = self.request;
        if key.ends_with('/') {
            (key.starts_with(prefix) || prefix.starts_with(key))
                && (key > after || after.starts_with(key))
        } else {
            key.starts_with(prefix) && key > after
        }
    }

    /// Adds the entries of a directory whose children are known.
    fn add_known(&mut self, children: &[Child]) -> io::Result<()> {
        for child in children {
            if self.is_full() {
                break;
            }
            if !self.matters(child.key()) {
                continue;
            }
            match child {
                Child::Directory(key) => self.directory(key)?,
                Child::File(entry) => self.entries.push(entry.clone()),
            }
        }
        Ok(())
    }

    /// Adds the entries of a directory. Asks only for files that can be on the page.
    fn add_children(&mut self, directory: &str) -> io::Result<()> {
        let mut keys = self.keys(directory)?;
        keys.retain(|key| self.matters(key));
        keys.sort_unstable();
        for key in keys {
            if self.is_full() {
                break;
            }
            if key.ends_with('/') {
                self.directory(&key)?;
            } else {
                self.entries.extend(self.file(key)?);
            }
        }
        Ok(())
    }

    /// Returns all children of a directory, by key; `None` if there are too many.
    fn all_children(&self, directory: &str) -> io::Result<Option<Vec<Child>>> {
        let mut keys = self.keys(directory)?;
        if keys.len() > MAX_CHILDREN {
            return Ok(None);
        }
        keys.sort_unstable();
        let mut children = Vec::with_capacity(keys.len());
        for key in keys {
            if key.ends_with('/') {
                children.push(Child::Directory(key))
            } else {
                children.extend(self.file(key)?.map(Child::File))
            }
        }
        Ok(Some(children))
    }

    /// Returns the keys of the files and directories in a directory. Keys of directories end with `/`.
    fn keys(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut keys = Vec::new();
        for entry in fs::read_dir(self.request.root.join(directory))? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                continue;
            };
            if directory.is_empty() && name == OWN_DIRECTORY {
                continue;
            }
            let mut key = format!("{directory}{name}");
            if entry.file_type()?.is_dir() {
                key.push('/');
            }
            keys.push(key);
        }
        Ok(keys)
    }

    /// Returns a file; `None` if it was removed meanwhile.
    fn file(&self, key: String) -> io::Result<Option<ListEntry>> {
        match fs::metadata(self.request.root.join(&key)) {
            Ok(metadata) if metadata.is_file() => Ok(Some(ListEntry {
                key,
                size_bytes: metadata.len(),
                last_modified: modified(&metadata),
            })),
            Ok(_) => Ok(None),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether the error says that the file or directory was removed meanwhile, or never was one.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
