//! Reads the names of buckets from `influxd.bolt`, the key-value store of InfluxDB 2.
//!
//! A file of Bolt consists of pages. The first two are copies of the meta page, which names the root of a B+ tree. A leaf
//! has keys with values; a value may be the root of another tree, or such a tree itself if it is small.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
};

use serde::Deserialize;

use crate::import::ImportError;

/// The first bytes of a meta page.
const MAGIC: u32 = 0xed0c_daed;
/// Size of the header of a page in bytes.
const HEADER_BYTES: usize = 16;
/// Size of an entry of a page in bytes.
const ENTRY_BYTES: usize = 16;
/// Kinds of pages.
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
/// A value that is a tree.
const TREE: u32 = 0x01;
/// Maximum size of a page with its overflow in bytes.
const MAX_PAGE_BYTES: u64 = 64 << 20;
/// Maximum number of pages of a tree.
const MAX_PAGES: usize = 1_000_000;

/// The tree of buckets, with their IDs as keys.
const BUCKETS: &[u8] = b"bucketsv1";

#[derive(Deserialize)]
struct Bucket {
    id: String,
    name: String,
}

/// Returns the names of buckets by their IDs.
pub(super) fn bucket_names(path: &Path) -> Result<BTreeMap<String, String>, ImportError> {
    let file = File::open(path).map_err(|error| ImportError::io(path, error))?;
    read_names(&file).map_err(|reason| ImportError::invalid(path, reason))
}

fn read_names(file: &File) -> Result<BTreeMap<String, String>, String> {
    let store = BoltFile::open(file)?;
    let mut names = BTreeMap::new();
    for entry in store.entries(store.root)? {
        if entry.key != BUCKETS || entry.flags & TREE == 0 {
            continue;
        }
        let root = le_u64(&entry.value, 0).ok_or("a tree has no root")?;
        let buckets = match root {
            // A small tree follows its header.
            0 => leaf_entries(entry.value.get(HEADER_BYTES..).unwrap_or_default())?,
            root => store.entries(root)?,
        };
        for bucket in buckets {
            let bucket: Bucket = serde_json::from_slice(&bucket.value)
                .map_err(|error| format!("a bucket is invalid: {error}"))?;
            names.insert(bucket.id, bucket.name);
        }
    }
    Ok(names)
}

/// An open file.
struct BoltFile<'a> {
    file: &'a File,
    page_bytes: u64,
    /// The number of the root page.
    root: u64,
}

/// A key and its value.
struct Entry {
    flags: u32,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<'a> BoltFile<'a> {
    fn open(file: &'a File) -> Result<Self, String> {
        let mut page_bytes = 4096;
        let mut newest = None;
        for number in 0..2 {
            let mut meta = [0; HEADER_BYTES + 64];
            if file.read_exact_at(&mut meta, number * page_bytes).is_err() {
                continue;
            }
            let body = meta.get(HEADER_BYTES..).unwrap_or_default();
            if le_u32(body, 0) != Some(MAGIC) {
                continue;
            }
            page_bytes = le_u32(body, 8).map_or(page_bytes, u64::from).max(1024);
            let (root, transaction) = (le_u64(body, 16), le_u64(body, 48));
            newest = newest.max(transaction.zip(root));
        }
        let (_, root) = newest.ok_or("it is no database of Bolt")?;
        Ok(Self { file, page_bytes, root })
    }

    /// Returns the entries of all leaves of a tree.
    fn entries(&self, root: u64) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::new();
        let mut pages = vec![root];
        let mut seen = BTreeSet::new();
        while let Some(number) = pages.pop() {
            if !seen.insert(number) || seen.len() > MAX_PAGES {
                return Err("its pages refer to each other".to_owned());
            }
            let page = self.read_page(number)?;
            match le_u16(&page, 8) {
                Some(LEAF) => entries.extend(leaf_entries(&page)?),
                Some(BRANCH) => {
                    let children: Option<Vec<u64>> = (0..entry_count(&page))
                        .map(|index| le_u64(&page, HEADER_BYTES + index * ENTRY_BYTES + 8))
                        .collect();
                    pages.extend(children.ok_or("a page ends early")?);
                }
                _ => return Err(format!("page {number} is no part of a tree")),
            }
        }
        Ok(entries)
    }

    fn read_page(&self, number: u64) -> Result<Vec<u8>, String> {
        let invalid = || format!("page {number} cannot be read");
        let start = number.checked_mul(self.page_bytes).ok_or_else(invalid)?;
        let mut header = [0; HEADER_BYTES];
        let read = self.file.read_exact_at(&mut header, start);
        read.map_err(|_| invalid())?;
        let overflow = le_u32(&header, 12).map_or(0, u64::from);
        let bytes = (overflow + 1) * self.page_bytes;
        if bytes > MAX_PAGE_BYTES {
            return Err(invalid());
        }
        let mut page = vec![0; usize::try_from(bytes).map_err(|_| invalid())?];
        let read = self.file.read_exact_at(&mut page, start);
        read.map_err(|_| invalid())?;
        Ok(page)
    }
}

fn entry_count(page: &[u8]) -> usize {
    usize::from(le_u16(page, 10).unwrap_or_default())
}

fn leaf_entries(page: &[u8]) -> Result<Vec<Entry>, String> {
    let entries: Option<Vec<Entry>> = (0..entry_count(page))
        .map(|index| {
            let start = HEADER_BYTES + index * ENTRY_BYTES;
            let field = |at| usize::try_from(le_u32(page, start + at)?).ok();
            let key_start = start + field(4)?;
            let value_start = key_start + field(8)?;
            Some(Entry {
                flags: le_u32(page, start)?,
                key: page.get(key_start..value_start)?.to_vec(),
                value: page.get(value_start..value_start + field(12)?)?.to_vec(),
            })
        })
        .collect();
    entries.ok_or_else(|| "a page ends early".to_owned())
}

fn le_u16(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*bytes))
}

fn le_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

fn le_u64(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    fn page(number: u64, kind: u16, entries: &[(u32, &[u8], Vec<u8>)]) -> Vec<u8> {
        let mut page = number.to_le_bytes().to_vec();
        page.extend(kind.to_le_bytes());
        page.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
        page.extend([0; 4]);
        let mut data: Vec<u8> = Vec::new();
        for (index, (flags, key, value)) in entries.iter().enumerate() {
            let position = (entries.len() - index) * ENTRY_BYTES + data.len();
            for field in [*flags as usize, position, key.len(), value.len()] {
                page.extend(u32::try_from(field).unwrap().to_le_bytes());
            }
            data.extend(*key);
            data.extend(value);
        }
        page.extend(data);
        page
    }

    fn meta(number: u64, root: u64, transaction: u64) -> Vec<u8> {
        let mut meta = page(number, 0x04, &[]);
        meta.extend(MAGIC.to_le_bytes());
        meta.extend(2u32.to_le_bytes());
        meta.extend(u32::try_from(PAGE).unwrap().to_le_bytes());
        meta.extend([0; 4]);
        for field in [root, 0, 2, 9, transaction, 0] {
            meta.extend(field.to_le_bytes());
        }
        meta
    }

    fn branch(number: u64, children: &[u64]) -> Vec<u8> {
        let mut page = page(number, BRANCH, &[]);
        page[10] = u8::try_from(children.len()).unwrap();
        for child in children {
            page.extend([0; 8]);
            page.extend(child.to_le_bytes());
        }
        page
    }

    fn names(pages: Vec<Vec<u8>>) -> Result<BTreeMap<String, String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("influxd.bolt");
        let padded = pages.into_iter().flat_map(|mut page| {
            page.resize(PAGE, 0);
            page
        });
        std::fs::write(&path, padded.collect::<Vec<u8>>()).unwrap();
        bucket_names(&path).map_err(|error| error.to_string())
    }

    fn bucket(id: &str, name: &str) -> Vec<u8> {
        format!(r#"{{"id":"{id}","orgID":"00","name":"{name}","retentionPeriod":0}}"#).into_bytes()
    }

    fn root_of(number: u64) -> Vec<u8> {
        [number.to_le_bytes(), [0; 8]].concat()
    }

    #[test]
    fn names_are_found_in_a_tree_and_in_a_small_one() {
        let expected = BTreeMap::from([
            ("0a".to_owned(), "home".to_owned()),
            ("0b".to_owned(), "work".to_owned()),
        ]);
        let leaf = |number| {
            page(
                number,
                LEAF,
                &[(0, b"0a", bucket("0a", "home")), (0, b"0b", bucket("0b", "work"))],
            )
        };
        let mut inline = root_of(0);
        inline.extend(leaf(0));
        let small = vec![
            meta(0, 2, 7),
            meta(1, 9, 6),
            page(2, LEAF, &[(TREE, b"authorizationsv1", root_of(9)), (TREE, BUCKETS, inline)]),
        ];
        assert_eq!(names(small).unwrap(), expected);
        let large = vec![
            meta(0, 9, 6),
            meta(1, 2, 7),
            branch(2, &[3]),
            page(3, LEAF, &[(TREE, BUCKETS, root_of(4))]),
            branch(4, &[5, 6]),
            page(5, LEAF, &[(0, b"0a", bucket("0a", "home"))]),
            page(6, LEAF, &[(0, b"0b", bucket("0b", "work"))]),
        ];
        assert_eq!(names(large).unwrap(), expected);
    }

    #[test]
    fn an_invalid_file_is_an_error() {
        assert!(names(vec![b"hello".to_vec()]).is_err());
        assert!(names(vec![meta(0, 2, 7), meta(1, 2, 6), branch(2, &[2])]).is_err());
        assert!(names(vec![meta(0, u64::MAX, 7)]).is_err());
    }
}
