//! The windows of a table: the days in UTC that have rows.
//!
//! The first and the last time of each section and segment are times of rows, so their days are windows. The days
//! between them are not known: a query over these days alone finds those that have rows. Rows that are deleted or
//! expired, but not yet removed from their objects, may leave a window that has no rows.

use std::{collections::BTreeSet, fmt::Write, sync::Arc};

use arrow::{array::AsArray, datatypes::TimestampNanosecondType};
use chrono::{DateTime, NaiveDate, SecondsFormat};
use datafusion::execution::memory_pool::MemoryPool;
use futures::TryStreamExt;
use neap_manifest::{TimeRange, day_of};
use neap_operators::Cancellation;
use neap_scan::StaleTail;
use neap_schema::{DatabaseId, TableId};
use neap_tables::QueryContext;

use crate::{QueryEngine, QueryError, QueryRequest, quoted_name};

/// The nanoseconds of a day.
const DAY_NANOS: i64 = 86_400_000_000_000;

/// The date 1970-01-01 in chrono's count of days.
const EPOCH_DAYS_FROM_CE: i32 = 719_163;

/// Maximum number of time ranges in the condition of a query. More of them are replaced by one range around all.
const MAX_RANGES: usize = 50;

/// A day in UTC, by its number since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Window(i32);

impl Window {
    /// Parses a date such as `2026-01-15`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        let epoch = NaiveDate::from_num_days_from_ce_opt(EPOCH_DAYS_FROM_CE)?;
        i32::try_from(date.signed_duration_since(epoch).num_days()).ok().map(Self)
    }

    /// The date as `2026-01-15`.
    pub(super) fn date(self) -> String {
        let days = EPOCH_DAYS_FROM_CE.saturating_add(self.0);
        let date = NaiveDate::from_num_days_from_ce_opt(days).unwrap_or_default();
        date.format("%Y-%m-%d").to_string()
    }

    /// Returns the condition that selects the rows of the window.
    pub(super) fn condition(self) -> String {
        condition(self.0, self.0)
    }
}

/// Returns the SQL condition that selects the rows from one day to another, both included.
fn condition(first: i32, last: i32) -> String {
    let literal = |time: i64| {
        DateTime::from_timestamp_nanos(time).to_rfc3339_opts(SecondsFormat::Nanos, true)
    };
    let mut text = "true".to_owned();
    // A day at either end of the storable times is not a whole one.
    if let Some(start) = i64::from(first).checked_mul(DAY_NANOS) {
        write!(text, " AND time >= '{}'", literal(start)).ok();
    }
    let end = i64::from(last).saturating_add(1).checked_mul(DAY_NANOS);
    if let Some(end) = end {
        write!(text, " AND time < '{}'", literal(end)).ok();
    }
    text
}

/// Returns a table name as SQL.
pub(super) fn quoted(table: &str) -> String {
    format!("\"{}\".{}", neap_tables::SCHEMA, quoted_name(table))
}

/// The days of the times of sections and segments.
#[derive(Debug, Default)]
struct KnownDays {
    /// Days that have rows.
    days: BTreeSet<i32>,
    /// Ranges of days that may have rows, both ends included.
    uncertain: Vec<(i32, i32)>,
}

impl KnownDays {
    /// Adds rows whose first and last times are these.
    fn add(&mut self, min_time: i64, max_time: i64) {
        let (first, last) = (day_of(min_time), day_of(max_time));
        self.days.extend([first, last]);
        let between = (first.saturating_add(1), last.saturating_sub(1));
        if between.0 <= between.1 {
            self.uncertain.push(between);
        }
    }

    /// Returns the ranges of days that may have rows and are not known to have some, at most [`MAX_RANGES`].
    fn gaps(mut self) -> (BTreeSet<i32>, Vec<(i32, i32)>) {
        self.uncertain.sort_unstable();
        let mut ranges: Vec<(i32, i32)> = Vec::new();
        for (first, last) in self.uncertain {
            match ranges.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => {
                    previous.1 = previous.1.max(last);
                }
                _ => ranges.push((first, last)),
            }
        }
        let mut gaps = Vec::new();
        for (first, last) in ranges {
            let mut start = first;
            for known in self.days.range(first..=last) {
                if start < *known {
                    gaps.push((start, known.saturating_sub(1)));
                }
                start = known.saturating_add(1);
            }
            if start <= last {
                gaps.push((start, last));
            }
        }
        if let (true, Some(first), Some(last)) =
            (gaps.len() > MAX_RANGES, gaps.first(), gaps.last())
        {
            gaps = vec![(first.0, last.1)];
        }
        (self.days, gaps)
    }
}

/// A table to export: its windows, and the memory pool of queries.
#[derive(Debug)]
pub(super) struct TableWindows {
    pub(super) windows: BTreeSet<Window>,
    pub(super) memory: Arc<dyn MemoryPool>,
}

impl QueryEngine {
    /// Returns the windows of a table.
    /// Fails if the state of the database can't be read, or a query fails.
    pub(super) async fn windows(
        &self,
        database: DatabaseId,
        table: TableId,
        name: &str,
        request: &QueryRequest,
    ) -> Result<TableWindows, QueryError> {
        let read = async {
            let options = self.snapshot_options(request);
            let (stale_tail, cancellation) = (StaleTail::Rebuild, Cancellation::default());
            let context =
                self.context(database, options, request, stale_tail, cancellation).await?;
            let known = self.known_days(&context, table).await?;
            let memory = Arc::clone(&context.full_session().runtime_env().memory_pool);
            Ok::<_, QueryError>((known, memory))
        };
        let (known, memory) = self.run_with_permit(read).await?;
        let (mut days, gaps) = known.gaps();
        if !gaps.is_empty() {
            days.extend(self.days_with_rows(database, name, &gaps, request).await?);
        }
        Ok(TableWindows { windows: days.into_iter().map(Window).collect(), memory })
    }

    async fn known_days(
        &self,
        context: &QueryContext,
        table: TableId,
    ) -> Result<KnownDays, QueryError> {
        let snapshot = &context.snapshot;
        let manifests = &self.tables().scan.manifests;
        let manifest = &snapshot.manifest.value;
        let sections = manifests
            .load_sections(snapshot.database, manifest, table, TimeRange::ALL)
            .await
            .map_err(|error| QueryError::Snapshot(error.into()))?;
        let mut known = KnownDays::default();
        for section in &sections {
            known.add(section.section.min_time, section.section.max_time);
        }
        for segment in snapshot.tail.iter() {
            for summary in segment.tables().filter(|summary| summary.table == table) {
                known.add(summary.min_time, summary.max_time);
            }
        }
        Ok(known)
    }

    async fn days_with_rows(
        &self,
        database: DatabaseId,
        name: &str,
        gaps: &[(i32, i32)],
        request: &QueryRequest,
    ) -> Result<BTreeSet<i32>, QueryError> {
        let conditions = gaps.iter().map(|(first, last)| condition(*first, *last));
        let request = QueryRequest {
            text: format!(
                "SELECT DISTINCT date_bin(INTERVAL '1 day', time) AS day FROM {} WHERE {}",
                quoted(name),
                conditions.collect::<Vec<_>>().join(" OR ")
            ),
            ..request.clone()
        };
        let mut rows = self.query(database, request).await?;
        let mut days = BTreeSet::new();
        while let Some(batch) = rows.batches.try_next().await? {
            let times = batch
                .column_by_name("day")
                .and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
            days.extend(times.into_iter().flatten().flatten().map(day_of));
        }
        Ok(days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_dates_in_utc() {
        for (text, day) in [("1970-01-01", 0), ("2026-01-15", 20_468), ("1969-12-31", -1)] {
            assert_eq!(Window::parse(text), Some(Window(day)), "{text}");
            assert_eq!(Window(day).date(), text);
        }
        for text in ["", "2026-1", "2026-02-30", "today", "2026-01-15T00:00:00Z"] {
            assert_eq!(Window::parse(text), None, "{text}");
        }
        insta::assert_snapshot!(
            Window(0).condition(),
            @"true AND time >= '1970-01-01T00:00:00.000000000Z' AND time < '1970-01-02T00:00:00.000000000Z'"
        );
        insta::assert_snapshot!(
            Window(day_of(i64::MIN)).condition(),
            @"true AND time < '1677-09-22T00:00:00.000000000Z'"
        );
        insta::assert_snapshot!(
            Window(day_of(i64::MAX)).condition(),
            @"true AND time >= '2262-04-11T00:00:00.000000000Z'"
        );
    }

    #[test]
    fn only_days_between_the_ends_of_several_days_are_uncertain() {
        let day = |day: i64| day * DAY_NANOS;
        let mut known = KnownDays::default();
        known.add(day(1), day(1) + 5);
        known.add(day(2), day(3));
        known.add(day(5), day(9));
        known.add(day(7), day(7));
        let (days, gaps) = known.gaps();
        assert_eq!(Vec::from_iter(days), [1, 2, 3, 5, 7, 9]);
        assert_eq!(gaps, [(6, 6), (8, 8)]);
        let mut known = KnownDays::default();
        for number in 0..=MAX_RANGES as i64 {
            known.add(day(number * 10), day(number * 10 + 2));
        }
        assert_eq!(known.gaps().1, [(1, i32::try_from(MAX_RANGES).unwrap() * 10 + 1)]);
    }

    #[test]
    fn names_of_tables_are_quoted() {
        assert_eq!(quoted("a\"b"), "\"iox\".\"a\"\"b\"");
    }
}
