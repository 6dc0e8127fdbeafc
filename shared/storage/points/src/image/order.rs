//! The order of the rows of an image by tag set and time, computed from that of an earlier image.
//!
//! Queries of a table that is being written see an image after the other. Most rows of an image were in the one before:
//! the rows that were added are sorted and inserted.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use arrow_buffer::BooleanBufferBuilder;

use super::{chunk::ImageChunk, lock::read, row_position::tail_row};
use crate::{SeriesIndex, gallop};

/// If more than one of this many rows was added, all rows are sorted.
const ROWS_PER_INSERT: usize = 4;

/// The order of the live rows of an image.
#[derive(Debug)]
pub(super) struct RowOrder {
    /// The rank of each series in the order of the tag sets.
    pub(super) ranks: Arc<[u32]>,
    /// The numbers of the rows, sorted by tag set and time.
    pub(super) rows: Arc<[u32]>,
    /// The number of rows of the image, live or not.
    row_count: usize,
}

/// The order of an image, computed on demand.
#[derive(Debug, Default)]
pub(super) struct LazyRowOrder {
    order: OnceLock<Arc<RowOrder>>,
    /// The order of the newest image before that was sorted, until it was used.
    earlier: Mutex<Option<Arc<RowOrder>>>,
}

/// What a row is sorted by, and its number. A point has one live row, so the number decides nothing.
type RowKey = (u32, i64, u32);

impl LazyRowOrder {
    /// The order of an image that has all rows of an earlier one, unless they were replaced or deleted.
    pub(super) fn after(earlier: &Self) -> Self {
        let before_earlier = || earlier.earlier().clone();
        Self {
            order: OnceLock::new(),
            earlier: Mutex::new(earlier.get().cloned().or_else(before_earlier)),
        }
    }

    /// Returns the order if it was computed.
    pub(super) fn get(&self) -> Option<&Arc<RowOrder>> {
        self.order.get()
    }

    /// Returns the order of the image with these chunks and this index of its series. Computed once: the computation takes
    /// 16 bytes per sorted row temporarily, and the result takes 4 bytes per row and 4 per series.
    pub(super) fn of(&self, chunks: &[ImageChunk], index: &RwLock<SeriesIndex>) -> &RowOrder {
        if let Some(order) = self.order.get() {
            return order;
        }
        let earlier = self.earlier().clone();
        let order = RowSorter { chunks, index }.sort(earlier.as_deref());
        let order = self.order.get_or_init(|| Arc::new(order));
        *self.earlier() = None;
        order
    }

    /// The approximate size in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let bytes = |order: &Arc<RowOrder>| 4 * (order.ranks.len() + order.rows.len());
        self.get().map_or(0, bytes) + self.earlier().as_ref().map_or(0, bytes)
    }

    fn earlier(&self) -> MutexGuard<'_, Option<Arc<RowOrder>>> {
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sorts the rows of an image.
struct RowSorter<'a> {
    chunks: &'a [ImageChunk],
    index: &'a RwLock<SeriesIndex>,
}

impl RowSorter<'_> {
    /// The number of rows of the image, live or not.
    fn row_count(&self) -> usize {
        self.chunks.last().map_or(0, ImageChunk::end)
    }

    /// Returns the order, computed from that of an earlier image if few rows were added.
    fn sort(&self, earlier: Option<&RowOrder>) -> RowOrder {
        let row_count = self.row_count();
        let index = read(self.index);
        let ranks = match earlier {
            Some(earlier) if earlier.ranks.len() == index.len() => Arc::clone(&earlier.ranks),
            _ => index.ranks().into(),
        };
        drop(index);
        let are_few_added = |earlier: &&RowOrder| {
            let added = row_count.saturating_sub(earlier.row_count);
            added <= row_count / ROWS_PER_INSERT
        };
        let rows = match earlier.filter(are_few_added) {
            Some(earlier) => {
                let added = self.keys(&ranks, earlier.row_count);
                self.insert(&ranks, earlier, &added)
            }
            None => {
                let keys = self.keys(&ranks, 0).into_iter();
                keys.map(|(_, _, row)| row).collect()
            }
        };
        RowOrder { ranks, rows, row_count }
    }

    /// Returns the keys of the live rows from number `first` on, which is the first row of a chunk, sorted.
    fn keys(&self, ranks: &[u32], first: usize) -> Vec<RowKey> {
        let start = self.chunks.partition_point(|chunk| chunk.end() <= first);
        let mut keys = Vec::with_capacity(self.row_count().saturating_sub(first));
        for chunk in self.chunks.iter().skip(start) {
            for (at, row) in chunk.rows().enumerate() {
                if chunk.is_live(at) {
                    let rank = ranks.get(row.series as usize).copied().unwrap_or(0);
                    keys.push((rank, row.time, row.row));
                }
            }
        }
        keys.sort_unstable();
        keys
    }

    /// Returns the rows of an earlier image that are still live, with added rows.
    fn insert(&self, ranks: &[u32], earlier: &RowOrder, added: &[RowKey]) -> Arc<[u32]> {
        let mut live = BooleanBufferBuilder::new(self.row_count());
        for chunk in self.chunks {
            match &chunk.live {
                Some(rows) => live.append_buffer(rows),
                None => live.append_n(chunk.num_rows(), true),
            }
        }
        let live = live.finish();
        let is_live = |row: &&u32| live.value(**row as usize);
        let mut rows = Vec::with_capacity(earlier.rows.len() + added.len());
        let mut rest = &*earlier.rows;
        for (rank, time, row) in added {
            let is_before = |at: usize| {
                let key = rest.get(at).and_then(|row| self.key(ranks, *row));
                key.is_some_and(|key| key < (*rank, *time))
            };
            let (before, after) = rest.split_at(gallop(0..rest.len(), is_before));
            rows.extend(before.iter().filter(is_live));
            rows.push(*row);
            rest = after;
        }
        rows.extend(rest.iter().filter(is_live));
        rows.into()
    }

    fn key(&self, ranks: &[u32], row: u32) -> Option<(u32, i64)> {
        let row = tail_row(self.chunks, row)?;
        Some((*ranks.get(row.series as usize)?, row.time))
    }
}
