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

use std::{collections::HashSet, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    catalog::Session,
    common::{Column, DFSchema, Result, ScalarValue},
    logical_expr::{Expr, lit},
    physical_expr::PhysicalExpr,
};
use neap_bucket::{SegmentName, StoreTime};
use neap_catalog::Table;
use neap_manifest::{RecordedDelete, Section, Snapshot};
use neap_row_delete::Condition;
use neap_schema::TIME_COLUMN;

use super::{regions::TimeInterval, tail::TailRun};

/// The visibility of rows of a table in a snapshot: its deletes and its retention.
#[derive(Debug)]
pub(crate) struct RowVisibility {
    /// The visible time.
    pub(crate) seen: TimeInterval,
    tags: Vec<String>,
    /// The deletes of the manifest, then those of the tail.
    deletes: Vec<RecordedDelete>,
    /// The segments of the deletes of the tail, which are the last of `deletes`.
    tail: Vec<SegmentName>,
}

/// The causes that hide rows of one source. Sections with equal causes are read through one filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeletedRows {
    /// Whether the source has rows before the first visible time.
    expires: bool,
    /// The indexes of the deletes that may name rows of the source.
    deletes: Vec<usize>,
}

impl RowVisibility {
    /// Returns the visibility of rows of `table`. Retention counts back from `now`, a time of the store.
    pub(crate) fn of(snapshot: &Snapshot, table: &Table, now: StoreTime) -> Self {
        let recorded = snapshot.manifest.value.deletes_of(table.id()).cloned();
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
        Self {
            seen: TimeInterval {
                min: first_seen(snapshot, table, now),
                max: i64::MAX,
            },
            tags: table.tag_names(),
            deletes: recorded.chain(of_tail).collect(),
            tail,
        }
    }

    /// Returns the visibility of a fragment of a scan.
    pub(super) fn of_fragment(
        first_seen: i64,
        tags: Vec<String>,
        deletes: Vec<RecordedDelete>,
        tail: Vec<SegmentName>,
    ) -> Self {
        Self {
            seen: TimeInterval {
                min: first_seen,
                max: i64::MAX,
            },
            tags,
            deletes,
            tail,
        }
    }

    /// Returns the deletes of the manifest, then those of the tail, with the segments of the latter.
    pub(super) fn deletes(&self) -> (&[RecordedDelete], &[SegmentName]) {
        (&self.deletes, &self.tail)
    }

    /// Returns the deletes that hide rows of a run of the tail: those in later segments.
    pub(super) fn of_run(&self, run: &TailRun) -> DeletedRows {
        let (last, time) = (run.last(), run.time());
        let first = self.deletes.len() - self.tail.len();
        let meets = |condition: &Condition| {
            let hull = condition.time_bounds();
            hull.is_some_and(|(min, max)| time.intersection(TimeInterval { min, max }).is_some())
        };
        let deletes = self.tail.iter().zip(first..);
        DeletedRows {
            expires: false,
            deletes: deletes
                .filter(|(name, _)| last < **name)
                .map(|(_, at)| at)
                .filter(|at| {
                    let delete = self.deletes.get(*at);
                    delete.is_some_and(|delete| meets(&delete.delete.condition))
                })
                .collect(),
        }
    }

    /// Returns the causes that hide rows of a section.
    pub(crate) fn of_section(&self, section: &Section) -> DeletedRows {
        let deletes = self.deletes.iter().enumerate();
        DeletedRows {
            expires: section.min_time < self.seen.min,
            deletes: deletes
                .filter(|(_, delete)| delete.applies_to(section))
                .map(|(at, _)| at)
                .collect(),
        }
    }

    /// Returns the condition of the visible rows; `None` if all rows are visible.
    pub(crate) fn visible_rows(&self, hidden: &DeletedRows) -> Option<VisibleRows> {
        if !hidden.expires && hidden.deletes.is_empty() {
            return None;
        }
        let deletes = hidden.deletes.iter().filter_map(|at| self.deletes.get(*at));
        let deleted = deletes.map(|delete| condition_expr(&delete.delete.condition, &self.tags));
        let mut seen = vec![balanced(deleted.collect(), Expr::or, false).is_not_true()];
        if hidden.expires {
            seen.push(time().gt_eq(nanoseconds(self.seen.min)));
        }
        let condition = balanced(seen, Expr::and, true);
        let columns = condition.column_refs().into_iter();
        Some(VisibleRows {
            columns: columns.map(|column| column.name.clone()).collect(),
            condition,
        })
    }
}

/// A condition that is true of visible rows.
#[derive(Debug)]
pub(crate) struct VisibleRows {
    condition: Expr,
    columns: HashSet<String>,
}

impl VisibleRows {
    /// Whether the condition reads this column.
    pub(crate) fn reads(&self, name: &str) -> bool {
        self.columns.contains(name)
    }

    /// Returns the condition as a physical expression on rows with this schema.
    pub(crate) fn physical(
        &self,
        session: &dyn Session,
        schema: &SchemaRef,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        session.create_physical_expr(
            self.condition.clone(),
            &DFSchema::try_from(Arc::clone(schema))?,
        )
    }
}

/// Returns the first visible time in nanoseconds since the Unix epoch. Rows older than the retention are hidden even if
/// they are still in the bucket.
pub(super) fn first_seen(snapshot: &Snapshot, table: &Table, now: StoreTime) -> i64 {
    let cutoff = snapshot.catalog.value.cutoff_of(table.id(), now);
    cutoff.unwrap_or(i64::MIN)
}

fn time() -> Expr {
    Expr::Column(Column::new_unqualified(TIME_COLUMN))
}

fn nanoseconds(time: i64) -> Expr {
    lit(ScalarValue::TimestampNanosecond(Some(time), None))
}

/// Returns an expression that is true of the rows that fulfil a condition, and false or unknown of others. A tag that a
/// row lacks, or that the table does not have, counts as a tag without a value.
fn condition_expr(condition: &Condition, tags: &[String]) -> Expr {
    match condition {
        Condition::Time { min, max } => time().between(nanoseconds(*min), nanoseconds(*max)),
        Condition::Tag { name, value } => {
            let value = value.as_deref().filter(|value| !value.is_empty());
            let tag = Expr::Column(Column::new_unqualified(name));
            match value {
                _ if !tags.contains(name) => lit(value.is_none()),
                Some(value) => tag.eq(lit(value)),
                None => tag.is_null(),
            }
        }
        Condition::All(all) => balanced(
            all.iter().map(|part| condition_expr(part, tags)).collect(),
            Expr::and,
            true,
        ),
        Condition::Any(any) => balanced(
            any.iter().map(|part| condition_expr(part, tags)).collect(),
            Expr::or,
            false,
        ),
    }
}

/// Joins expressions to one of minimal depth. Returns the literal `of_none` if there are no expressions.
fn balanced(mut parts: Vec<Expr>, join: fn(Expr, Expr) -> Expr, of_none: bool) -> Expr {
    match parts.len() {
        0 | 1 => parts.pop().unwrap_or_else(|| lit(of_none)),
        count => {
            let rest = parts.split_off(count / 2);
            join(
                balanced(parts, join, of_none),
                balanced(rest, join, of_none),
            )
        }
    }
}
