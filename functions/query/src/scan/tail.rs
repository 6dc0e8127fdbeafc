//! The tails of tables without duplicates, kept between queries.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use moka::sync::Cache;
use neap_bucket::SegmentName;
use neap_catalog::Table;
use neap_manifest::Snapshot;
use neap_points::{PointsError, TailImage, TailImageBuilder};
use neap_schema::{DatabaseId, TableId};
use neap_wal::SegmentError;

/// Why the tail of a table could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TailError {
    /// A segment is damaged.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The rows are not those of the table.
    #[error(transparent)]
    Points(#[from] PointsError),
    /// The tail does not fit into what it may hold.
    #[error(
        "the tail of table '{table}' needs more than {limit} bytes of memory; wait for the next flush"
    )]
    TooLarge {
        /// The table.
        table: String,
        /// The limit in bytes.
        limit: usize,
    },
}

/// The images of the tails that were asked for lately.
#[derive(Debug)]
pub(crate) struct TailImages {
    tails: Cache<(DatabaseId, TableId), Arc<Mutex<Tail>>>,
    limit_bytes: usize,
}

/// The segments that an image builder has taken in.
#[derive(Debug)]
struct Tail {
    builder: TailImageBuilder,
    taken: Vec<SegmentName>,
}

impl Tail {
    fn new(tags: &[String], schema: SchemaRef) -> Self {
        Self {
            builder: TailImageBuilder::new(tags, schema),
            taken: Vec::new(),
        }
    }

    /// Whether the snapshot's tail is what was taken in, or goes on from there.
    fn is_start_of(&self, snapshot: &Snapshot, tags: &[String], schema: &SchemaRef) -> bool {
        self.builder.schema() == schema
            && self.builder.tags() == tags
            && self.taken.len() <= snapshot.tail.len()
            && self
                .taken
                .iter()
                .zip(snapshot.tail.iter())
                .all(|(name, segment)| *name == segment.name())
    }

    fn take_in(
        &mut self,
        snapshot: &Snapshot,
        table: &Table,
        limit: usize,
    ) -> Result<Arc<TailImage>, TailError> {
        for segment in snapshot.tail.iter().skip(self.taken.len()) {
            for batch in segment.rows(table.id())? {
                self.builder.push(&batch)?;
            }
            for delete in segment.deletes() {
                if delete.table == table.id() {
                    self.builder.delete(&delete.condition)?;
                }
            }
            if self.builder.size_bytes() > limit {
                return Err(TailError::TooLarge {
                    table: table.name().to_owned(),
                    limit,
                });
            }
            self.taken.push(segment.name());
        }
        Ok(self.builder.image())
    }
}

impl TailImages {
    /// No images yet; together they hold at most about `limit_bytes`, and so does each.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        let tails = Cache::builder()
            .max_capacity(limit_bytes as u64)
            .weigher(|_, tail: &Arc<Mutex<Tail>>| {
                let tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                u32::try_from(tail.builder.size_bytes()).unwrap_or(u32::MAX)
            })
            .build();
        Self { tails, limit_bytes }
    }

    /// The tail of a table in a snapshot. Costs what is new in it since the last call; CPU only.
    pub(crate) fn image(
        &self,
        snapshot: &Snapshot,
        table: &Table,
    ) -> Result<Arc<TailImage>, TailError> {
        let id = (snapshot.database, table.id());
        let tags = table.tag_names();
        let schema = table.arrow_schema();
        let tail = self
            .tails
            .get(&id)
            .unwrap_or_else(|| Arc::new(Mutex::new(Tail::new(&tags, Arc::clone(&schema)))));
        let image = {
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            if !tail.is_start_of(snapshot, &tags, &schema) {
                *tail = Tail::new(&tags, schema);
            }
            let image = tail.take_in(snapshot, table, self.limit_bytes);
            if image.is_err() {
                // Rows of a segment may have been taken in by half.
                *tail = Tail::new(&tags, table.arrow_schema());
            }
            image?
        };
        // Weighed anew.
        self.tails.insert(id, tail);
        Ok(image)
    }
}
