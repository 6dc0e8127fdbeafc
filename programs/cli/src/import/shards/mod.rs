//! Imports of shards: TSM files and write-ahead logs in the folder of a server or in a backup.
//!
//! ```text
//! find_shards ── scan: columns of all shards ── SchemaPlan ──┐
//!                                                            ▼
//!            queue of shards ── n worker threads: series ── rows ── TableBatch ── channel ── concurrent requests
//!                                                                                               │
//!                                             state of each shard ◄── UnitTracker ◄── answers ──┘
//! ```

mod archive;
mod backup;
mod bolt;
mod convert;
mod folder;
mod found_shards;
mod scan;
pub(super) mod schema;
mod source;
mod table_batch;
mod tracker;
mod worker;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use futures::{StreamExt, stream::FuturesUnordered};
use indicatif::ProgressBar;
use neap_bucket::World;
use tokio::{sync::mpsc, task::JoinSet};

pub(crate) use self::{
    found_shards::{FoundShards, ShardSource},
    schema::ConflictPolicy,
    source::find_shards,
};
use self::{
    scan::{OpenShard, ScanThread, ShardQueue, describe_files},
    schema::SchemaScan,
    tracker::{Advance, UnitTracker},
    worker::{PendingRows, ShardWorker, Stopped, UnitProgress, WorkerMessage, WorkerSettings},
};
use super::{
    BodySender, DatabaseNames, ImportError, ImportFilter, ImportSummary, StateFile,
    body::ImportBody, problems::UnitProblems, state::UnitState, summary::ColumnCounts,
};
use crate::client::{ClientError, RefusedLines};

/// Number of messages of workers that wait, beside the requests in flight.
const WAITING_MESSAGES: usize = 2;

#[derive(Debug)]
pub(crate) struct ShardImport {
    pub(crate) shards: Vec<ShardSource>,
    /// Parts of the source that are not there.
    pub(crate) missing: Vec<String>,
    /// The part to import.
    pub(crate) filter: ImportFilter,
    /// The databases of the server.
    pub(crate) names: DatabaseNames,
    /// What to do with columns of several types.
    pub(crate) policy: ConflictPolicy,
    /// Number of shards that are read at the same time.
    pub(crate) parallel: usize,
    /// Folder for files of archives.
    pub(crate) temporary: PathBuf,
    /// Read everything, but send nothing.
    pub(crate) is_dry_run: bool,
}

/// A shard to import.
#[derive(Debug)]
struct Unit {
    source: ShardSource,
    name: String,
    database: Arc<str>,
    files: String,
    done: UnitProgress,
}

/// Imports shards, or counts what would be imported. `report` shows messages.
///
/// # Errors
///
/// A shard cannot be read, columns are in conflict, or a request failed.
pub(crate) async fn import_shards(
    import: ShardImport,
    sender: &BodySender,
    state: &mut StateFile,
    progress: &ProgressBar,
    report: &mut (dyn FnMut(&str) + Send),
) -> Result<ImportSummary, ImportError> {
    let world = sender.world().clone();
    let mut shards = Vec::new();
    for source in &import.shards {
        let (database, policy) = (&source.database, &source.retention_policy);
        if import.filter.includes_database(database, policy) {
            let bucket = source.bucket.as_deref();
            let target = import.names.target_of_bucket(bucket, database, policy)?;
            shards.push((source.clone(), target));
        }
    }
    if shards.is_empty() {
        return Err(ImportError::NothingLeft);
    }
    check_buckets(&shards, &import.names)?;
    progress.set_length(shards.iter().map(|(source, _)| source.bytes).sum());
    let scan = scan_shards(&import, shards.clone(), &world, progress).await?;
    let plan = scan.plan(import.policy);
    for conflict in &plan.conflicts {
        report(&format!("conflict: {conflict}"));
    }
    let conflicts = plan.conflicts.len();
    if conflicts > 0 && import.policy == ConflictPolicy::Refuse && !import.is_dry_run {
        return Err(ImportError::Conflicts { count: conflicts });
    }
    let mut summary = ImportSummary::default();
    for missing in &import.missing {
        summary.add_damage(missing);
    }
    for database in scan.databases() {
        let counts = ColumnCounts {
            series: scan.series_count(database),
            fields: scan.field_count(database),
        };
        summary.columns.insert(database.to_owned(), counts);
    }
    drop(scan);
    let units = units(shards, state, &mut summary, progress)?;
    let settings = Arc::new(WorkerSettings {
        plan,
        filter: import.filter.clone(),
        max_request_bytes: sender.settings().max_request_bytes,
        is_dry_run: import.is_dry_run,
        progress: progress.clone(),
    });
    let messages = start_workers(&import, settings, &units, &world);
    let mut run = ImportRun {
        sender,
        state,
        trackers: units.iter().map(|_| UnitTracker::default()).collect(),
        units: &units,
        summary: &mut summary,
        progress,
    };
    run.send_all(messages).await?;
    state.save()?;
    Ok(summary)
}

/// Checks that buckets become one database only if that was chosen.
fn check_buckets(
    shards: &[(ShardSource, String)],
    names: &DatabaseNames,
) -> Result<(), ImportError> {
    let mut buckets: BTreeMap<&str, &ShardSource> = BTreeMap::new();
    for (source, database) in shards {
        let other = *buckets.entry(database).or_insert(source);
        let is_chosen = |source: &ShardSource| {
            let id = source.bucket.as_deref().unwrap_or_default();
            names.is_chosen(id, &source.retention_policy)
        };
        let (Some(one), Some(id)) = (&other.bucket, &source.bucket) else {
            continue;
        };
        if one != id && !(is_chosen(other) && is_chosen(source)) {
            return Err(ImportError::SameDatabase {
                one: one.clone(),
                other: id.clone(),
                database: database.clone(),
            });
        }
    }
    Ok(())
}

async fn scan_shards(
    import: &ShardImport,
    shards: Vec<(ShardSource, String)>,
    world: &World,
    progress: &ProgressBar,
) -> Result<SchemaScan, ImportError> {
    let queue = ShardQueue::new(shards);
    let mut scan = SchemaScan::new();
    let mut threads = JoinSet::new();
    for _ in 0..import.parallel.max(1) {
        let thread = ScanThread {
            queue: Arc::clone(&queue),
            filter: import.filter.clone(),
            temporary: import.temporary.clone(),
            world: world.clone(),
            progress: progress.clone(),
        };
        let part = scan.new_part();
        threads.spawn_blocking(move || thread.run(part));
    }
    while let Some(part) = threads.join_next().await {
        scan.merge(part??);
    }
    Ok(scan)
}

/// Returns the shards that are not done yet, and adds the counts of those that are to the summary.
fn units(
    shards: Vec<(ShardSource, String)>,
    state: &StateFile,
    summary: &mut ImportSummary,
    progress: &ProgressBar,
) -> Result<Vec<Unit>, ImportError> {
    let mut units = Vec::new();
    for (source, database) in shards {
        let (name, files) = (source.name(), describe_files(&source)?);
        let earlier = state.unit(&name, &files).cloned().unwrap_or_default();
        summary.add_unit(&earlier.problems);
        if earlier.is_done {
            summary.add_tables(&earlier.tables);
            progress.inc(source.bytes);
            continue;
        }
        units.push(Unit {
            source,
            name,
            database: database.into(),
            files,
            done: UnitProgress {
                position: earlier.position,
                tables: earlier.tables,
                problems: earlier.problems,
            },
        });
    }
    Ok(units)
}

fn start_workers(
    import: &ShardImport,
    settings: Arc<WorkerSettings>,
    units: &[Unit],
    world: &World,
) -> mpsc::Receiver<WorkerMessage> {
    let (sender, receiver) = mpsc::channel(WAITING_MESSAGES);
    let jobs = units.iter().enumerate().map(|(index, unit)| {
        let worker = ShardWorker {
            unit: index,
            database: Arc::clone(&unit.database),
            origin: unit.name.as_str().into(),
            settings: Arc::clone(&settings),
            sender: sender.clone(),
            done: unit.done.clone(),
            rows: PendingRows::default(),
        };
        (worker, unit.source.clone())
    });
    let queue = ShardQueue::new(jobs.collect::<Vec<_>>());
    for _ in 0..import.parallel.max(1) {
        let (queue, sender) = (Arc::clone(&queue), sender.clone());
        let (temporary, world) = (import.temporary.clone(), world.clone());
        tokio::task::spawn_blocking(move || {
            while let Some((worker, source)) = queue.take() {
                let shard = OpenShard::open(&source, &temporary, &world);
                match shard.and_then(|shard| worker.run(&shard)) {
                    Ok(Ok(())) => {}
                    Ok(Err(Stopped)) => return,
                    Err(error) => {
                        let failed = WorkerMessage::Failed(Box::new(error));
                        // Without a receiver, the import has failed already.
                        sender.blocking_send(failed).ok();
                        return;
                    }
                }
            }
        });
    }
    receiver
}

/// The answer to a request.
struct Answer {
    unit: usize,
    number: u64,
    body: Box<ImportBody>,
    refused: Result<Option<RefusedLines>, ClientError>,
}

/// A running import.
struct ImportRun<'a> {
    sender: &'a BodySender,
    state: &'a mut StateFile,
    units: &'a [Unit],
    trackers: Vec<UnitTracker>,
    summary: &'a mut ImportSummary,
    progress: &'a ProgressBar,
}

impl ImportRun<'_> {
    /// Sends the requests of the workers until all have finished and everything is answered.
    async fn send_all(
        &mut self,
        mut messages: mpsc::Receiver<WorkerMessage>,
    ) -> Result<(), ImportError> {
        let sender = self.sender;
        let max_requests = sender.settings().max_concurrent_requests.max(1);
        let mut in_flight = FuturesUnordered::new();
        let mut is_open = true;
        while is_open || !in_flight.is_empty() {
            tokio::select! {
                message = messages.recv(), if is_open && in_flight.len() < max_requests => {
                    let Some(message) = message else {
                        is_open = false;
                        continue;
                    };
                    if let Some((unit, number, body)) = self.receive(message)? {
                        in_flight.push(async move {
                            let refused = sender.send(&body).await;
                            Answer { unit, number, body, refused }
                        });
                    }
                }
                Some(answer) = in_flight.next() => self.answered(answer)?,
            }
        }
        if self.trackers.iter().all(UnitTracker::is_done) {
            Ok(())
        } else {
            // A worker that panicked has closed the channel without a message.
            Err(ImportError::WorkerStopped)
        }
    }

    /// Handles a message and returns the request to send, if it is one.
    fn receive(
        &mut self,
        message: WorkerMessage,
    ) -> Result<Option<(usize, u64, Box<ImportBody>)>, ImportError> {
        match message {
            WorkerMessage::Body { unit, body, progress } => {
                let tracker = self.trackers.get_mut(unit);
                let number = tracker.map_or(0, |tracker| tracker.add(progress));
                return Ok(Some((unit, number, body)));
            }
            WorkerMessage::Damage(damage) => {
                damage.into_iter().for_each(|part| self.summary.add_damage(part));
            }
            WorkerMessage::Refused { database, rows } => {
                self.summary.add_refused(&database, rows);
            }
            WorkerMessage::Finished { unit, progress } => {
                let tracker = self.trackers.get_mut(unit);
                let advance = tracker.and_then(|tracker| tracker.finish(progress));
                self.advance(unit, advance)?;
            }
            WorkerMessage::Failed(error) => return Err(*error),
        }
        Ok(None)
    }

    fn answered(&mut self, answer: Answer) -> Result<(), ImportError> {
        let Answer { unit, number, body, refused } = answer;
        let mut problems = None;
        if let Some(refused) = refused? {
            let unit = problems.get_or_insert_with(UnitProblems::default);
            unit.add_refused(&body.database, &refused);
            self.summary.add_refused(&body.database, refused);
        }
        let tracker = self.trackers.get_mut(unit);
        let advance = tracker.and_then(|tracker| tracker.answer(number, problems));
        self.advance(unit, advance)
    }

    /// Updates the state of a shard.
    fn advance(&mut self, unit: usize, advance: Option<Advance>) -> Result<(), ImportError> {
        let (Some(Advance { progress, is_done }), Some(unit)) = (advance, self.units.get(unit))
        else {
            return Ok(());
        };
        if is_done {
            self.summary.add_tables(&progress.tables);
            self.progress.set_message(unit.name.clone());
        }
        let state = UnitState {
            files: unit.files.clone(),
            is_done,
            position: progress.position,
            tables: progress.tables,
            problems: progress.problems,
        };
        self.state.update(&unit.name, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_of_the_same_name_become_one_database_only_if_that_is_chosen() {
        let shard = |bucket: &str| ShardSource {
            database: "home".to_owned(),
            bucket: Some(bucket.to_owned()),
            retention_policy: "autogen".to_owned(),
            shard: "1".to_owned(),
            place: found_shards::ShardPlace::Archives(Vec::new()),
            bytes: 0,
        };
        let check = |renames: &[&str]| {
            let renames = renames.iter().map(|text| text.parse().unwrap()).collect();
            let names = DatabaseNames::new(renames, None);
            let shards = ["00aa", "00bb"].map(|id| {
                let target = names.target_of_bucket(Some(id), "home", "autogen").unwrap();
                (shard(id), target)
            });
            check_buckets(&shards, &names).map_err(|error| error.to_string())
        };
        insta::assert_snapshot!(check(&[]).unwrap_err(), @"the buckets 00aa and 00bb would both become the database 'home': give them databases with --bucket 00aa=NAME and --bucket 00bb=NAME");
        assert_eq!(check(&["00bb=house"]), Ok(()));
        assert!(check(&["00bb=home"]).is_err());
        assert_eq!(check(&["00aa=home", "00bb=home"]), Ok(()));
    }
}
