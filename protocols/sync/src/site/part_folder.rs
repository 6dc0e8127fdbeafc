//! A folder with parts of a site, for a receiving cluster that no network connects with the site.
//!
//! ```text
//! 00000001.part   body of the first part
//! 00000001.json   its site, positions, length and checksum; written after the body, so that a part is whole or not there
//! receipt.json    the position of the receiving cluster after the import
//! ```

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use ulid::Ulid;

use super::{
    part::{Part, PartRows},
    position::SitePosition,
    target::SiteIdentity,
};

const RECEIPT: &str = "receipt.json";

/// A folder can't be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct PartFolderError {
    path: String,
    reason: String,
}

impl PartFolderError {
    fn new(path: &Path, reason: impl ToString) -> Self {
        Self {
            path: path.display().to_string(),
            reason: reason.to_string(),
        }
    }
}

/// The confirmation that a receiving cluster has everything up to a position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub(crate) source: Ulid,
    pub(crate) position: String,
}

impl Receipt {
    /// Reads the receipt in a folder.
    ///
    /// # Errors
    /// There is none.
    pub fn read(folder: &Path) -> Result<Self, PartFolderError> {
        read_json(&folder.join(RECEIPT))
    }

    /// Writes the receipt into a folder.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn write(&self, folder: &Path) -> Result<(), PartFolderError> {
        write_json(&folder.join(RECEIPT), self)
    }
}

/// What a part has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PartKind {
    Rows,
    Deletes,
}

/// The description of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartHead {
    identity: SiteIdentity,
    source: Ulid,
    from: String,
    to: String,
    kind: PartKind,
    rows: usize,
    decoded_bytes: usize,
    length: usize,
    crc32c: u32,
}

/// A folder with parts of one site, in their order.
#[derive(Debug)]
pub struct PartFolder {
    path: PathBuf,
    heads: Vec<PartHead>,
}

impl PartFolder {
    /// Opens a folder for an export. A missing one is created.
    ///
    /// # Errors
    /// The folder can't be created, or a part can't be read.
    pub fn create(path: &Path) -> Result<Self, PartFolderError> {
        fs::create_dir_all(path).map_err(|error| PartFolderError::new(path, error))?;
        Self::open(path)
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// A part can't be read.
    pub fn open(path: &Path) -> Result<Self, PartFolderError> {
        let mut folder = Self {
            path: path.to_owned(),
            heads: Vec::new(),
        };
        loop {
            let head_path = folder.path_of(folder.heads.len(), "json");
            match head_path.try_exists() {
                Ok(true) => folder.heads.push(read_json(&head_path)?),
                Ok(false) => return Ok(folder),
                Err(error) => return Err(PartFolderError::new(&head_path, error)),
            }
        }
    }

    /// Returns the path of a file of a part.
    fn path_of(&self, index: usize, extension: &str) -> PathBuf {
        self.path.join(format!("{:08}.{extension}", index + 1))
    }

    /// Returns the site of the parts and its source; `None` if there are none.
    pub(crate) fn site(&self) -> Option<(&SiteIdentity, Ulid)> {
        self.heads.first().map(|head| (&head.identity, head.source))
    }

    /// Returns the number of parts.
    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// Returns the positions at which a part begins and ends.
    pub(crate) fn positions(&self, index: usize) -> Option<(&str, &str)> {
        let head = self.heads.get(index)?;
        Some((&head.from, &head.to))
    }

    /// Returns the position at which the last part ends.
    pub(crate) fn end(&self) -> Option<&str> {
        self.heads.last().map(|head| head.to.as_str())
    }

    /// Adds a part.
    ///
    /// # Errors
    /// The folder has parts of another site, or can't be written.
    pub(crate) fn add(
        &mut self,
        identity: &SiteIdentity,
        source: Ulid,
        from: &str,
        part: &Part,
    ) -> Result<(), PartFolderError> {
        if self.site().is_some_and(|known| known != (identity, source)) {
            return Err(PartFolderError::new(
                &self.path,
                "it has parts of another site",
            ));
        }
        let (kind, body, rows, decoded_bytes) = match &part.rows {
            PartRows::Rows {
                body,
                decoded_bytes,
                rows,
            } => (PartKind::Rows, body.clone(), *rows, *decoded_bytes),
            PartRows::Deletes(deletes) => {
                let text = serde_json::to_vec(deletes);
                let body = text.map_err(|error| PartFolderError::new(&self.path, error))?;
                (PartKind::Deletes, Bytes::from(body), 0, 0)
            }
        };
        let index = self.heads.len();
        write_whole(&self.path_of(index, "part"), &body)?;
        let head = PartHead {
            identity: identity.clone(),
            source,
            from: from.to_owned(),
            to: part.to.to_string(),
            kind,
            rows,
            decoded_bytes,
            length: body.len(),
            crc32c: crc32c::crc32c(&body),
        };
        write_json(&self.path_of(index, "json"), &head)?;
        self.heads.push(head);
        Ok(())
    }

    /// Reads a part.
    ///
    /// # Errors
    /// It is damaged.
    pub(crate) fn read(&self, index: usize) -> Result<Part, PartFolderError> {
        let path = self.path_of(index, "part");
        let damaged = |reason: &str| PartFolderError::new(&path, reason);
        let head = self.heads.get(index).ok_or_else(|| damaged("there is no such part"))?;
        let body = fs::read(&path).map_err(|error| PartFolderError::new(&path, error))?;
        if body.len() != head.length || crc32c::crc32c(&body) != head.crc32c {
            return Err(damaged("it is damaged"));
        }
        let to: SitePosition = head.to.parse().map_err(|_| damaged("it has no position"))?;
        let rows = match head.kind {
            PartKind::Rows => PartRows::Rows {
                body: body.into(),
                decoded_bytes: head.decoded_bytes,
                rows: head.rows,
            },
            PartKind::Deletes => {
                let parsed = serde_json::from_slice(&body);
                PartRows::Deletes(parsed.map_err(|error| PartFolderError::new(&path, error))?)
            }
        };
        Ok(Part { to, rows })
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, PartFolderError> {
    let text = fs::read(path).map_err(|error| PartFolderError::new(path, error))?;
    serde_json::from_slice(&text).map_err(|error| PartFolderError::new(path, error))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), PartFolderError> {
    let text = serde_json::to_vec(value).map_err(|error| PartFolderError::new(path, error))?;
    write_whole(path, &text)
}

/// Writes a file that is whole or not there after a power cut.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), PartFolderError> {
    let write = || -> io::Result<()> {
        let unfinished = path.with_extension("tmp");
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().map_err(|error| PartFolderError::new(path, error))
}
