//! Uploads into a directory: the pieces go to a temporary file, which is renamed into place at the end.

use std::{fs, io, path::Path, sync::Arc};

use bytes::Bytes;

use super::{DirectoryStore, OperationContext, files::TempFile};
use crate::{Operation, Put, PutMode, StoreError};

/// An upload in progress. Dropping it removes the temporary file.
#[derive(Debug)]
pub(crate) struct DirectoryUpload {
    store: Arc<DirectoryStore>,
    key: String,
    mode: PutMode,
    /// `None` before the first piece, and after an error.
    temp: Option<TempFile>,
    is_begun: bool,
}

impl DirectoryUpload {
    /// Prepares an upload without writing to the disk.
    /// Fails if no file can have this name: a directory has it, or a file has the name of a directory above it.
    pub(crate) async fn begin(
        store: &Arc<DirectoryStore>,
        key: String,
        mode: PutMode,
    ) -> Result<Self, StoreError> {
        let task = OperationContext(Operation::Put, &key);
        let Some(path) = store.path(&key) else {
            return Err(task.rejected("no file can have this name"));
        };
        let open = Arc::clone(&store.open);
        let obstacle = task.blocking(move || obstacle(&open.root, &path)).await?;
        if let Some(reason) = obstacle {
            return Err(task.rejected(reason));
        }
        Ok(Self {
            store: Arc::clone(store),
            key,
            mode,
            temp: None,
            is_begun: false,
        })
    }

    /// Appends bytes to the temporary file.
    pub(crate) async fn put(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let task = OperationContext(Operation::Put, &self.key);
        let path = self.store.temporary_path(&self.mode);
        let access = self.store.open.access;
        let temp = match self.temp.take() {
            None if self.is_begun => return Err(task.unavailable("an earlier piece failed")),
            temp => temp,
        };
        self.is_begun = true;
        let appended = task.blocking(move || {
            let mut temp = match temp {
                Some(temp) => temp,
                None => TempFile::create(path, access)?,
            };
            temp.append(&bytes)?;
            Ok(temp)
        });
        self.temp = Some(appended.await?);
        Ok(())
    }

    /// Renames the file into place if the condition holds.
    pub(crate) async fn finish(mut self) -> Result<Put, StoreError> {
        if !self.is_begun {
            self.put(Bytes::new()).await?;
        }
        let task = OperationContext(Operation::Put, &self.key);
        let Some(temp) = self.temp.take() else {
            return Err(task.unavailable("an earlier piece failed"));
        };
        let sync = move || -> io::Result<TempFile> {
            temp.sync()?;
            Ok(temp)
        };
        let temp = task.blocking(sync).await?;
        let answer = self.store.land(task, temp, self.mode.clone()).await?;
        Ok(answer.value)
    }
}

/// Returns why no file can have a path below `root`; `None` if nothing is in the way.
fn obstacle(root: &Path, path: &Path) -> io::Result<Option<String>> {
    let shown = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            return Ok(Some(format!("'{}' is a directory", shown(path))));
        }
        Ok(_) => return Ok(None),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {}
            _ => return Err(error),
        },
    }
    let mut above = path.ancestors().skip(1).take_while(|directory| directory.starts_with(root));
    let file = above.find(|directory| directory.is_file());
    Ok(file.map(|file| format!("'{}' is a file, not a directory", shown(file))))
}
