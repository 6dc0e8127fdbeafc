//! Rows that no query sees although they are still in the bucket: deleted ones, and those that are older
//! than their table keeps them.
//!
//! ```text
//!   delete 7      of all rows in sections that end below stamp 7, those that it names
//!   first         of all rows, those before the time from which on the table keeps them
//!
//!   section (0, 5]   |- first -|------ less what delete 7 names ------|   read through a filter
//!   section (5, 9]             |--------------------------------------|   read as it is
//! ```
//!
//! Both are true of all versions of a point in a source or of none, so they are filtered before versions
//! are folded.

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

use super::{regions::TimeRange, tail::TailRun};

/// What hides rows of a table in a snapshot.
#[derive(Debug)]
pub(crate) struct Hiding {
    /// The time that queries see.
    pub(crate) seen: TimeRange,
    tags: Vec<String>,
    /// Those of the manifest and then those of the tail.
    deletes: Vec<RecordedDelete>,
    /// The segments of the last of them.
    tail: Vec<SegmentName>,
}

/// What hides rows of one section. Sections of which the same is hidden are read through one filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hidden {
    /// Whether there are rows before the time that queries see.
    expires: bool,
    /// The places of the deletes that may name rows of it.
    deletes: Vec<usize>,
}

impl Hiding {
    /// What hides rows of `table`, at the time `now` of the store.
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
            seen: TimeRange {
                min: first_seen(snapshot, table, now),
                max: i64::MAX,
            },
            tags: table.tag_names(),
            deletes: recorded.chain(of_tail).collect(),
            tail,
        }
    }

    /// What is hidden of a run of the tail: what deletes in later segments name.
    pub(super) fn of_run(&self, run: &TailRun) -> Hidden {
        let (last, time) = (run.last(), run.time());
        let first = self.deletes.len() - self.tail.len();
        let meets = |condition: &Condition| {
            let hull = condition.time_hull();
            hull.is_some_and(|(min, max)| time.intersection(TimeRange { min, max }).is_some())
        };
        let deletes = self.tail.iter().zip(first..);
        Hidden {
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

    /// What is hidden of a section.
    pub(crate) fn of_section(&self, section: &Section) -> Hidden {
        let deletes = self.deletes.iter().enumerate();
        Hidden {
            expires: section.min_time < self.seen.min,
            deletes: deletes
                .filter(|(_, delete)| delete.applies_to(section))
                .map(|(at, _)| at)
                .collect(),
        }
    }

    /// The condition of the rows that are seen nevertheless; `None` if all are.
    pub(crate) fn seen_of(&self, hidden: &Hidden) -> Option<Seen> {
        if !hidden.expires && hidden.deletes.is_empty() {
            return None;
        }
        let deletes = hidden.deletes.iter().filter_map(|at| self.deletes.get(*at));
        let deleted = deletes.map(|delete| holds(&delete.delete.condition, &self.tags));
        let mut seen = vec![balanced(deleted.collect(), Expr::or, false).is_not_true()];
        if hidden.expires {
            seen.push(time().gt_eq(nanoseconds(self.seen.min)));
        }
        let condition = balanced(seen, Expr::and, true);
        let columns = condition.column_refs().into_iter();
        Some(Seen {
            columns: columns.map(|column| column.name.clone()).collect(),
            condition,
        })
    }
}

/// A condition that rows fulfil which are seen.
#[derive(Debug)]
pub(crate) struct Seen {
    condition: Expr,
    columns: HashSet<String>,
}

impl Seen {
    /// Whether it reads this column.
    pub(crate) fn reads(&self, name: &str) -> bool {
        self.columns.contains(name)
    }

    /// The condition on rows of this shape.
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

/// The first time that queries see: rows that are older than the retention are not shown, whether they are
/// still there or not.
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

/// What is true of the rows of which a condition holds, and false or unknown of others. A row that lacks a
/// tag has no value of it, and so do all rows if there is no such tag.
fn holds(condition: &Condition, tags: &[String]) -> Expr {
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
            all.iter().map(|part| holds(part, tags)).collect(),
            Expr::and,
            true,
        ),
        Condition::Any(any) => balanced(
            any.iter().map(|part| holds(part, tags)).collect(),
            Expr::or,
            false,
        ),
    }
}

/// Joins expressions to one that is no deeper than it has to be.
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
