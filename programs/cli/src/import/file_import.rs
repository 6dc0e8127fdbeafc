//! Imports files of lines or rows, each in its own order.
//!
//! A file may have several values for a point, of which the last one counts: an export of InfluxDB has first the TSM
//! files, and then the write-ahead log. Therefore one request of a file is sent after the other, and different files are
//! sent at the same time.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use futures::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use super::{
    BodySender, ImportError, ImportSummary, StateFile, body::ImportBody, state::UnitState,
    table_counts::TableCounts,
};
use crate::client::RefusedLines;

/// Number of requests that are read ahead of each file.
const READ_AHEAD: usize = 2;

/// The next rows of a file.
#[derive(Debug)]
pub(super) struct FileBatch {
    /// `None` if the rows are all filtered out.
    pub(super) body: Option<ImportBody>,
    /// Rows that cannot be sent.
    pub(super) refused: Option<(String, RefusedLines)>,
    /// The place after the rows, from which the import can continue.
    pub(super) position: String,
    /// Bytes of the file that were read for the rows.
    pub(super) bytes: u64,
}

/// The channel to which a file is read. It is closed when the import has failed.
pub(super) type FileSender = mpsc::Sender<Result<FileBatch, ImportError>>;

/// What an import of files changes.
struct ImportProgress<'a> {
    state: &'a mut StateFile,
    summary: ImportSummary,
}

/// Imports files. `read` reads a file from a position on, and runs on a thread of its own.
pub(super) async fn import_files(
    files: Vec<PathBuf>,
    sender: Option<&BodySender>,
    parallel: usize,
    state: &mut StateFile,
    progress: &ProgressBar,
    read: impl Fn(&Path, Option<&str>, &FileSender) -> Result<(), ImportError> + Clone + Send + 'static,
) -> Result<ImportSummary, ImportError> {
    let mut bytes = 0;
    for path in &files {
        bytes += file_bytes(path)?;
    }
    progress.set_length(bytes);
    let shared = Mutex::new(ImportProgress { state, summary: ImportSummary::default() });
    let imports = files.into_iter().map(|path| {
        let read = read.clone();
        import_file(path, sender, &shared, progress, read)
    });
    let imports = stream::iter(imports).buffer_unordered(parallel.max(1));
    imports.try_collect::<()>().await?;
    let shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    shared.state.save()?;
    Ok(shared.summary)
}

fn file_bytes(path: &Path) -> Result<u64, ImportError> {
    let metadata = std::fs::metadata(path).map_err(|error| ImportError::io(path, error))?;
    Ok(metadata.len())
}

/// Describes a file so that a changed or replaced one is told from it.
pub(super) fn describe_file(path: &Path) -> Result<String, ImportError> {
    let metadata = std::fs::metadata(path).map_err(|error| ImportError::io(path, error))?;
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    Ok(format!(
        "{} bytes of {seconds}.{nanoseconds:09}, inode {}",
        metadata.len(),
        metadata.ino()
    ))
}

async fn import_file(
    path: PathBuf,
    sender: Option<&BodySender>,
    shared: &Mutex<ImportProgress<'_>>,
    progress: &ProgressBar,
    read: impl Fn(&Path, Option<&str>, &FileSender) -> Result<(), ImportError> + Send + 'static,
) -> Result<(), ImportError> {
    let name = path.display().to_string();
    let files = describe_file(&path)?;
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let mut unit = lock().state.unit(&name, &files).cloned().unwrap_or_default();
    unit.files = files;
    for (database, tables) in &unit.tables {
        let lines = tables.values().map(|counts| counts.rows).sum();
        lock().summary.add_lines(database, lines);
    }
    lock().summary.add_unit(&unit.problems);
    if unit.is_done {
        return Ok(());
    }
    let (batches, mut receiver) = mpsc::channel(READ_AHEAD);
    let position = unit.position.clone();
    let reader = tokio::task::spawn_blocking(move || {
        if let Err(error) = read(&path, position.as_deref(), &batches) {
            // Without a receiver, the import has failed already.
            batches.blocking_send(Err(error)).ok();
        }
    });
    while let Some(batch) = receiver.recv().await {
        let batch = batch?;
        if let Some((database, refused)) = batch.refused {
            unit.problems.add_refused(&database, &refused);
            lock().summary.add_refused(&database, refused);
        }
        if let Some(body) = batch.body {
            let refused = match sender {
                Some(sender) => sender.send(&body).await?,
                None => None,
            };
            let mut shared = lock();
            if let Some(refused) = refused {
                unit.problems.add_refused(&body.database, &refused);
                shared.summary.add_refused(&body.database, refused);
            }
            shared.summary.add_lines(&body.database, body.rows);
            count_lines(&mut unit, &body);
        }
        progress.inc(batch.bytes);
        unit.position = Some(batch.position);
        lock().state.update(&name, unit.clone())?;
    }
    reader.await?;
    unit.is_done = true;
    lock().state.update(&name, unit)
}

fn count_lines(unit: &mut UnitState, body: &ImportBody) {
    let tables = unit.tables.entry(body.database.to_string()).or_default();
    let counts: &mut TableCounts = tables.entry(String::new()).or_default();
    counts.rows += body.rows;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_by_one_of_the_same_size_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.lp");
        std::fs::write(&path, "m v=1 1\n").unwrap();
        let before = describe_file(&path).unwrap();
        assert_eq!(describe_file(&path).unwrap(), before);
        std::fs::write(folder.path().join("new"), "m v=2 1\n").unwrap();
        std::fs::rename(folder.path().join("new"), &path).unwrap();
        assert_ne!(describe_file(&path).unwrap(), before);
    }

    #[tokio::test]
    async fn what_was_refused_before_an_interruption_counts_in_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.lp");
        std::fs::write(&path, "m v=1 1\n").unwrap();
        let mut state = StateFile::in_memory(neap_bucket::World::system());
        let mut unit = UnitState {
            files: describe_file(&path).unwrap(),
            is_done: true,
            ..UnitState::default()
        };
        unit.problems.refused.insert("home".to_owned(), 3);
        unit.problems.texts.push("line 1: refused".to_owned());
        state.update(&path.display().to_string(), unit).unwrap();
        let progress = ProgressBar::hidden();
        let read = |_: &Path, _: Option<&str>, _: &FileSender| Ok(());
        let imported = import_files(vec![path], None, 1, &mut state, &progress, read).await;
        let summary = imported.unwrap();
        assert_eq!(summary.refused_count(), 3);
        assert_eq!(summary.problems(), ["line 1: refused"]);
    }
}
