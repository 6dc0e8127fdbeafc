//! Divides the segments of a site into parts, in the order of the site.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    sync::Arc,
};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use bytes::Bytes;
use neap_catalog::{DatabaseCatalog, Table};
use neap_manifest::{Manifest, named_rows};
use neap_row_delete::RowDelete;
use neap_rows::columnar::batch_bytes;
use neap_schema::TableId;
use neap_wal::{Segment, SegmentError};

use super::position::SitePosition;
use crate::{
    route::{DeleteOfTable, DeletesBody},
    rows_body::{decoded_bytes, push_table},
};

/// The content of a part.
#[derive(Debug)]
pub(crate) enum OutgoingContent {
    Rows {
        body: Bytes,
        /// Maximum memory of the decoded rows, in bytes.
        decoded_bytes: usize,
        rows: usize,
    },
    Deletes(DeletesBody),
}

/// A part to ship, and the position at which it ends.
#[derive(Debug)]
pub(crate) struct OutgoingPart {
    pub(crate) to: SitePosition,
    pub(crate) content: OutgoingContent,
}

/// Rows can't be read or encoded.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// A segment is damaged.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// Arrow can't encode the rows.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// Collects rows until they are enough for a part.
#[derive(Debug)]
pub(crate) struct PartBuilder<'a> {
    catalog: &'a DatabaseCatalog,
    manifest: &'a Manifest,
    /// The memory of the rows of a part, in bytes.
    part_bytes: usize,
    /// Everything before it is shipped, or in `body`.
    position: Option<SitePosition>,
    body: Vec<u8>,
    decoded_bytes: usize,
    rows: usize,
}

/// The streams of a segment that can be read, decoded table by table.
struct DecodedStreams<'a> {
    segment: Segment,
    catalog: &'a DatabaseCatalog,
    tables: BTreeMap<TableId, VecDeque<RecordBatch>>,
}

impl<'a> PartBuilder<'a> {
    /// Creates a builder for the segments from a position on.
    pub(crate) fn new(
        catalog: &'a DatabaseCatalog,
        manifest: &'a Manifest,
        part_bytes: usize,
        position: Option<SitePosition>,
    ) -> Self {
        Self {
            catalog,
            manifest,
            part_bytes: part_bytes.max(1),
            position,
            body: Vec::new(),
            decoded_bytes: 0,
            rows: 0,
        }
    }

    /// Returns whether all of a segment is shipped, or in a part.
    pub(crate) fn has_passed(&self, segment: &Segment) -> bool {
        self.position.is_some_and(|position| SitePosition::end_of(segment) <= position)
    }

    /// Adds the rest of a segment, as far as it fits in a part. Returns a part as soon as there is one: then the segment is
    /// to be added again.
    ///
    /// # Errors
    /// The segment is damaged.
    pub(crate) fn add(
        &mut self,
        segment: &Arc<Segment>,
    ) -> Result<Option<OutgoingPart>, PartError> {
        if self.has_passed(segment) {
            return Ok(None);
        }
        let end = SitePosition::end_of(segment);
        let Some(admitted) = self.manifest.admit(segment) else {
            self.position = Some(end);
            return Ok(None);
        };
        if !admitted.deletes().is_empty() {
            if let Some(part) = self.finish() {
                return Ok(Some(part));
            }
            self.position = Some(end);
            return Ok(self.deletes(admitted.deletes(), end));
        }
        let readable = without_damage(&admitted);
        self.add_rows(segment, readable)
    }

    fn add_rows(
        &mut self,
        segment: &Segment,
        readable: Segment,
    ) -> Result<Option<OutgoingPart>, PartError> {
        let mut decoded = DecodedStreams {
            segment: readable,
            catalog: self.catalog,
            tables: BTreeMap::new(),
        };
        let start = self.position.map_or((0, 0), |at| at.shipped_in(segment.name()));
        for (index, entry) in segment.directory().iter().enumerate() {
            let Some((table, batch)) = decoded.next(entry.table, entry.offset)? else {
                continue;
            };
            let mut row = match index.cmp(&start.0) {
                Ordering::Less => continue,
                Ordering::Equal => start.1,
                Ordering::Greater => 0,
            };
            while row < batch.num_rows() {
                if self.decoded_bytes >= self.part_bytes {
                    return Ok(self.finish());
                }
                let rows = self.rows_that_fit(&batch).min(batch.num_rows() - row);
                let slice = batch.slice(row, rows);
                push_table(&mut self.body, table.name(), &slice)?;
                // The receiver may count other buffers, such as those of missing values.
                let bytes = decoded_bytes(&slice).saturating_mul(2);
                self.decoded_bytes = self.decoded_bytes.saturating_add(bytes);
                self.rows += rows;
                row += rows;
                self.position =
                    Some(SitePosition { segment: segment.name(), streams: index, rows: row });
            }
        }
        self.position = Some(SitePosition::end_of(segment));
        Ok(None)
    }

    /// Returns the number of rows of a batch that a part has room for, and at least one.
    fn rows_that_fit(&self, batch: &RecordBatch) -> usize {
        let row_bytes = batch_bytes(batch).div_ceil(batch.num_rows().max(1)).max(1);
        let free_bytes = self.part_bytes.saturating_sub(self.decoded_bytes) / 2;
        (free_bytes / row_bytes).max(1)
    }

    /// Returns the deletes as a part; `None` if all of their tables are dropped.
    fn deletes(&self, deletes: &[RowDelete], to: SitePosition) -> Option<OutgoingPart> {
        let named = deletes.iter().filter_map(|delete| {
            let table = live_table(self.catalog, delete.table)?;
            let present_name = |stored: &str| {
                let mut columns = table.columns().iter();
                let column = columns.find(|column| column.stored_name() == stored);
                column.map_or(stored, |column| column.name.as_str()).to_owned()
            };
            Some(DeleteOfTable {
                table: table.name().to_owned(),
                condition: delete.condition.clone().with_tag_names(&present_name),
            })
        });
        let deletes: Vec<_> = named.collect();
        (!deletes.is_empty()).then_some(OutgoingPart {
            to,
            content: OutgoingContent::Deletes(DeletesBody { deletes }),
        })
    }

    /// Returns the rows that are left as a part; `None` if there are none.
    pub(crate) fn finish(&mut self) -> Option<OutgoingPart> {
        let to = self.position.filter(|_| self.rows > 0)?;
        Some(OutgoingPart {
            to,
            content: OutgoingContent::Rows {
                body: std::mem::take(&mut self.body).into(),
                decoded_bytes: std::mem::take(&mut self.decoded_bytes),
                rows: std::mem::take(&mut self.rows),
            },
        })
    }
}

impl<'a> DecodedStreams<'a> {
    /// Returns the rows of the next stream of a table, which begins at an offset, with the table; `None` if the stream can't be
    /// read or the table is dropped. Called for each stream, in their order.
    fn next(
        &mut self,
        id: TableId,
        offset: u32,
    ) -> Result<Option<(&'a Table, RecordBatch)>, PartError> {
        if !self.segment.directory().iter().any(|entry| entry.offset == offset) {
            return Ok(None);
        }
        let Some(table) = live_table(self.catalog, id) else {
            return Ok(None);
        };
        let batches = match self.tables.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(named_rows(&self.segment, table)?.into()),
        };
        Ok(batches.pop_front().map(|batch| (table, batch)))
    }
}

fn live_table(catalog: &DatabaseCatalog, id: TableId) -> Option<&Table> {
    let table = catalog.table_by_id(id)?;
    table.deletion().is_none().then_some(&**table)
}

/// Returns a segment without its damaged streams, whose rows the site has lost, too.
fn without_damage(segment: &Segment) -> Segment {
    let damaged: Vec<u32> = segment.damaged_streams().map(|entry| entry.offset).collect();
    if !damaged.is_empty() {
        let name = segment.name();
        tracing::warn!(?name, streams = damaged.len(), "damaged rows are not shipped");
    }
    segment.without_streams(&damaged)
}
