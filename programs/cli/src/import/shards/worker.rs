//! Reads a shard and builds requests, on a thread of its own.
//!
//! Rows of consecutive series of a table become one Arrow stream. Few rows become line protocol, so that many small
//! tables share a request.

use std::{collections::BTreeMap, sync::Arc};

use indicatif::ProgressBar;
use neap_rows::{
    columnar::{ColumnMapping, LineEncoder, LineRows, NumberedBatch},
    line_protocol::Precision,
};
use neap_tsm::{Damage, FIELD_SEPARATOR, FieldColumn, RowChunk, RowReader, SeriesKey, ShardReader};
use tokio::sync::mpsc;

use super::{
    convert::{convert, with_values},
    scan::OpenShard,
    schema::{ColumnAction, SchemaPlan, TableKey, TablePlan},
    table_batch::{ColumnRows, TableBatch, encode_stream},
};
use crate::{
    client::RefusedLines,
    import::{
        ImportError, ImportFilter,
        body::{BodyContent, ImportBody, LinePlaces},
        problems::UnitProblems,
        table_counts::{TableCountMap, TableCounts},
    },
};

/// Number of rows below which line protocol is sent, which takes no request for each table.
const SMALL_ROWS: usize = 1_000;
/// Size of the rows that are appended to a batch before its size is checked, in bytes.
const STEP_BYTES: usize = 512 << 10;

#[derive(Debug)]
pub(super) enum WorkerMessage {
    /// Rows to send. `progress` is what is sent when this body, and those before it, are answered.
    Body {
        unit: usize,
        body: Box<ImportBody>,
        progress: Option<Box<UnitProgress>>,
    },
    /// Parts that cannot be read.
    Damage(Vec<Damage>),
    /// Rows that cannot be written as lines.
    Refused {
        database: Arc<str>,
        rows: RefusedLines,
    },
    /// No bodies of the unit follow.
    Finished {
        unit: usize,
        progress: Box<UnitProgress>,
    },
    /// A shard cannot be read.
    Failed(Box<ImportError>),
}

/// What is read of a shard.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct UnitProgress {
    /// The last series, in hexadecimal digits.
    pub(super) position: Option<String>,
    /// The rows up to it.
    pub(super) tables: TableCountMap,
    /// What is missing up to it.
    pub(super) problems: UnitProblems,
}

/// The settings that all workers share.
#[derive(Debug)]
pub(super) struct WorkerSettings {
    pub(super) plan: SchemaPlan,
    pub(super) filter: ImportFilter,
    pub(super) max_request_bytes: usize,
    pub(super) is_dry_run: bool,
    pub(super) progress: ProgressBar,
}

/// The receiver of a worker's messages is gone, because the import has failed.
#[derive(Debug)]
pub(super) struct Stopped;

/// Reads one shard.
pub(super) struct ShardWorker {
    pub(super) unit: usize,
    pub(super) database: Arc<str>,
    pub(super) origin: Arc<str>,
    pub(super) settings: Arc<WorkerSettings>,
    pub(super) sender: mpsc::Sender<WorkerMessage>,
    /// What an earlier import has sent.
    pub(super) done: UnitProgress,
    pub(super) rows: PendingRows,
}

/// Rows that are not sent yet.
#[derive(Debug, Default)]
pub(super) struct PendingRows {
    table: String,
    batch: TableBatch,
    lines: LineRows,
    /// Counts of the series that is being read.
    counts: TableCounts,
}

impl ShardWorker {
    /// Reads the shard and sends messages until its end.
    ///
    /// # Errors
    ///
    /// The shard cannot be read, or rows cannot be encoded. `Ok(Err(_))`: the import has failed elsewhere.
    pub(super) fn run(mut self, open: &OpenShard) -> Result<Result<(), Stopped>, ImportError> {
        let mut shard = ShardReader::open(&open.files)?;
        if let Err(stopped) = self.report_damage(open.damage.clone()) {
            return Ok(Err(stopped));
        }
        let last_key = self.done.position.as_deref();
        let after = last_key.and_then(|key| hex::decode(key).ok());
        let mut reported_bytes = 0;
        while let Some(series) = shard.next_series() {
            if after.as_ref().is_some_and(|after| !follows(&series.key, after)) {
                continue;
            }
            let key = series.parse_key();
            let is_wanted = self.settings.filter.includes_measurement(&key.measurement)
                && series
                    .time_range()
                    .is_some_and(|range| range.overlaps(&self.settings.filter.times));
            if !is_wanted {
                continue;
            }
            // A series key may have any bytes, and the state of an import is text.
            let position = hex::encode(&series.key);
            if self.rows.table != key.measurement
                && let Err(stopped) = self.begin_table(&key.measurement)?
            {
                return Ok(Err(stopped));
            }
            let reader = RowReader::new(&mut shard, series, self.settings.filter.times);
            if let Err(stopped) = self.read_series(&key, reader)? {
                return Ok(Err(stopped));
            }
            if let Err(stopped) = self.report_damage(shard.take_damage()) {
                return Ok(Err(stopped));
            }
            self.complete_series(position);
            let read = shard.read_bytes() - reported_bytes;
            self.settings.progress.inc(read);
            reported_bytes += read;
        }
        self.finish(shard.take_damage())
    }

    fn finish(mut self, damage: Vec<Damage>) -> Result<Result<(), Stopped>, ImportError> {
        if let Err(stopped) = self.flush_batch()? {
            return Ok(Err(stopped));
        }
        if let Err(stopped) = self.send_lines(true) {
            return Ok(Err(stopped));
        }
        if let Err(stopped) = self.report_damage(damage) {
            return Ok(Err(stopped));
        }
        let progress = Box::new(std::mem::take(&mut self.done));
        let unit = self.unit;
        Ok(self.send(WorkerMessage::Finished { unit, progress }))
    }

    /// Reports damage that an earlier import has not found yet.
    fn report_damage(&mut self, mut damage: Vec<Damage>) -> Result<(), Stopped> {
        damage.retain(|damage| self.done.problems.add_damage(damage));
        if damage.is_empty() {
            Ok(())
        } else {
            self.send(WorkerMessage::Damage(damage))
        }
    }

    fn send(&self, message: WorkerMessage) -> Result<(), Stopped> {
        self.sender.blocking_send(message).map_err(|_| Stopped)
    }

    fn begin_table(&mut self, table: &str) -> Result<Result<(), Stopped>, ImportError> {
        let flushed = self.flush_batch()?;
        table.clone_into(&mut self.rows.table);
        Ok(flushed)
    }

    fn read_series(
        &mut self,
        key: &SeriesKey,
        mut reader: RowReader<'_>,
    ) -> Result<Result<(), Stopped>, ImportError> {
        let settings = Arc::clone(&self.settings);
        let table_key: TableKey = (self.database.as_ref().to_owned(), key.measurement.clone());
        let Some(plan) = settings.plan.table(&table_key) else {
            return Err(ImportError::NewTable(key.measurement.clone()));
        };
        let actions: Vec<ColumnAction> = reader
            .fields()
            .iter()
            .map(|field| plan.action(&field.name, field.value_type))
            .collect();
        let tags = tag_columns(key, plan);
        while let Some(chunk) = reader.next_chunk() {
            for (chunk, names) in apply_actions(chunk, &actions) {
                let chunk = with_values(chunk);
                self.rows.counts.add(&counts_of(&chunk));
                if self.settings.is_dry_run {
                    continue;
                }
                if let Err(stopped) = self.push_chunk(&tags, &chunk, &names)? {
                    return Ok(Err(stopped));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Appends the rows of a chunk in steps, and sends the batch whenever it is full.
    fn push_chunk(
        &mut self,
        tags: &[(&str, &str)],
        chunk: &RowChunk,
        names: &[String],
    ) -> Result<Result<(), Stopped>, ImportError> {
        let columns: Vec<ColumnRows<'_>> = chunk
            .columns
            .iter()
            .zip(names)
            .map(|(column, name)| ColumnRows {
                name,
                values: &column.values,
                present: column.present.as_deref(),
            })
            .collect();
        let rows = chunk.times.len();
        let bytes: usize = columns.iter().map(|column| column.values.memory_bytes()).sum();
        let step = (STEP_BYTES.saturating_mul(rows) / bytes.max(1)).max(1);
        let mut start = 0;
        while start < rows {
            let end = (start + step).min(rows);
            self.rows.batch.push(tags, &chunk.times, &columns, start..end);
            start = end;
            // Some room is left for the schema and the padding of Arrow.
            if self.rows.batch.bytes() >= self.settings.max_request_bytes / 4 * 3
                && let Err(stopped) = self.flush_batch()?
            {
                return Ok(Err(stopped));
            }
        }
        Ok(Ok(()))
    }

    fn complete_series(&mut self, position: String) {
        let counts = std::mem::take(&mut self.rows.counts);
        self.done.position = Some(position);
        if counts.rows > 0 {
            let database = self.done.tables.entry(self.database.to_string());
            let tables: &mut BTreeMap<_, TableCounts> = database.or_default();
            tables.entry(self.rows.table.clone()).or_default().add(&counts);
        }
    }

    /// Sends the batch, or adds it to the lines if it has few rows.
    fn flush_batch(&mut self) -> Result<Result<(), Stopped>, ImportError> {
        let rows = self.rows.batch.rows();
        if rows == 0 {
            return Ok(Ok(()));
        }
        let table = self.rows.table.clone();
        let failed = |reason: String| ImportError::Encode { table: table.clone(), reason };
        let bytes = self.rows.batch.bytes();
        let batch = self.rows.batch.finish().map_err(|error| failed(error.to_string()))?;
        if rows < SMALL_ROWS && bytes < self.settings.max_request_bytes / 4 {
            let numbered = NumberedBatch {
                first_row: 1,
                batch,
                refused: Vec::new(),
                has_tag_dictionaries: false,
            };
            let mapping = ColumnMapping::for_table(table.clone());
            let mut encoder = LineEncoder::new(&numbered, &mapping, Precision::Nanosecond)
                .map_err(|error| failed(error.to_string()))?;
            while encoder.encode(&mut self.rows.lines, usize::MAX) {}
            return if self.rows.lines.text.len() >= self.settings.max_request_bytes / 4 {
                Ok(self.send_lines(true))
            } else {
                Ok(Ok(()))
            };
        }
        // The lines are of earlier series.
        if let Err(stopped) = self.send_lines(false) {
            return Ok(Err(stopped));
        }
        let stream = encode_stream(&batch).map_err(|error| failed(error.to_string()))?;
        let content = BodyContent::Arrow { table, bytes: stream.into() };
        Ok(self.send_body(content, rows, true))
    }

    /// Sends the lines. `has_all`: all rows of the complete series are sent then.
    fn send_lines(&mut self, has_all: bool) -> Result<(), Stopped> {
        let LineRows { text, rows, errors } = std::mem::take(&mut self.rows.lines);
        if let Some(rows) = RefusedLines::of_rows(0, Some(&self.origin), &errors) {
            let database = Arc::clone(&self.database);
            self.done.problems.add_refused(&database, &rows);
            self.send(WorkerMessage::Refused { database, rows })?;
        }
        if text.is_empty() {
            return Ok(());
        }
        let content = BodyContent::Lines {
            bytes: text.into(),
            places: LinePlaces::After(0),
            precision: "ns",
        };
        self.send_body(content, rows.len(), has_all)
    }

    fn send_body(&self, content: BodyContent, rows: usize, has_all: bool) -> Result<(), Stopped> {
        let progress = has_all.then(|| Box::new(self.done.clone()));
        self.send(WorkerMessage::Body {
            unit: self.unit,
            body: Box::new(ImportBody {
                database: Arc::clone(&self.database),
                content,
                origin: Arc::clone(&self.origin),
                rows: rows as u64,
            }),
            progress,
        })
    }
}

/// Returns whether a series comes after another one in a shard. Its order is that of the keys in the index, which have a
/// separator after the series: `cpu,host=a!` comes before `cpu,host=a`.
fn follows(series: &[u8], other: &[u8]) -> bool {
    let key = |series: &'_ [u8]| [series, FIELD_SEPARATOR].concat();
    key(series) > key(other)
}

/// Returns the columns of the tags of a series.
fn tag_columns<'a>(key: &'a SeriesKey, plan: &'a TablePlan) -> Vec<(&'a str, &'a str)> {
    let tags = key.tags.iter();
    tags.map(|(name, value)| (plan.tag_column(name), value.as_str())).collect()
}

/// Names and converts the columns of a chunk. Two columns of the same name become two chunks.
fn apply_actions(chunk: RowChunk, actions: &[ColumnAction]) -> Vec<(RowChunk, Vec<String>)> {
    let mut chunks: Vec<(Vec<FieldColumn>, Vec<String>)> = Vec::new();
    for mut column in chunk.columns {
        let name = match actions.get(column.field) {
            None | Some(ColumnAction::Skip) => continue,
            Some(ColumnAction::Keep { column }) => column,
            Some(ColumnAction::Convert { column: name, to }) => {
                column.values = convert(&column.values, *to);
                name
            }
        };
        let free = chunks.iter_mut().find(|(_, names)| !names.contains(name));
        match free {
            Some((columns, names)) => {
                columns.push(column);
                names.push(name.clone());
            }
            None => chunks.push((vec![column], vec![name.clone()])),
        }
    }
    let mut times = Some(chunk.times);
    let mut applied = Vec::with_capacity(chunks.len());
    let last = chunks.len().saturating_sub(1);
    for (index, (columns, names)) in chunks.into_iter().enumerate() {
        let times = if index == last {
            times.take().unwrap_or_default()
        } else {
            times.clone().unwrap_or_default()
        };
        applied.push((RowChunk { times, columns }, names));
    }
    applied
}

fn counts_of(chunk: &RowChunk) -> TableCounts {
    let values = chunk.columns.iter().map(FieldColumn::value_count);
    TableCounts {
        rows: chunk.times.len() as u64,
        values: values.sum::<usize>() as u64,
        min_time: chunk.times.first().copied().unwrap_or(i64::MAX),
        max_time: chunk.times.last().copied().unwrap_or(i64::MIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::shards::schema::{ConflictPolicy, SchemaScan};

    #[test]
    fn an_import_continues_in_the_order_of_the_index() {
        // In an index, a quote comes before the separator, and a letter after it.
        let ordered = [&b"cpu,host=15\""[..], b"cpu,host=15", b"cpu,host=15a"];
        for (index, last) in ordered.iter().enumerate() {
            let rest = ordered.iter().filter(|series| follows(series, last));
            assert_eq!(rest.collect::<Vec<_>>(), ordered[index + 1..].iter().collect::<Vec<_>>());
        }
    }

    /// Encodes an entry of a log that writes 1 to the field `v` of each series.
    fn log_entry(series: &[&[u8]]) -> Vec<u8> {
        let mut body = Vec::new();
        for series in series {
            let key = [*series, FIELD_SEPARATOR, b"v"].concat();
            body.push(2);
            body.extend(u16::try_from(key.len()).unwrap().to_be_bytes());
            body.extend(key);
            body.extend(1u32.to_be_bytes());
            body.extend([5i64.to_be_bytes(), 1i64.to_be_bytes()].concat());
        }
        // A literal of Snappy.
        let length = u8::try_from(body.len()).unwrap();
        assert!((61..128).contains(&length));
        let compressed = [vec![length, 60 << 2, length - 1], body].concat();
        let size = u32::try_from(compressed.len()).unwrap().to_be_bytes();
        [vec![1], size.to_vec(), compressed].concat()
    }

    /// Reads a shard with the series `cpu,host=15"` and `cpu,host=15` after a position, and returns its end.
    fn read(scan: &SchemaScan, done: UnitProgress) -> Result<UnitProgress, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("_00001.wal");
        std::fs::write(&path, log_entry(&[b"cpu,host=15\"", b"cpu,host=15"])).unwrap();
        let open = OpenShard::of_log(path);
        let (sender, mut receiver) = mpsc::channel(100);
        let worker = ShardWorker {
            unit: 0,
            database: "home".into(),
            origin: "home/autogen/1".into(),
            settings: Arc::new(WorkerSettings {
                plan: scan.plan(ConflictPolicy::Refuse),
                filter: ImportFilter::default(),
                max_request_bytes: 1 << 20,
                is_dry_run: true,
                progress: ProgressBar::hidden(),
            }),
            sender,
            done,
            rows: PendingRows::default(),
        };
        let run = worker.run(&open);
        run.map_err(|error| error.to_string())?.unwrap();
        let mut finished = None;
        while let Ok(message) = receiver.try_recv() {
            if let WorkerMessage::Finished { progress, .. } = message {
                finished = Some(*progress);
            }
        }
        Ok(finished.unwrap())
    }

    fn scan() -> SchemaScan {
        let mut scan = SchemaScan::new();
        let fields = [("v".to_owned(), neap_tsm::ValueType::Integer)];
        scan.add("home", &SeriesKey::parse(b"cpu,host=15"), fields.into_iter());
        scan
    }

    #[test]
    fn a_continued_shard_reads_each_series_that_is_left() {
        let rows = |progress: &UnitProgress| progress.tables["home"]["cpu"].rows;
        let all = read(&scan(), UnitProgress::default()).unwrap();
        assert_eq!(rows(&all), 2);
        let done = UnitProgress {
            position: Some(hex::encode(b"cpu,host=15\"")),
            ..UnitProgress::default()
        };
        let rest = read(&scan(), done).unwrap();
        assert_eq!(rows(&rest), 1);
        assert_eq!(rest.position, Some(hex::encode(b"cpu,host=15")));
    }

    #[test]
    fn a_table_that_appears_after_the_scan_is_an_error() {
        let error = read(&SchemaScan::new(), UnitProgress::default()).unwrap_err();
        assert!(error.starts_with("the table cpu appeared after the scan"), "{error}");
    }
}
