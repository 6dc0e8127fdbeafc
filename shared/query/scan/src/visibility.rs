//! Visibility of rows: hides rows that are still in the bucket but deleted, or older than the retention of their table.
//!
//! ```text
//!   delete 7      hides the rows that it names in sections that end below stamp 7
//!   first         the first visible time by the retention of the table; hides all rows before it
//!
//!   section (0, 5]   |- first -|------ less rows of delete 7 ---------|   read through a filter
//!   section (5, 9]             |--------------------------------------|   read without a filter
//! ```
//!
//! Both conditions are true of all versions of a point in a source or of none, so they are applied before versions are
//! deduplicated.

use std::{collections::BTreeSet, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{Result, ScalarValue},
    logical_expr::Operator,
    physical_expr::{
        PhysicalExpr, conjunction,
        expressions::{BinaryExpr, col, lit},
    },
};
use neap_bucket::{SegmentName, StoreTime};
use neap_catalog::Table;
use neap_manifest::{RecordedDelete, Section, Snapshot};
use neap_row_delete::DeleteIndex;
use neap_schema::TIME_COLUMN;

use crate::{
    not_deleted::{LaterDeletes, NotDeletedExpr},
    regions::TimeInterval,
    tail::TailRun,
};

/// The visibility of rows of a table in a snapshot: its deletes and its retention.
#[derive(Debug)]
pub(crate) struct RowVisibility {
    /// The visible time.
    pub(crate) seen: TimeInterval,
    tags: Vec<String>,
    /// The deletes of the manifest, then those of the tail, in the order of their stamps.
    deletes: Vec<RecordedDelete>,
    /// The segments of the deletes of the tail, which are the last of `deletes`.
    tail: Vec<SegmentName>,
    /// The same deletes, for evaluation.
    index: Arc<DeleteIndex>,
}

/// The causes that hide rows of one source. Sections with equal causes are read through one filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeletedRows {
    /// Whether the source has rows before the first visible time.
    expires: bool,
    /// The position of the first delete that is newer than the source, if some delete may match rows of the source.
    deletes_from: Option<usize>,
}

impl RowVisibility {
    /// Returns the visibility of rows of `table`. Retention counts back from `now`, a time of the store.
    pub(crate) fn new(snapshot: &Snapshot, table: &Table, now: StoreTime) -> Self {
        let manifest = &snapshot.manifest.value;
        let mut recorded: Vec<RecordedDelete> = manifest.deletes_of(table.id()).cloned().collect();
        recorded.sort_by_key(|delete| delete.stamp);
        let of_tail = snapshot.tail.iter().flat_map(|segment| {
            let name = segment.name();
            let deletes = segment.deletes().iter();
            let ours = deletes.filter(|delete| delete.table == table.id());
            ours.map(move |delete| {
                let recorded = RecordedDelete {
                    stamp: name.stamp,
                    delete: delete.clone(),
                    added: snapshot.manifest.version,
                    dropped: None,
                    expiry: false,
                };
                (name, recorded)
            })
        });
        let (tail, of_tail): (Vec<SegmentName>, Vec<RecordedDelete>) = of_tail.unzip();
        recorded.extend(of_tail);
        let first_seen = first_seen(snapshot, table, now);
        Self::of_fragment(first_seen, table.tag_names(), recorded, tail)
    }

    /// Returns the visibility of a fragment of a scan.
    pub(crate) fn of_fragment(
        first_seen: i64,
        tags: Vec<String>,
        deletes: Vec<RecordedDelete>,
        tail: Vec<SegmentName>,
    ) -> Self {
        let conditions = deletes.iter().map(|recorded| &recorded.delete.condition);
        let index = Arc::new(conditions.collect());
        Self {
            seen: TimeInterval { min: first_seen, max: i64::MAX },
            tags,
            deletes,
            tail,
            index,
        }
    }

    /// Returns the deletes of the manifest, then those of the tail, with the segments of the latter.
    pub(crate) fn deletes(&self) -> (&[RecordedDelete], &[SegmentName]) {
        (&self.deletes, &self.tail)
    }

    /// Returns the deletes that hide rows of a run of the tail: those in later segments.
    pub(crate) fn of_run(&self, run: &TailRun) -> DeletedRows {
        let (last, time) = (run.last(), run.time());
        let older = self.tail.partition_point(|name| *name <= last);
        let from = self.deletes.len() - self.tail.len() + older;
        let meets = |delete: &RecordedDelete| {
            let bounds = delete.delete.condition.time_bounds();
            bounds.is_some_and(|(min, max)| time.intersection(TimeInterval { min, max }).is_some())
        };
        DeletedRows {
            expires: false,
            deletes_from: self.later(from).iter().any(meets).then_some(from),
        }
    }

    /// Returns the causes that hide rows of a section.
    pub(crate) fn of_section(&self, section: &Section) -> DeletedRows {
        let clean_upto = section.clean_upto();
        let from = self.deletes.partition_point(|delete| delete.stamp <= clean_upto);
        let applies = |delete: &RecordedDelete| delete.applies_to(section);
        let is_met = self.index.meets(section.min_time, section.max_time)
            && self.later(from).iter().any(applies);
        DeletedRows {
            expires: section.min_time < self.seen.min,
            deletes_from: is_met.then_some(from),
        }
    }

    fn later(&self, from: usize) -> &[RecordedDelete] {
        self.deletes.get(from..).unwrap_or_default()
    }

    /// Returns the condition of the visible rows; `None` if all rows are visible.
    pub(crate) fn visible_rows(&self, hidden: &DeletedRows) -> Option<VisibleRows> {
        if *hidden == DeletedRows::default() {
            return None;
        }
        let is_read = |name: &&str| *name == TIME_COLUMN || self.tags.iter().any(|tag| tag == name);
        let columns = self.index.columns().into_iter().filter(is_read);
        Some(VisibleRows {
            deleted: hidden.deletes_from.map(|from| {
                let columns = columns.map(str::to_owned).collect();
                (LaterDeletes::new(Arc::clone(&self.index), from), columns)
            }),
            first: hidden.expires.then_some(self.seen.min),
        })
    }
}

/// A condition that is true of visible rows.
#[derive(Debug)]
pub(crate) struct VisibleRows {
    /// The deletes that may match rows, with the columns of the table that they depend on.
    deleted: Option<(LaterDeletes, BTreeSet<String>)>,
    /// The first visible time, if there may be rows before it.
    first: Option<i64>,
}

impl VisibleRows {
    /// Whether the condition reads this column.
    pub(crate) fn reads(&self, name: &str) -> bool {
        let deleted = self.deleted.as_ref();
        deleted.is_some_and(|(_, columns)| columns.contains(name))
            || self.first.is_some() && name == TIME_COLUMN
    }

    /// Returns the condition as a physical expression on rows with this schema.
    pub(crate) fn physical(&self, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
        let mut conditions: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
        if let Some((deletes, columns)) = &self.deleted {
            let not_deleted = NotDeletedExpr::new(deletes.clone(), columns, schema)?;
            conditions.push(Arc::new(not_deleted));
        }
        if let Some(first) = self.first {
            let time = col(TIME_COLUMN, schema)?;
            let first = lit(ScalarValue::TimestampNanosecond(Some(first), None));
            conditions.push(Arc::new(BinaryExpr::new(time, Operator::GtEq, first)));
        }
        Ok(conjunction(conditions))
    }
}

/// Returns the first visible time in nanoseconds since the Unix epoch. Rows older than the retention are hidden even if
/// they are still in the bucket.
pub(crate) fn first_seen(snapshot: &Snapshot, table: &Table, now: StoreTime) -> i64 {
    let cutoff = snapshot.catalog.value.cutoff_of(table.id(), now);
    cutoff.unwrap_or(i64::MIN)
}
