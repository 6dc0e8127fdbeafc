//! Folders of a source.

use std::{fs, path::Path};

use crate::import::ImportError;

/// Lists a folder; one that does not exist is empty.
pub(super) fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>, ImportError> {
    let failed = |error| ImportError::io(folder, error);
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map_err(failed)).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}
