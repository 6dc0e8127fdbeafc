//! A merge at work: what needs the processor takes turns with what needs the store.
//!
//! ```text
//!   runtime          fetch windows ................ fetch windows ........
//!   worker thread           decode, fold, encode           decode, ...
//! ```
//!
//! Memory: of each input the window that is being read and the next one, a block of rows, a row group of the
//! output, and the output, all compressed but the block. None of it but the output grows with the inputs.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, Either, select},
    stream::FuturesUnordered,
};
use neap_catalog::Table;
use neap_schema::{ColumnType, TIME_COLUMN};
use parquet::file::metadata::ParquetMetaData;

use super::{
    MergeError,
    blocks::{Block, BlockMerge},
    input::{Input, RowFilter},
    source::{Fetched, Source},
};
use crate::SectionWriter;

/// Blocks between two looks at how it goes.
const BLOCKS_PER_TURN: usize = 16;

/// The most windows that are on their way at once.
const PARALLEL_READS: usize = 16;

/// The most rows of a batch of one input.
const MAX_BATCH_ROWS: usize = 8_192;

/// The fewest, however wide they are.
const MIN_BATCH_ROWS: usize = 32;

/// About how many bytes the rows of a block take. Folding takes about three times as much for the moment.
const BLOCK_BYTES: u64 = 8 << 20;

/// Inputs that are smaller together are merged without a change of thread: it takes a few milliseconds.
const INLINE_BYTES: u64 = 1 << 20;

/// Where merged rows go.
pub(crate) trait RowSink: Send + 'static {
    /// Takes rows that are after all before.
    fn write(&mut self, rows: &RecordBatch) -> Result<(), MergeError>;

    /// About how many bytes of memory it holds.
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

/// The part of a merge that needs no store.
struct Work<S> {
    blocks: BlockMerge,
    sink: S,
}

/// Why the work rests.
#[derive(Debug)]
enum Pause {
    /// These inputs need their next windows.
    Needs(Vec<usize>),
    /// It has done its turn.
    Turn,
    /// It is done.
    End,
}

impl<S: RowSink> Work<S> {
    fn turn(&mut self) -> Result<Pause, MergeError> {
        for _ in 0..BLOCKS_PER_TURN {
            match self.blocks.next()? {
                Block::Needs(inputs) => return Ok(Pause::Needs(inputs)),
                Block::Rows(rows) => self.sink.write(&rows)?,
                Block::End => return Ok(Pause::End),
            }
        }
        Ok(Pause::Turn)
    }
}

/// How it is going, for those who may stop it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// About how many bytes of memory it takes.
    pub(super) memory_bytes: u64,
}

/// A merge of sections whose footers are known.
pub(super) struct MergeStream<S> {
    sources: Vec<Source>,
    work: Box<Work<S>>,
    is_inline: bool,
}

type Fetch = BoxFuture<'static, (usize, Result<Fetched, MergeError>)>;

impl<S: RowSink> MergeStream<S> {
    /// A merge of sections of a table, oldest first, each with what is left out of its rows, into what `sink`
    /// gives for the columns and the number of rows of them all. `bytes_in` is their length.
    ///
    /// # Errors
    /// `Column`: the table does not have a column of an input; `Format`: an input can't be read.
    pub(super) fn new(
        table: &Table,
        inputs: Vec<(Source, RowFilter)>,
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
            decoders.push(Input::new(name, tags, metadata, batch_rows, filter)?);
            sources.push(source);
        }
        let sink = sink(&tags, Arc::clone(&schema), rows);
        let blocks = BlockMerge::new(tags, schema, decoders);
        Ok(Self {
            sources,
            work: Box::new(Work { blocks, sink }),
            is_inline: bytes_in <= INLINE_BYTES,
        })
    }

    /// Merges everything; `None` if `go_on` said no.
    pub(super) async fn run(
        self,
        mut go_on: impl FnMut(Progress) -> bool,
    ) -> Result<Option<S>, MergeError> {
        let Self {
            mut sources,
            mut work,
            is_inline,
        } = self;
        let mut fetches: FuturesUnordered<Fetch> = FuturesUnordered::new();
        loop {
            start_fetches(&mut sources, &mut fetches);
            let (rested, pause) = turn(work, is_inline, &mut sources, &mut fetches).await?;
            work = rested;
            match pause {
                Pause::End => {
                    sources.iter().try_for_each(Source::check)?;
                    return Ok(Some(work.sink));
                }
                Pause::Turn => {}
                Pause::Needs(needs) => {
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

fn progress<S: RowSink>(work: &Work<S>, sources: &[Source]) -> Progress {
    // A window that is being read is about as large as the next one.
    let windows = sources.iter().map(|source| {
        let next = source.ready.as_ref().map(|fetched| &fetched.window);
        2 * next
            .or(source.windows.front())
            .map_or(0, |window| window.size_bytes())
    });
    Progress {
        memory_bytes: windows.sum::<u64>() + work.sink.size_bytes() as u64 + 4 * BLOCK_BYTES,
    }
}

/// Lets the work go on, and fetches meanwhile.
async fn turn<S: RowSink>(
    work: Box<Work<S>>,
    is_inline: bool,
    sources: &mut [Source],
    fetches: &mut FuturesUnordered<Fetch>,
) -> Result<(Box<Work<S>>, Pause), MergeError> {
    let take_turn = move |mut work: Box<Work<S>>| {
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
            Either::Right((Some((at, fetched)), _)) => note(sources, at, fetched?),
            Either::Right((None, _)) => {}
        }
    }
}

fn note(sources: &mut [Source], at: usize, fetched: Fetched) {
    if let Some(source) = sources.get_mut(at) {
        source.note(fetched);
    }
}

/// Starts to read the next window of each input that has none waiting.
fn start_fetches(sources: &mut [Source], fetches: &mut FuturesUnordered<Fetch>) {
    for (at, source) in sources.iter_mut().enumerate() {
        start_fetch(at, source, fetches);
    }
}

fn start_fetch(at: usize, source: &mut Source, fetches: &mut FuturesUnordered<Fetch>) {
    if source.ready.is_some() || source.is_fetching || fetches.len() >= PARALLEL_READS {
        return;
    }
    if let Some(window) = source.windows.pop_front() {
        source.is_fetching = true;
        let fetch = source.fetch(window);
        fetches.push(fetch.map(move |fetched| (at, fetched)).boxed());
    }
}

/// The next window of an input; `None` if there is none.
async fn wait_for(
    at: usize,
    sources: &mut [Source],
    fetches: &mut FuturesUnordered<Fetch>,
) -> Result<Option<Fetched>, MergeError> {
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
            Some((at, fetched)) => note(sources, at, fetched?),
            None => return Ok(None),
        }
    }
}

/// The columns of the output: the tags and the time of the table, and the fields that some input has. A
/// section leaves out fields without a value, so these have one somewhere.
fn schema_of(table: &Table, inputs: &[(Source, RowFilter)]) -> Result<SchemaRef, MergeError> {
    let all = table.arrow_schema();
    let mut stored = vec![false; all.fields().len()];
    for (source, _) in inputs {
        let section = source.place.name();
        let schema = Input::schema_of(&section, source.footer.metadata())?;
        for field in schema.fields() {
            let place = all.index_of(field.name()).ok();
            let place = place.filter(|place| all.field(*place).data_type() == field.data_type());
            match place.and_then(|place| stored.get_mut(place)) {
                Some(stored) => *stored = true,
                None => {
                    let column = field.name().clone();
                    return Err(MergeError::Column { section, column });
                }
            }
        }
    }
    let is_key = |name: &str| {
        let column = table.column(name);
        name == TIME_COLUMN || column.is_some_and(|column| column.column_type == ColumnType::Tag)
    };
    let fields = all.fields().iter().zip(stored);
    let fields = fields.filter(|(field, stored)| *stored || is_key(field.name()));
    let fields: Vec<_> = fields.map(|(field, _)| Arc::clone(field)).collect();
    Ok(Arc::new(Schema::new(fields)))
}

/// The rows of all inputs, and how many of them a batch may have.
fn expected(inputs: &[(Source, RowFilter)]) -> (u64, usize) {
    let metadata = || inputs.iter().map(|(source, _)| source.footer.metadata());
    let rows = metadata().map(|metadata| metadata.file_metadata().num_rows());
    let rows = rows.filter_map(|rows| u64::try_from(rows).ok()).sum();
    let row_bytes = metadata().map(|metadata| row_bytes(metadata)).max();
    let share = BLOCK_BYTES / (row_bytes.unwrap_or(1).max(1) * inputs.len().max(1) as u64);
    let batch_rows = usize::try_from(share).unwrap_or(MAX_BATCH_ROWS);
    (rows, batch_rows.clamp(MIN_BATCH_ROWS, MAX_BATCH_ROWS))
}

/// About how many bytes a row takes in memory, in the row group where it takes most.
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
