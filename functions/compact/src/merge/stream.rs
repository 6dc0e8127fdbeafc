//! Runs a merge: CPU-bound work and fetches alternate or overlap.
//!
//! ```text
//!   runtime          fetch windows ................ fetch windows ........
//!   worker thread           decode, merge, encode          decode, ...
//! ```
//!
//! Memory: two windows of each input (the one being decoded, and the next one), a block of rows, a row group of the
//! output, and the output. All except the block are compressed, and only the output grows with the inputs.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, Either, select},
    stream::FuturesUnordered,
};
use neap_catalog::Table;
use neap_schema::TIME_COLUMN;
use parquet::file::metadata::ParquetMetaData;

use super::{
    MergeError,
    blocks::{BlockMerge, RowBlock},
    input::{InputRowFilter, MergeInput},
    source::{FetchedWindow, SectionSource},
};
use crate::SectionWriter;

/// Number of blocks between two progress checks.
const BLOCKS_PER_TURN: usize = 16;

/// Maximum number of windows fetched in parallel.
const PARALLEL_READS: usize = 16;

/// Maximum rows of a batch of one input.
const MAX_BATCH_ROWS: usize = 8_192;

/// Minimum rows of a batch, even if rows are wide.
const MIN_BATCH_ROWS: usize = 32;

/// Approximate bytes of the rows of a block. Deduplication temporarily takes about three times as much.
const BLOCK_BYTES: u64 = 8 << 20;

/// Total input size up to which a merge stays on the current thread, because a change of thread takes a few
/// milliseconds.
const INLINE_BYTES: u64 = 1 << 20;

/// Destination of merged rows.
pub(crate) trait RowSink: Send + 'static {
    /// Writes rows, which come after all previous rows.
    fn write(&mut self, rows: &RecordBatch) -> Result<(), MergeError>;

    /// Returns the approximate memory in bytes.
    fn size_bytes(&self) -> usize;
}

impl RowSink for SectionWriter {
    fn write(&mut self, rows: &RecordBatch) -> Result<(), MergeError> {
        Ok(Self::write(self, rows)?)
    }

    fn size_bytes(&self) -> usize {
        Self::size_bytes(self)
    }
}

/// The CPU-bound part of a merge.
struct MergeWork<S> {
    blocks: BlockMerge,
    sink: S,
}

/// Reason why the CPU-bound part pauses.
#[derive(Debug)]
enum WorkPause {
    /// These inputs need their next windows.
    Needs(Vec<usize>),
    /// The blocks of one turn are done.
    TurnDone,
    /// The merge is done.
    End,
}

impl<S: RowSink> MergeWork<S> {
    fn turn(&mut self) -> Result<WorkPause, MergeError> {
        for _ in 0..BLOCKS_PER_TURN {
            match self.blocks.next()? {
                RowBlock::Needs(inputs) => return Ok(WorkPause::Needs(inputs)),
                RowBlock::Rows(rows) => self.sink.write(&rows)?,
                RowBlock::End => return Ok(WorkPause::End),
            }
        }
        Ok(WorkPause::TurnDone)
    }
}

/// Progress of a merge, for the caller to stop it.
#[derive(Clone, Copy, Debug)]
pub(super) struct MergeProgress {
    /// Approximate memory in bytes.
    pub(super) memory_bytes: u64,
}

/// A merge of sections whose footers are known.
pub(super) struct MergeStream<S> {
    sources: Vec<SectionSource>,
    work: Box<MergeWork<S>>,
    is_inline: bool,
}

type WindowFetch = BoxFuture<'static, (usize, Result<FetchedWindow, MergeError>)>;

impl<S: RowSink> MergeStream<S> {
    /// Creates a merge of sections of a table, given oldest first, each with its row filter. `sink` creates the
    /// destination from the tags, the schema and the total number of rows. `bytes_in` is the length of all inputs in
    /// bytes.
    /// Fails with `Column` if the table does not have a column of an input; `Format` if an input cannot be read.
    pub(super) fn new(
        table: &Table,
        inputs: Vec<(SectionSource, InputRowFilter)>,
        bytes_in: u64,
        sink: impl FnOnce(&[String], SchemaRef, u64) -> S,
    ) -> Result<Self, MergeError> {
        let tags: Vec<String> = table.tag_names();
        let schema = schema_of(table, &inputs)?;
        let (rows, batch_rows) = expected(&inputs);
        let shared: Arc<[String]> = tags.clone().into();
        let mut sources = Vec::with_capacity(inputs.len());
        let mut decoders = Vec::with_capacity(inputs.len());
        for (source, filter) in inputs {
            let (name, metadata) = (source.place.name(), Arc::clone(source.footer.metadata()));
            let tags = Arc::clone(&shared);
            decoders.push(MergeInput::new(name, tags, metadata, batch_rows, filter)?);
            sources.push(source);
        }
        let sink = sink(&tags, Arc::clone(&schema), rows);
        let blocks = BlockMerge::new(tags, schema, table.on_duplicate(), decoders);
        Ok(Self {
            sources,
            work: Box::new(MergeWork { blocks, sink }),
            is_inline: bytes_in <= INLINE_BYTES,
        })
    }

    /// Merges all rows. Returns `None` if `go_on` returned `false`.
    pub(super) async fn run(
        self,
        mut go_on: impl FnMut(MergeProgress) -> bool,
    ) -> Result<Option<S>, MergeError> {
        let Self { mut sources, mut work, is_inline } = self;
        let mut fetches: FuturesUnordered<WindowFetch> = FuturesUnordered::new();
        loop {
            start_fetches(&mut sources, &mut fetches);
            let (rested, pause) = turn(work, is_inline, &mut sources, &mut fetches).await?;
            work = rested;
            match pause {
                WorkPause::End => return Ok(Some(work.sink)),
                WorkPause::TurnDone => {}
                WorkPause::Needs(needs) => {
                    for at in needs {
                        let fetched = wait_for(at, &mut sources, &mut fetches).await?;
                        if let (Some(input), Some(fetched)) = (work.blocks.input_mut(at), fetched) {
                            input.push(fetched.window, fetched.bytes)?;
                        }
                    }
                }
            }
            if !go_on(progress(&work, &sources)) {
                return Ok(None);
            }
        }
    }
}

fn progress<S: RowSink>(work: &MergeWork<S>, sources: &[SectionSource]) -> MergeProgress {
    // A window that is being decoded is about as large as the next one.
    let windows = sources.iter().map(|source| {
        let next = source.ready.as_ref().map(|fetched| &fetched.window);
        2 * next.or(source.windows.front()).map_or(0, |window| window.size_bytes())
    });
    MergeProgress {
        memory_bytes: windows.sum::<u64>() + work.sink.size_bytes() as u64 + 4 * BLOCK_BYTES,
    }
}

/// Runs one turn of the CPU-bound part, and fetches windows in the meantime.
async fn turn<S: RowSink>(
    work: Box<MergeWork<S>>,
    is_inline: bool,
    sources: &mut [SectionSource],
    fetches: &mut FuturesUnordered<WindowFetch>,
) -> Result<(Box<MergeWork<S>>, WorkPause), MergeError> {
    let take_turn = move |mut work: Box<MergeWork<S>>| {
        let pause = work.turn();
        pause.map(|pause| (work, pause))
    };
    if is_inline {
        tokio::task::yield_now().await;
        return take_turn(work);
    }
    let mut turn = tokio::task::spawn_blocking(move || take_turn(work));
    loop {
        if fetches.is_empty() {
            return (&mut turn).await.map_err(|_| MergeError::Stopped)?;
        }
        match select(&mut turn, fetches.next()).await {
            Either::Left((done, _)) => return done.map_err(|_| MergeError::Stopped)?,
            Either::Right((Some((at, fetched)), _)) => record_fetched(sources, at, fetched?),
            Either::Right((None, _)) => {}
        }
    }
}

fn record_fetched(sources: &mut [SectionSource], at: usize, fetched: FetchedWindow) {
    if let Some(source) = sources.get_mut(at) {
        source.note(fetched);
    }
}

/// Starts to fetch the next window of each input that has none waiting.
fn start_fetches(sources: &mut [SectionSource], fetches: &mut FuturesUnordered<WindowFetch>) {
    for (at, source) in sources.iter_mut().enumerate() {
        start_fetch(at, source, fetches);
    }
}

fn start_fetch(at: usize, source: &mut SectionSource, fetches: &mut FuturesUnordered<WindowFetch>) {
    if source.ready.is_some() || source.is_fetching || fetches.len() >= PARALLEL_READS {
        return;
    }
    if let Some(window) = source.windows.pop_front() {
        source.is_fetching = true;
        let fetch = source.fetch(window);
        fetches.push(fetch.map(move |fetched| (at, fetched)).boxed());
    }
}

/// Waits for the next window of an input. Returns `None` if there is none.
async fn wait_for(
    at: usize,
    sources: &mut [SectionSource],
    fetches: &mut FuturesUnordered<WindowFetch>,
) -> Result<Option<FetchedWindow>, MergeError> {
    loop {
        let Some(source) = sources.get_mut(at) else {
            return Ok(None);
        };
        if let Some(fetched) = source.ready.take() {
            start_fetch(at, source, fetches);
            return Ok(Some(fetched));
        }
        start_fetch(at, source, fetches);
        match fetches.next().await {
            Some((at, fetched)) => record_fetched(sources, at, fetched?),
            None => return Ok(None),
        }
    }
}

/// Returns the columns of the output: the tags and the time of the table, and the fields that some input has, without those
/// that were dropped. A section omits fields without values, so each of these fields has a value somewhere.
fn schema_of(
    table: &Table,
    inputs: &[(SectionSource, InputRowFilter)],
) -> Result<SchemaRef, MergeError> {
    let all = table.arrow_schema();
    let mut stored = vec![false; all.fields().len()];
    for (source, _) in inputs {
        let section = source.place.name();
        let schema = MergeInput::schema_of(&section, source.footer.metadata())?;
        for field in schema.fields() {
            let place = all.index_of(field.name()).ok().filter(|_| {
                let column = table.column(field.name());
                column.is_some_and(|column| column.stores(field.data_type()))
            });
            match place.and_then(|place| stored.get_mut(place)) {
                Some(stored) => *stored = true,
                None if table.is_dropped_name(field.name()) => {}
                None => {
                    let column = field.name().clone();
                    return Err(MergeError::Column { section, column });
                }
            }
        }
    }
    let is_key = |name: &str| name == TIME_COLUMN || table.is_tag(name);
    let fields: Vec<_> = all
        .fields()
        .iter()
        .zip(stored)
        .filter(|(field, stored)| *stored || is_key(field.name()))
        .map(|(field, _)| Arc::clone(field))
        .collect();
    Ok(Arc::new(Schema::new(fields)))
}

/// Returns the total rows of all inputs, and the number of rows of a batch.
fn expected(inputs: &[(SectionSource, InputRowFilter)]) -> (u64, usize) {
    let metadata = || inputs.iter().map(|(source, _)| source.footer.metadata());
    let rows = metadata()
        .map(|metadata| metadata.file_metadata().num_rows())
        .filter_map(|rows| u64::try_from(rows).ok())
        .sum();
    let row_bytes = metadata().map(|metadata| row_bytes(metadata)).max();
    let share = BLOCK_BYTES / (row_bytes.unwrap_or(1).max(1) * inputs.len().max(1) as u64);
    let batch_rows = usize::try_from(share).unwrap_or(MAX_BATCH_ROWS);
    (rows, batch_rows.clamp(MIN_BATCH_ROWS, MAX_BATCH_ROWS))
}

/// Returns the approximate memory of a row in bytes, in the row group where it is largest.
fn row_bytes(metadata: &ParquetMetaData) -> u64 {
    let groups = metadata.row_groups().iter().map(|group| {
        let text = group.columns().iter().filter_map(|column| {
            let bytes = column.unencoded_byte_array_data_bytes()?;
            u64::try_from(bytes).ok()
        });
        let rows = u64::try_from(group.num_rows()).unwrap_or(0).max(1);
        text.sum::<u64>() / rows + 8 * group.columns().len() as u64
    });
    groups.max().unwrap_or(0)
}
