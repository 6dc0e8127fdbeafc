//! Collects the rows of a request, and the items that are refused.

use std::collections::BTreeSet;

use neap_http::text_prefix;
use neap_rows::{
    columnar::{ColumnConflict, PointBatches, PointRows, TableBatch},
    line_protocol::{LineError, ParseError},
};

use super::{ItemError, distinct_times::DistinctTimes};
use crate::encoding::DecodeError;

/// Maximum number of groups of rows. In each of them, a column has one type.
const MAX_GROUPS: usize = 4;

/// Maximum number of reasons in the answer.
const MAX_REASONS: usize = 5;

/// Maximum size of a reason in the answer, in bytes.
const MAX_REASON_BYTES: usize = 300;

/// Maximum size of a refused row in a reason, in bytes.
const MAX_ROW_BYTES: usize = 100;

/// What a row is for its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowRole {
    /// The item itself. It is refused if this row is.
    Item,
    /// An event, a link or an exemplar, without which the item is stored.
    Detail,
}

/// The item of consecutive rows.
#[derive(Clone, Copy, Debug)]
struct RowOwner {
    /// The number of the first row.
    first_row: usize,
    /// The number of the item, from 1.
    item: usize,
    role: RowRole,
}

/// Items and details that are refused.
#[derive(Clone, Debug, Default)]
struct Refusals {
    items: usize,
    details: usize,
    /// The first reasons.
    reasons: Vec<String>,
}

impl Refusals {
    fn add_reason(&mut self, noun: &str, item: usize, reason: &str) {
        if self.reasons.len() < MAX_REASONS {
            let reason = text_prefix(reason, MAX_REASON_BYTES);
            self.reasons.push(format!("{noun} {item}: {reason}"));
        }
    }
}

/// Rows whose columns have one type each.
#[derive(Debug, Default)]
struct RowGroup {
    points: PointBatches,
    owners: Vec<RowOwner>,
    /// The number of rows that were begun.
    rows: usize,
}

impl RowGroup {
    fn size_bytes(&self) -> usize {
        let owners = self.owners.len() * size_of::<RowOwner>();
        self.points.size_bytes().saturating_add(owners)
    }

    fn add_row(
        &mut self,
        table: &str,
        time_ns: i64,
        (item, role): (usize, RowRole),
        fill: impl FnOnce(&mut TableBatch) -> Result<(), ItemError>,
    ) -> Result<(), ItemError> {
        self.rows += 1;
        let last = self.owners.last();
        if !last.is_some_and(|owner| owner.item == item && owner.role == role) {
            self.owners.push(RowOwner { first_row: self.rows, item, role });
        }
        let batch = self.points.table(table);
        batch.begin_row(time_ns);
        let filled = fill(batch);
        if filled.is_err() {
            batch.discard_row();
        }
        filled
    }
}

/// Collects rows by item. An item is a span, a log record or a data point.
#[derive(Debug)]
pub(crate) struct RowCollector {
    /// The noun for items in reasons.
    noun: &'static str,
    /// A row that has a column with another type than earlier rows is in a later group. The groups are written one after
    /// the other, so that the table decides which of the types it takes.
    groups: Vec<RowGroup>,
    /// The number of items that were begun.
    items: usize,
    refusals: Refusals,
    /// Maximum memory of the rows, in bytes.
    max_bytes: usize,
    log_times: DistinctTimes,
}

impl RowCollector {
    /// Creates a collector of items that have this noun.
    pub(crate) fn new(noun: &'static str, max_bytes: usize) -> Self {
        Self {
            noun,
            groups: Vec::new(),
            items: 0,
            refusals: Refusals::default(),
            max_bytes,
            log_times: DistinctTimes::default(),
        }
    }

    /// Adds the rows of an item. If that fails, the item is refused.
    ///
    /// # Errors
    /// The rows of the request take too much memory.
    pub(crate) fn add_item(
        &mut self,
        add: impl FnOnce(&mut Self) -> Result<(), ItemError>,
    ) -> Result<(), DecodeError> {
        self.items += 1;
        let added = add(self);
        // Also if the item goes on without the row.
        self.check_size()
            .map_err(|error| DecodeError { path: String::new(), reason: error.to_string() })?;
        if let Err(error) = added {
            self.refusals.items += 1;
            let reason = error.to_string();
            self.refusals.add_reason(self.noun, self.items, &reason);
        }
        Ok(())
    }

    /// Returns whether the rows take more memory than they may. Then the request is refused.
    pub(crate) fn is_too_large(&self) -> bool {
        let bytes = self.groups.iter().map(RowGroup::size_bytes);
        bytes.fold(self.log_times.size_bytes(), usize::saturating_add) > self.max_bytes
    }

    fn check_size(&self) -> Result<(), ItemError> {
        if self.is_too_large() {
            Err(ItemError::RowsTooLarge(self.max_bytes))
        } else {
            Ok(())
        }
    }

    /// Adds a row of the current item. `fill` is called again if a column of other rows has another type.
    ///
    /// # Errors
    /// The errors of `fill`. The row is discarded. [`ItemError::RowsTooLarge`] without a call of `fill` if earlier rows
    /// take too much memory, because a single item may have many rows.
    pub(crate) fn add_row(
        &mut self,
        table: &str,
        time_ns: i64,
        role: RowRole,
        fill: impl Fn(&mut TableBatch) -> Result<(), ItemError>,
    ) -> Result<(), ItemError> {
        self.check_size()?;
        let owner = (self.items, role);
        let mut outcome = Ok(());
        for index in 0..MAX_GROUPS {
            if index == self.groups.len() {
                self.groups.push(RowGroup::default());
            }
            let Some(group) = self.groups.get_mut(index) else {
                break;
            };
            outcome = group.add_row(table, time_ns, owner, &fill);
            if !matches!(outcome, Err(ItemError::Column(ColumnConflict::Type { .. }))) {
                break;
            }
        }
        outcome
    }

    /// Adds a row of an event, a link or an exemplar. If that fails, the item is stored without it.
    pub(crate) fn add_detail(
        &mut self,
        table: &str,
        time_ns: i64,
        fill: impl Fn(&mut TableBatch) -> Result<(), ItemError>,
    ) {
        if let Err(error) = self.add_row(table, time_ns, RowRole::Detail, fill) {
            self.refusals.details += 1;
            let reason = error.to_string();
            self.refusals.add_reason(self.noun, self.items, &reason);
        }
    }

    /// Returns the time of a log record with these tags that no other record of the request has.
    pub(crate) fn distinct_log_time(&mut self, tags: &[(&str, &str)], time_ns: i64) -> i64 {
        self.log_times.take(tags, time_ns)
    }

    /// Returns the rows.
    pub(crate) fn finish(self) -> Result<CollectedRows, ParseError> {
        let groups: Vec<_> = self
            .groups
            .into_iter()
            .map(|group| {
                let rows = group.points.into_rows()?;
                Ok((rows, group.owners))
            })
            .collect::<Result<_, ParseError>>()?;
        let (groups, owners) = groups.into_iter().filter(|(rows, _)| rows.row_count() > 0).unzip();
        Ok(CollectedRows {
            groups,
            refused: RefusedItems {
                noun: self.noun,
                owners,
                items: self.items,
                refusals: self.refusals,
            },
        })
    }
}

/// The rows of a request.
#[derive(Debug)]
pub(crate) struct CollectedRows {
    /// Rows that are written one group after the other. No group is empty.
    pub(crate) groups: Vec<PointRows>,
    pub(crate) refused: RefusedItems,
}

/// The items of a request that are refused.
#[derive(Debug)]
pub(crate) struct RefusedItems {
    noun: &'static str,
    /// The items of the rows of each group.
    owners: Vec<Vec<RowOwner>>,
    items: usize,
    refusals: Refusals,
}

impl RefusedItems {
    /// Adds the rows of a group that the write refused. `refused` is their number, which may be larger than that of the
    /// errors.
    pub(crate) fn add_rows(&mut self, group: usize, errors: &[LineError], refused: usize) {
        let mut items = BTreeSet::new();
        let mut details = 0;
        for error in errors {
            let Some(owner) = self.owner(group, error.line_number) else {
                continue;
            };
            let is_new = match owner.role {
                RowRole::Item => items.insert(owner.item),
                RowRole::Detail => {
                    details += 1;
                    true
                }
            };
            if is_new {
                let row = text_prefix(&error.original_line, MAX_ROW_BYTES);
                let reason = match row {
                    "" => error.error_message.clone(),
                    row => format!("{} in {row}", error.error_message),
                };
                self.refusals.add_reason(self.noun, owner.item, &reason);
            }
        }
        let unreported = refused.saturating_sub(errors.len());
        self.refusals.details += details;
        self.refusals.items += items.len() + unreported;
        self.refusals.items = self.refusals.items.min(self.items);
    }

    fn owner(&self, group: usize, row: usize) -> Option<RowOwner> {
        let owners = self.owners.get(group)?;
        let after = owners.partition_point(|owner| owner.first_row <= row);
        owners.get(after.checked_sub(1)?).copied()
    }

    /// The number of refused items.
    pub(crate) fn count(&self) -> usize {
        self.refusals.items
    }

    /// Returns the text about everything that is not stored; `None` if everything is.
    pub(crate) fn message(&self) -> Option<String> {
        let Refusals { items, details, reasons } = &self.refusals;
        if *items == 0 && *details == 0 {
            return None;
        }
        let (noun, all) = (self.noun, self.items);
        let mut parts = Vec::new();
        if *items > 0 {
            parts.push(format!("{items} of {all} {noun}s"));
        }
        if *details > 0 {
            parts.push(format!("{details} events, links or exemplars"));
        }
        let parts = parts.join(" and ");
        Some(format!("{parts} are not stored; {}", reasons.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use neap_rows::line_protocol::LineErrorKind;

    use super::*;

    fn value(row: &mut TableBatch) -> Result<(), ItemError> {
        Ok(row.float("v", 1.0)?)
    }

    fn refused_row(line_number: usize) -> LineError {
        LineError {
            line_number,
            original_line: String::new(),
            error_message: format!("row {line_number}"),
            kind: LineErrorKind::Schema,
            conflict: None,
        }
    }

    fn collected() -> CollectedRows {
        let mut rows = RowCollector::new("span", usize::MAX);
        let added = rows.add_item(|rows| {
            rows.add_row("a", 1, RowRole::Item, value)?;
            rows.add_row("a", 2, RowRole::Item, value)?;
            rows.add_detail("b", 3, value);
            rows.add_detail("b", 4, |_| Err(ItemError::Missing("y")));
            Ok(())
        });
        added.unwrap();
        let added = rows.add_item(|rows| {
            rows.add_row("a", 5, RowRole::Item, value)?;
            rows.add_row("a", 6, RowRole::Item, |_| Err(ItemError::Missing("x")))
        });
        added.unwrap();
        rows.add_item(|rows| rows.add_row("a", 7, RowRole::Item, value)).unwrap();
        rows.finish().unwrap()
    }

    #[test]
    fn refused_items_and_details_are_counted() {
        let CollectedRows { groups, refused } = collected();
        let rows: Vec<_> = groups.iter().map(PointRows::row_count).collect();
        assert_eq!((rows, refused.count()), (vec![5], 1));
        insta::assert_snapshot!(refused.message().unwrap(), @"1 of 3 spans and 1 events, links or exemplars are not stored; span 1: y is missing; span 2: x is missing");
    }

    #[test]
    fn refused_rows_are_counted_by_item() {
        let mut refused = collected().refused;
        refused.add_rows(0, &[1, 2, 3, 7].map(refused_row), 4);
        assert_eq!(refused.count(), 3);
        let message = refused.message().unwrap();
        assert!(message.contains("span 1: row 1; span 1: row 3; span 3: row 7"), "{message}");
        assert!(message.starts_with("3 of 3 spans and 2 events"), "{message}");
    }

    #[test]
    fn more_rows_may_be_refused_than_reported() {
        let mut refused = collected().refused;
        refused.add_rows(0, &[refused_row(1)], 50);
        assert_eq!(refused.count(), 3);
    }

    #[test]
    fn rows_with_other_types_are_in_other_groups() {
        let mut rows = RowCollector::new("data point", usize::MAX);
        let mut add = |fill: fn(&mut TableBatch) -> Result<(), ColumnConflict>| {
            rows.add_item(|rows| rows.add_row("a", 1, RowRole::Item, |row| Ok(fill(row)?)))
                .unwrap();
        };
        add(|row| row.integer("v", 1));
        add(|row| row.float("v", 1.0));
        add(|row| row.integer("v", 2));
        add(|row| row.tag("v", "x"));
        add(|row| row.float("v", 1.0));
        add(|row| row.string("v", "x"));
        add(|row| row.boolean("v", true));
        add(|row| row.float("w", 1.0));
        let CollectedRows { groups, mut refused } = rows.finish().unwrap();
        let counts: Vec<_> = groups.iter().map(PointRows::row_count).collect();
        assert_eq!((counts, refused.count()), (vec![3, 2, 1, 1], 1));
        // The second row of this group was discarded: its column is a tag.
        refused.add_rows(1, &[refused_row(3)], 1);
        refused.add_rows(2, &[refused_row(1)], 1);
        let message = refused.message().unwrap();
        assert!(message.contains("data point 5: row 3; data point 4: row 1"), "{message}");
    }

    #[test]
    fn the_memory_of_the_rows_is_limited() {
        let mut rows = RowCollector::new("span", 10_000);
        let add = |rows: &mut RowCollector| {
            rows.add_row("a", 1, RowRole::Item, |row| Ok(row.string("v", &"x".repeat(1_000))?))
        };
        let error = (0..100).find_map(|_| rows.add_item(add).err()).unwrap();
        assert!(error.reason.contains("more than 10000 bytes"), "{error}");
        assert!(rows.is_too_large());
    }

    #[test]
    fn an_item_with_many_rows_is_refused_before_they_take_too_much_memory() {
        let mut rows = RowCollector::new("data point", 100_000);
        let started_at = Cell::new(0);
        let text = "x".repeat(1_000);
        let added = rows.add_item(|rows| {
            for time in 0..10_000 {
                rows.add_row("a", time, RowRole::Item, |row| {
                    started_at.set(started_at.get() + 1);
                    Ok(row.string("v", &text)?)
                })?;
            }
            Ok(())
        });
        assert!(added.is_err());
        assert!(started_at.get() < 110, "{}", started_at.get());
        let mut rows = RowCollector::new("span", 100_000);
        let details = Cell::new(0);
        let added = rows.add_item(|rows| {
            for time in 0..10_000 {
                rows.add_detail("b", time, |row| {
                    details.set(details.get() + 1);
                    Ok(row.string("v", &text)?)
                });
            }
            Ok(())
        });
        assert!(added.is_err());
        assert!(details.get() < 110, "{}", details.get());
    }
}
