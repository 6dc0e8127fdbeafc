//! Plans and runs an export.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use neap_bucket::World;

use super::{
    ExportError, ExportRequest, ExportResult, ExportSource, TimeRange,
    directory::ExportDirectory,
    encode::{encode, parquet_rows},
    file_tasks::FileTasks,
    manifest::PartRecord,
    part_file::{FileDigest, PartFile},
    server::{ExportServer, is_gone, is_too_large, rows_query},
    snapshot::stable_stamp,
    table_folders::{ExportTable, table_folders},
};
use crate::client::{Backoff, Client, ClientError};

/// Maximum number of stamps that an export begins with before one stays readable.
const MAX_SNAPSHOTS: usize = 8;

/// Maximum number of attempts to read one slice whose answers break off. The server may end them by its time limit, so
/// a shorter slice is tried then.
const MAX_BROKEN_ANSWERS: u32 = 3;

/// The table of a query's rows in line protocol, and the name of its file.
const QUERY_NAME: &str = "query";

/// The totals of a finished export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExportStats {
    /// The number of files.
    pub(crate) files: u64,
    /// The number of rows.
    pub(crate) rows: u64,
    /// The number of bytes.
    pub(crate) bytes: u64,
    /// The stamp as of which the rows are.
    pub(crate) as_of: Option<u64>,
}

/// An export into a directory.
#[derive(Debug)]
pub(crate) struct Exporter {
    server: ExportServer,
    request: ExportRequest,
    directory: Mutex<ExportDirectory>,
    files: FileTasks,
    /// The number of slices that are read at once.
    parallel: usize,
    /// Counts rows.
    progress: ProgressBar,
    world: World,
}

/// A slice of a table with its number of rows.
#[derive(Clone, Debug)]
struct Slice {
    table: ExportTable,
    times: TimeRange,
    rows: u64,
}

impl Exporter {
    /// Opens the directory of an export: begins it, or continues it.
    ///
    /// # Errors
    /// The directory has another export or other files, or it is not writable.
    pub(crate) fn open(
        client: Client,
        request: ExportRequest,
        directory: &Path,
        parallel: usize,
        progress: ProgressBar,
        world: World,
    ) -> ExportResult<Self> {
        let opened = ExportDirectory::open(directory, request.clone(), &world)?;
        Ok(Self {
            server: ExportServer::new(client, request.database.clone()),
            request,
            directory: Mutex::new(opened),
            files: FileTasks::default(),
            parallel: parallel.max(1),
            progress,
            world,
        })
    }

    /// Exports all parts that are missing.
    ///
    /// # Errors
    /// A request fails, or a file can't be written. The parts that are finished stay, and another run continues.
    pub(crate) async fn run(&self) -> ExportResult<ExportStats> {
        let exported = self.run_snapshots().await;
        let mut directory = self.directory();
        match &exported {
            Ok(()) => directory.complete()?,
            Err(_) => directory.save_if_changed(),
        }
        exported?;
        let manifest = directory.manifest();
        let parts = manifest.parts.iter();
        let zero = ExportStats { as_of: manifest.as_of, ..ExportStats::default() };
        Ok(parts.fold(zero, |stats, part| ExportStats {
            files: stats.files + u64::from(part.path.is_some()),
            rows: stats.rows.saturating_add(part.rows),
            bytes: stats.bytes.saturating_add(part.bytes),
            ..stats
        }))
    }

    /// Exports as of one stamp, and begins again with another one if the state of the first becomes unreadable.
    async fn run_snapshots(&self) -> ExportResult {
        if self.directory().manifest().complete {
            return Ok(());
        }
        for _ in 0..MAX_SNAPSHOTS {
            let exported = self.run_snapshot().await;
            // After an error, files of other slices may still be moved to their final names.
            self.files.finished().await;
            match exported {
                Err(ExportError::SnapshotMoved { stamp }) => {
                    self.progress.println(
                        "the server has flushed; the export begins again with the flushed state",
                    );
                    let stamp = self.next_stamp(stamp).await?;
                    self.directory().set_as_of(stamp)?;
                    self.progress.reset();
                    self.progress.set_length(0);
                }
                Err(ExportError::Client(error)) if is_gone(&error) => {
                    let stamp = self.directory().manifest().as_of;
                    return Err(match stamp {
                        Some(stamp) => {
                            ExportError::SnapshotGone { stamp, reason: error.to_string() }
                        }
                        None => error.into(),
                    });
                }
                outcome => return outcome,
            }
        }
        Err(ExportError::NoStableSnapshot(MAX_SNAPSHOTS))
    }

    /// Returns the stamp to begin with after a flush has passed another one; `None`: that of the first answer.
    async fn next_stamp(&self, passed: u64) -> ExportResult<Option<u64>> {
        if self.request.as_of.is_some() {
            // Only the server knows which stamp it has for the time.
            return Ok(None);
        }
        let versions = self.server.versions().await?;
        Ok(stable_stamp(&versions, passed))
    }

    async fn run_snapshot(&self) -> ExportResult {
        let (tables, stamp) = self.tables().await?;
        if let ExportSource::Query(sql) = &self.request.source {
            return self.export_query(sql, stamp).await;
        }
        stream::iter(tables)
            .map(|table| self.plan(table, stamp))
            .buffered(self.parallel)
            .map_ok(|slices| stream::iter(slices.into_iter().map(Ok)))
            .try_flatten()
            .try_for_each_concurrent(self.parallel, |slice| self.export_slice(slice, stamp))
            .await
    }

    /// Returns the tables to export, and the stamp of the export, which the first query determines.
    async fn tables(&self) -> ExportResult<(Vec<ExportTable>, Option<u64>)> {
        let begun_with = self.directory().manifest().as_of;
        let as_of = match begun_with {
            Some(stamp) => Some(stamp.to_string()),
            None => self.request.as_of.clone(),
        };
        let answer = self.server.tables(as_of.as_deref()).await?;
        match begun_with {
            Some(stamp) if answer.as_of.is_some_and(|found| found != stamp) => {
                return Err(ExportError::SnapshotMoved { stamp });
            }
            Some(_) => {}
            None => self.directory().set_as_of(answer.as_of)?,
        }
        let stamp = begun_with.or(answer.as_of);
        let tables = match &self.request.source {
            ExportSource::Database => answer.rows,
            ExportSource::Tables(named) => {
                if let Some(missing) = named.iter().find(|name| !answer.rows.contains(name)) {
                    return Err(ExportError::NoTable(missing.clone()));
                }
                named.clone()
            }
            ExportSource::Query(_) => Vec::new(),
        };
        let folders = table_folders(tables, &self.directory().manifest().parts);
        Ok((folders, stamp))
    }

    /// Returns the slices of a table that are not finished.
    async fn plan(&self, table: ExportTable, stamp: Option<u64>) -> ExportResult<Vec<Slice>> {
        let finished = self.directory().manifest().finished(&table.name);
        let days = self.days(&table.name, stamp).await?;
        let total: u64 = days.iter().map(|(_, rows)| rows).sum();
        self.progress.inc_length(total);
        let mut slices = Vec::new();
        for (day, rows) in days {
            let left = day.without(&finished);
            if left == [day] {
                slices.push(Slice { table: table.clone(), times: day, rows });
                continue;
            }
            let mut missing = 0;
            for times in left {
                let rows = self.server.count(&table.name, times, stamp).await?;
                missing += rows;
                if rows > 0 {
                    let table = table.clone();
                    slices.push(Slice { table, times, rows });
                }
            }
            self.progress.inc(rows.saturating_sub(missing));
        }
        Ok(slices)
    }

    /// Returns the days of a table with rows. If the server can't count all of them at once, counts shorter ranges.
    async fn days(&self, table: &str, stamp: Option<u64>) -> ExportResult<Vec<(TimeRange, u64)>> {
        let mut counted = Vec::new();
        let mut pending = vec![self.request.times];
        while let Some(times) = pending.pop() {
            match (self.server.days(table, times, stamp).await, times.halves()) {
                (Ok(days), _) => {
                    let days = days.into_iter().filter_map(|day| {
                        // The day may begin before the range.
                        Some((times.day_of(day.day.max(times.first))?, day.rows))
                    });
                    counted.extend(days);
                }
                (Err(ExportError::Client(error)), Some([early, late])) if is_too_large(&error) => {
                    pending.extend([late, early]);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(counted)
    }

    /// Exports a slice. If the server can't send it at once, sends its halves.
    async fn export_slice(&self, slice: Slice, stamp: Option<u64>) -> ExportResult {
        let mut pending = vec![slice];
        while let Some(slice) = pending.pop() {
            let exported = self.export_part(&slice, stamp).await;
            match (exported, slice.times.halves()) {
                (Ok(part), _) => {
                    self.progress.inc(part.rows);
                    self.directory().add(part)?;
                }
                (Err(ExportError::Client(error)), Some(halves)) if is_too_long(&error) => {
                    for times in halves {
                        let table = &slice.table.name;
                        let rows = self.server.count(table, times, stamp).await?;
                        if rows > 0 {
                            let table = slice.table.clone();
                            pending.push(Slice { table, times, rows });
                        }
                    }
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(())
    }

    async fn export_part(&self, slice: &Slice, stamp: Option<u64>) -> ExportResult<PartRecord> {
        let table = &slice.table.name;
        let sql = rows_query(table, slice.times);
        let file = self.fetch(&sql, stamp).await?;
        let rows = parquet_rows(file.path(), file.bytes())?;
        if rows != slice.rows {
            return Err(ExportError::RowCount {
                part: format!("table '{table}', {}", slice.times.day()),
                expected: slice.rows,
                found: rows,
            });
        }
        let extension = self.request.format.extension(self.request.compression);
        let path = slice.table.part_path(slice.times, &extension);
        let digest = self.finish(file, table.clone(), &path).await?;
        Ok(PartRecord {
            table: Some(table.clone()),
            times: slice.times,
            path: Some(path),
            rows,
            bytes: digest.bytes,
            sha256: digest.sha256,
        })
    }

    /// Exports the rows of a query as one file, unless an interrupted export has finished it.
    async fn export_query(&self, sql: &str, stamp: Option<u64>) -> ExportResult {
        if !self.directory().manifest().parts.is_empty() {
            return Ok(());
        }
        let file = self.fetch(sql, stamp).await?;
        let rows = parquet_rows(file.path(), file.bytes())?;
        self.progress.inc_length(rows);
        let extension = self.request.format.extension(self.request.compression);
        let path = format!("{QUERY_NAME}.{extension}");
        let mut part = PartRecord {
            table: None,
            times: TimeRange::ALL,
            path: None,
            rows,
            bytes: 0,
            sha256: String::new(),
        };
        if rows > 0 {
            let digest = self.finish(file, QUERY_NAME.to_owned(), &path).await?;
            (part.path, part.bytes, part.sha256) = (Some(path), digest.bytes, digest.sha256);
        }
        self.progress.inc(rows);
        self.directory().add(part)
    }

    /// Reads the rows of a query into a temporary Parquet file. Repeats the request if a failure may pass.
    async fn fetch(&self, sql: &str, stamp: Option<u64>) -> ExportResult<PartFile> {
        let mut backoff = Backoff::new(self.world.clone());
        let mut broken = 0;
        loop {
            let mut file = self.directory().temporary_file()?;
            let error = match self.server.fetch(sql, stamp, &mut file).await {
                Ok(()) => {
                    file.flush_to_file()?;
                    return Ok(file);
                }
                Err(ExportError::Client(error)) => error,
                Err(error) => return Err(error),
            };
            broken += u32::from(matches!(error, ClientError::Interrupted { .. }));
            if broken >= MAX_BROKEN_ANSWERS {
                return Err(error.into());
            }
            backoff.wait_after(error).await?;
        }
    }

    /// Encodes a temporary file and moves it to its final name.
    async fn finish(&self, file: PartFile, table: String, path: &str) -> ExportResult<FileDigest> {
        let (format, compression) = (self.request.format, self.request.compression);
        let (encoded, root, path) = {
            let mut directory = self.directory();
            let encoded = if format.is_sent(compression) {
                None
            } else {
                Some(directory.temporary_file()?)
            };
            (encoded, directory.root().to_owned(), directory.file(path))
        };
        let work = move || match encoded {
            None => file.move_to(&root, &path),
            Some(mut encoded) => {
                encode(file.path(), &table, format, compression, &mut encoded)?;
                encoded.move_to(&root, &path)
            }
        };
        self.files.run(work).await
    }

    fn directory(&self) -> MutexGuard<'_, ExportDirectory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a shorter slice may succeed.
fn is_too_long(error: &ClientError) -> bool {
    is_too_large(error) || matches!(error, ClientError::Interrupted { .. })
}
