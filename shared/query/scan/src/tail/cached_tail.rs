//! The tail of a table in memory, which follows the snapshots of queries.
//!
//! The values of a column are kept from when a query first needs them: most queries read few of the columns of a table. They are
//! then kept of each further segment, and in the next image. Tags are kept from when a query has scanned whole chunks with them,
//! because all other queries find them in the index of series.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arrow::datatypes::DataType;
use datafusion::execution::runtime_env::RuntimeEnv;
use neap_bucket::{SegmentName, Stamp};
use neap_cache::{CacheError, CacheLayer, CacheShape, CacheTailIndex};
use neap_catalog::Table;
use neap_points::TailImageBuilder;
use neap_schema::CacheId;
use neap_wal::{Segment, SegmentError, StreamEntry};

use super::{
    OverlayRequest, TailImageError, TailRun, TailSnapshot, TailView, columns_of,
    decode::{DecodedRows, decode_segments},
};
use crate::lookup::is_lookup;

/// Maximum size of an index, in bytes, that is read on the thread of the request.
const MAX_INLINE_INDEX_BYTES: usize = 128 << 10;

/// About the size of a column of a chunk without its values, in bytes.
const CHUNK_COLUMN_BYTES: usize = 256;

/// The limits of a tail image.
#[derive(Clone, Debug)]
pub(super) struct TailLimits {
    /// Maximum memory of an image and the indexes of caches over it, in bytes. Above it, the indexes are dropped, then
    /// the image is spilled.
    pub(super) image_bytes: usize,
    /// Provides the folder for spill files.
    pub(super) runtime: Arc<RuntimeEnv>,
}

/// The cached tail of a table: its deduplicated segments, with indexes for caches.
#[derive(Debug)]
pub(super) struct CachedTail {
    /// The oldest segments, in spill files.
    runs: Vec<Arc<TailRun>>,
    /// The image of the segments after the runs.
    builder: TailImageBuilder,
    /// Maximum size of the rows of the image if all columns were loaded, in bytes: integers may be narrow.
    row_bytes: usize,
    /// For each column of the table, whether a query needed its values since the last restart. Not used of tags.
    is_used: Box<[AtomicBool]>,
    /// The size of the encoded rows of the image, in bytes. Columns that do not compress refer to them.
    stream_bytes: usize,
    /// The low-water mark. The segments of the image are above it; of a run, only the last segments may be above it.
    mark: Stamp,
    /// The version of the manifest in which an operator last quarantined damaged objects.
    quarantine: u64,
    /// The segments after the runs.
    taken: Vec<SegmentName>,
    /// The number of the first of these segments whose rows are not in the builder, because all of them were deleted.
    deleted: usize,
    /// The indexes of the caches that were used since the builder started.
    overlays: BTreeMap<CacheId, CacheTailIndex>,
    /// The caches whose indexes did not fit into memory. They are not retried, because the room only shrinks.
    without_room: BTreeSet<CacheId>,
}

/// Why no more segments were added.
enum AppendEnd {
    /// Columns were loaded that the next segments were decoded without.
    OtherColumns,
    /// A segment can't be added.
    Failed(TailImageError),
}

impl From<TailImageError> for AppendEnd {
    fn from(error: TailImageError) -> Self {
        Self::Failed(error)
    }
}

impl CachedTail {
    pub(super) fn new(snapshot: &TailSnapshot, table: &Table) -> Self {
        let builder = builder_of(table, &BTreeSet::new());
        Self::empty(builder, snapshot.mark, snapshot.quarantine)
    }

    /// A tail without segments.
    fn empty(builder: TailImageBuilder, mark: Stamp, quarantine: u64) -> Self {
        let fields = builder.schema().fields().iter();
        Self {
            runs: Vec::new(),
            is_used: fields.map(|_| AtomicBool::new(false)).collect(),
            builder,
            row_bytes: 0,
            stream_bytes: 0,
            mark,
            quarantine,
            taken: Vec::new(),
            deleted: 0,
            overlays: BTreeMap::new(),
            without_room: BTreeSet::new(),
        }
    }

    pub(super) fn size_bytes(&self) -> usize {
        let overlays = self.overlays.values().map(CacheTailIndex::size_bytes);
        self.builder.size_bytes() + self.stream_bytes + overlays.sum::<usize>()
    }

    /// A value that changes with the segments.
    pub(super) fn state(&self) -> (usize, usize) {
        (self.runs.len(), self.taken.len())
    }

    pub(super) fn view(&mut self) -> TailView {
        TailView { runs: self.runs.clone(), image: self.builder.image() }
    }

    /// Returns the tail of a snapshot if nothing needs to be computed, as [`advance`](Self::advance) would load it.
    pub(super) fn view_at_hand(
        &self,
        snapshot: &TailSnapshot,
        table: &Table,
        columns: &[usize],
    ) -> Option<TailView> {
        if !self.is_of(snapshot, table) {
            return None;
        }
        let image = self.builder.kept_image();
        let columns = self.kept_columns(columns);
        self.note_use(&columns);
        Some(TailView {
            runs: self.runs.clone(),
            image: image.filter(|image| image.has_columns(&columns))?,
        })
    }

    /// Updates the index of a cache. If this fails, the index is dropped and everything else stays unchanged.
    pub(super) fn update(
        &mut self,
        cache: CacheId,
        shape: &CacheShape,
        limit: usize,
    ) -> Result<(), CacheError> {
        // An index covers only the image in memory.
        if self.without_room.contains(&cache) || !self.runs.is_empty() {
            return Err(CacheError::TooLarge { limit });
        }
        let mut overlay =
            self.overlays.remove(&cache).unwrap_or_else(|| CacheTailIndex::new(shape));
        overlay.update(&self.builder)?;
        if self.size_bytes() + overlay.size_bytes() > limit {
            self.without_room.insert(cache);
            return Err(CacheError::TooLarge { limit });
        }
        self.overlays.insert(cache, overlay);
        Ok(())
    }

    /// Returns the layer of a cache over this tail.
    pub(super) fn layer(
        &mut self,
        wanted: &OverlayRequest<'_>,
        limit: usize,
    ) -> Result<CacheLayer, TailImageError> {
        self.update(wanted.cache, wanted.shape, limit)?;
        match self.overlays.get(&wanted.cache) {
            Some(overlay) => Ok(overlay.layer(&self.builder, wanted.filters, wanted.from)?),
            None => Ok(CacheLayer::empty(wanted.shape, i64::MIN)),
        }
    }

    /// Returns the layer of a cache over the tail of a snapshot if its index is up to date and the lookup is cheap.
    pub(super) fn layer_at_hand(
        &self,
        snapshot: &TailSnapshot,
        table: &Table,
        wanted: &OverlayRequest<'_>,
    ) -> Option<Result<CacheLayer, TailImageError>> {
        let overlay = self.overlays.get(&wanted.cache)?;
        if !self.runs.is_empty() || !self.is_of(snapshot, table) {
            return None;
        }
        let columns = columns_of(wanted.shape, table);
        self.note_use(&columns);
        if !self.builder.has_columns(&columns) {
            return None;
        }
        let is_small = overlay.size_bytes() <= MAX_INLINE_INDEX_BYTES
            || is_lookup(wanted.shape, wanted.filters);
        if !overlay.is_up_to_date(&self.builder) || !is_small {
            return None;
        }
        let layer = overlay.layer(&self.builder, wanted.filters, wanted.from);
        Some(layer.map_err(TailImageError::from))
    }

    /// Whether the tail was built with the table definition and the quarantined objects of the snapshot.
    fn matches_table(&self, snapshot: &TailSnapshot, table: &Table) -> bool {
        self.quarantine == snapshot.quarantine
            && *self.builder.schema() == table.arrow_schema()
            && self.builder.tags().iter().eq(table.tags().map(|tag| &tag.name))
    }

    /// Returns the segments above a mark that the runs and the image contain.
    fn segments_above(&self, mark: Stamp) -> impl Iterator<Item = SegmentName> {
        let of_runs = self
            .runs
            .iter()
            .flat_map(|run| run.segments())
            .copied()
            .filter(move |name| name.stamp > mark);
        of_runs.chain(self.taken.iter().copied())
    }

    /// Whether the segments of this tail are a prefix of the snapshot's tail.
    pub(super) fn is_prefix_of(&self, snapshot: &TailSnapshot, table: &Table) -> bool {
        let mut tail = snapshot.segments.iter().map(|segment| segment.name());
        self.matches_table(snapshot, table)
            && self.segments_above(snapshot.mark).all(|name| tail.next() == Some(name))
    }

    /// Whether this is the tail of the snapshot.
    fn is_of(&self, snapshot: &TailSnapshot, table: &Table) -> bool {
        self.segments_above(snapshot.mark).count() == snapshot.segments.len()
            && self.is_prefix_of(snapshot, table)
    }

    /// Whether this tail was built for a newer state of the database than the snapshot.
    pub(super) fn is_newer_than(&self, snapshot: &TailSnapshot) -> bool {
        let quarantine = snapshot.quarantine;
        snapshot.as_of.is_some()
            || snapshot.mark < self.mark
            || quarantine < self.quarantine
            || quarantine == self.quarantine
                && snapshot.mark == self.mark
                && snapshot.segments.len() < self.segments_above(self.mark).count()
    }

    /// Starts a new image. Keeps the runs that are a prefix of the snapshot's tail.
    pub(super) fn restart(&mut self, snapshot: &TailSnapshot, table: &Table) {
        let mut runs = if self.matches_table(snapshot, table) {
            std::mem::take(&mut self.runs)
        } else {
            Vec::new()
        };
        let mark = snapshot.mark;
        runs.retain(|run| run.last().stamp > mark);
        let mut tail = snapshot.segments.iter().map(|segment| segment.name());
        let is_there = |run: &&Arc<TailRun>| {
            let mut above = run.segments().iter().filter(|name| name.stamp > mark);
            above.all(|name| tail.next() == Some(*name))
        };
        let usable = runs.iter().take_while(is_there).count();
        runs.truncate(usable);
        let builder = builder_of(table, &self.used_columns());
        *self = Self { runs, builder, ..Self::new(snapshot, table) };
    }

    /// Drops all rows if flushes have written them to sections. Returns whether it did.
    pub(super) fn drop_flushed(&mut self, mark: Stamp) -> bool {
        let of_runs = self.runs.last().map(|run| run.last());
        let newest = self.taken.last().copied().or(of_runs);
        if newest.is_none_or(|newest| newest.stamp > mark) {
            return false;
        }
        let (tags, schema) = (self.builder.tags(), Arc::clone(self.builder.schema()));
        let used = self.used_columns();
        let builder = TailImageBuilder::with_columns(tags, schema, |name| used.contains(name))
            .with_on_duplicate(self.builder.on_duplicate());
        *self = Self::empty(builder, mark, self.quarantine);
        true
    }

    /// Returns those of some columns whose values are kept if a query needs them: all but tags that no query has scanned.
    fn kept_columns(&self, columns: &[usize]) -> Vec<usize> {
        let columns = columns.iter().copied();
        columns.filter(|column| !self.builder.is_unscanned_tag(*column)).collect()
    }

    /// The columns that queries needed since the last restart, of tags those that they scanned. Queries will need them again.
    fn used_columns(&self) -> BTreeSet<String> {
        let columns = self.builder.schema().fields().iter().enumerate();
        let fields = columns.zip(&self.is_used);
        let is_tag = |name: &String| self.builder.tags().contains(name);
        let used = fields.filter(|((column, field), is_used)| {
            if is_tag(field.name()) {
                !self.builder.is_unscanned_tag(*column)
            } else {
                is_used.load(Ordering::Relaxed)
            }
        });
        used.map(|((_, field), _)| field.name().clone()).collect()
    }

    /// Writes the image to a spill file and starts a new image.
    fn spill(
        &mut self,
        snapshot: &TailSnapshot,
        table: &Table,
        limits: &TailLimits,
    ) -> Result<(), TailImageError> {
        let mut builder = builder_of(table, &self.builder.loaded_columns());
        builder.keep_scans_of(&self.builder);
        // The tags of sorted rows come from the index of series.
        let columns = self.builder.schema().fields().iter().enumerate();
        let fields: Vec<usize> = columns
            .filter(|(_, field)| !self.builder.tags().contains(field.name()))
            .map(|(column, _)| column)
            .collect();
        self.load(snapshot, table, &fields)?;
        let mut builder = std::mem::replace(&mut self.builder, builder);
        self.row_bytes = 0;
        self.stream_bytes = 0;
        self.overlays.clear();
        let run =
            TailRun::write(&limits.runtime, builder.image(), &self.taken).map_err(|source| {
                TailImageError::NotSpilled {
                    table: table.name().to_owned(),
                    limit: limits.image_bytes,
                    source,
                }
            })?;
        match run {
            Some(run) => {
                self.runs.push(run);
                self.taken.clear();
                self.deleted = 0;
            }
            None => self.deleted = self.taken.len(),
        }
        Ok(())
    }

    /// Remembers that a query needs these columns of the table.
    fn note_use(&self, columns: &[usize]) {
        for is_used in columns.iter().filter_map(|column| self.is_used.get(*column)) {
            is_used.store(true, Ordering::Relaxed);
        }
    }

    /// If memory is short, spills the image, and drops the indexes of caches.
    fn make_room(
        &mut self,
        snapshot: &TailSnapshot,
        table: &Table,
        limits: &TailLimits,
    ) -> Result<(), TailImageError> {
        if self.builder.has_replaced_rows() {
            // Newer rows get copies of texts of any size.
            let fields = self.builder.schema().fields().iter().enumerate();
            let texts: Vec<usize> = fields
                .filter(|(_, field)| *field.data_type() == DataType::Utf8)
                .map(|(column, _)| column)
                .collect();
            self.load(snapshot, table, &texts)?;
        }
        // All fields are needed to write the image.
        let index_bytes = self.builder.index_bytes();
        let column_bytes = self.builder.size_bytes().saturating_sub(index_bytes);
        if index_bytes + column_bytes.max(self.row_bytes) > limits.image_bytes {
            self.spill(snapshot, table, limits)?;
        }
        if self.size_bytes() > limits.image_bytes {
            self.overlays.clear();
        }
        Ok(())
    }

    /// Adds the segments of the snapshot that this tail does not contain yet, and loads columns of the table, without tags that no
    /// query has scanned. This tail is a prefix of that of the snapshot.
    pub(super) fn advance(
        &mut self,
        snapshot: &TailSnapshot,
        table: &Table,
        columns: &[usize],
        limits: &TailLimits,
    ) -> Result<(), TailImageError> {
        let columns = self.kept_columns(columns);
        self.note_use(&columns);
        if !self.builder.has_columns(&columns) {
            self.load(snapshot, table, &columns)?;
            self.make_room(snapshot, table, limits)?;
        }
        self.append_segments(snapshot, table, limits)
    }

    /// Loads columns of the table that are not in memory yet.
    fn load(
        &mut self,
        snapshot: &TailSnapshot,
        table: &Table,
        columns: &[usize],
    ) -> Result<(), TailImageError> {
        if self.builder.has_columns(columns) {
            return Ok(());
        }
        let fields = self.builder.schema().fields();
        let missing: BTreeSet<String> = columns
            .iter()
            .filter(|column| !self.builder.has_columns(&[**column]))
            .filter_map(|column| fields.get(*column))
            .map(|field| field.name().clone())
            .collect();
        let end = self.segments_above(snapshot.mark).count();
        let start = end - self.taken.len() + self.deleted;
        let segments = snapshot.segments.get(start..end).unwrap_or(&[]);
        let mut batches = Vec::new();
        decode_segments(segments, table.id(), &missing, |_, rows| {
            batches.extend(rows.map_err(|source| damaged(table, source))?);
            Ok::<_, TailImageError>(())
        })?;
        Ok(self.builder.load(columns, &batches)?)
    }

    /// Adds a segment with the rows of the table.
    fn append(
        &mut self,
        segment: &Segment,
        rows: DecodedRows,
        table: &Table,
    ) -> Result<(), TailImageError> {
        for batch in rows.map_err(|source| damaged(table, source))? {
            self.builder.push(&batch)?;
        }
        for delete in segment.deletes() {
            if delete.table == table.id() {
                self.builder.delete(&delete.condition)?;
            }
        }
        self.taken.push(segment.name());
        let streams = segment.directory().iter();
        for stream in streams.filter(|stream| stream.table == table.id()) {
            self.row_bytes = self.row_bytes.saturating_add(row_bytes(stream, table));
            self.stream_bytes += stream.length as usize;
        }
        Ok(())
    }

    /// Adds the segments of the snapshot that this tail does not contain yet.
    fn append_segments(
        &mut self,
        snapshot: &TailSnapshot,
        table: &Table,
        limits: &TailLimits,
    ) -> Result<(), TailImageError> {
        self.runs.retain(|run| run.last().stamp > snapshot.mark);
        let was_empty = self.runs.is_empty() && self.taken.is_empty();
        let mut count = self.segments_above(snapshot.mark).count();
        while let Some(added) = snapshot.segments.get(count..).filter(|added| !added.is_empty()) {
            let mut columns = self.builder.loaded_columns();
            columns.extend(table.tag_names());
            let appended = decode_segments(added, table.id(), &columns, |segment, rows| {
                self.append(segment, rows, table)?;
                count += 1;
                self.make_room(snapshot, table, limits)?;
                if self.builder.loads_only(&columns) {
                    Ok(())
                } else {
                    Err(AppendEnd::OtherColumns)
                }
            });
            match appended {
                Err(AppendEnd::Failed(error)) => return Err(error),
                // The next segments were decoded without a column.
                Ok(()) | Err(AppendEnd::OtherColumns) => {}
            }
        }
        // Segments that are a prefix of the tails of two snapshots are above the marks of both.
        self.mark = if was_empty {
            snapshot.mark
        } else {
            self.mark.max(snapshot.mark)
        };
        Ok(())
    }
}

fn builder_of(table: &Table, columns: &BTreeSet<String>) -> TailImageBuilder {
    let tags = table.tag_names();
    TailImageBuilder::with_columns(&tags, table.arrow_schema(), |name| columns.contains(name))
        .with_on_duplicate(table.on_duplicate())
}

/// Returns about the size of the rows of a stream with all columns of the table, in bytes.
fn row_bytes(stream: &StreamEntry, table: &Table) -> usize {
    // Columns that the rows lack are nulls in an image.
    let columns = table.arrow_schema().fields().len();
    let width = size_of::<u64>() * columns;
    let decoded = usize::try_from(stream.memory_bytes).unwrap_or(usize::MAX);
    let values = decoded.max((stream.rows as usize).saturating_mul(width));
    values.saturating_add(columns * CHUNK_COLUMN_BYTES)
}

fn damaged(table: &Table, source: SegmentError) -> TailImageError {
    let table = table.name().to_owned();
    TailImageError::Segment { table, source }
}
