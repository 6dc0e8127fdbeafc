//! The same for caches, materialized views, and a trigger.

use super::{HistoryBuilder, Promise, SECOND, values};
use crate::histories::history::{
    Event, Operation, Outcome, ReadAnswer, ReadConsistency, ReadPath, ReadSelection, Table,
    TableRead, TagWindow, WindowAggregates,
};

const SAMPLES: Table = Table::Samples;

impl HistoryBuilder {
    fn read_part(
        &mut self,
        (selection, path): (ReadSelection, ReadPath),
        answer: ReadAnswer,
        times: (u64, u64),
    ) -> &mut Event {
        let read = TableRead::strong(SAMPLES, selection, path);
        self.add(Operation::Read(read), times, Outcome::Answer(answer, None))
    }

    /// Reads a last value cache of two rows.
    fn read_newest(&mut self, read: &[(u64, i64)], times: (u64, u64)) -> &mut Event {
        let newest = (ReadSelection::Newest(2), ReadPath::Cache);
        self.read_part(newest, ReadAnswer::Cells(values(SAMPLES, read)), times)
    }

    fn read_tags(&mut self, tags: &[u32], times: (u64, u64)) -> &mut Event {
        let tags = ReadAnswer::Tags(tags.iter().copied().collect());
        self.read_part((ReadSelection::Tags, ReadPath::Cache), tags, times)
    }

    /// Reads windows of ten seconds: their first seconds, and their numbers of values, sums, minima and maxima.
    fn read_windows(
        &mut self,
        path: ReadPath,
        windows: &[(u64, [i64; 4])],
        times: (u64, u64),
    ) -> &mut Event {
        let windows = windows.iter().map(|(start, [count, sum, least, most])| {
            let window = TagWindow { tag: 0, start: *start };
            let aggregates = WindowAggregates {
                count: count.unsigned_abs(),
                sum: *sum,
                least: *least,
                most: *most,
            };
            (window, aggregates)
        });
        let windows = ReadAnswer::Windows(windows.collect());
        self.read_part((ReadSelection::Windows(10), path), windows, times)
    }

    fn read_deliveries(&mut self, delivered: &[(u64, i64)], times: (u64, u64)) -> &mut Event {
        let read = TableRead::strong(Table::Log, ReadSelection::Deliveries, ReadPath::Table);
        let answer = ReadAnswer::Cells(values(Table::Log, delivered));
        self.add(Operation::Read(read), times, Outcome::Answer(answer, None))
    }
}

/// Makes a read stale by up to this number of seconds.
fn make_stale(event: &mut Event, seconds: u32) {
    if let Operation::Read(read) = &mut event.operation {
        read.consistency = ReadConsistency::Stale(seconds * SECOND);
    }
}

#[test]
fn a_cache_that_lacks_a_new_row_or_has_an_overwritten_value_is_found() {
    let history = |read: &[(u64, i64)], read_at| {
        let mut history = HistoryBuilder::default();
        history.write(SAMPLES, &[(10, 1), (20, 2), (30, 3)], (0, 1), 1);
        history.write(SAMPLES, &[(20, 4)], (2, 4), 5);
        history.read_newest(read, read_at);
        history
    };
    history(&[(20, 4), (30, 3)], (5, 6)).breaks(&[]);
    history(&[(20, 2), (30, 3)], (5, 6)).breaks(&[Promise::NewestWins]);
    history(&[(10, 1), (20, 4)], (5, 6)).breaks(&[Promise::Durability]);
    history(&[(30, 3)], (5, 6)).breaks(&[Promise::Durability]);
    history(&[], (5, 6)).breaks(&[Promise::Durability]);
    // A concurrent read may show either value, but no other one.
    history(&[(20, 2), (30, 3)], (3, 5)).breaks(&[]);
    history(&[(20, 4), (30, 3)], (3, 5)).breaks(&[]);
    history(&[(20, 9), (30, 3)], (3, 5)).breaks(&[Promise::NoInvention]);
    history(&[(30, 3), (40, 9)], (5, 6)).breaks(&[Promise::NoInvention]);
}

#[test]
fn a_cache_with_too_many_rows_of_a_key_is_found() {
    let mut history = HistoryBuilder::default();
    history.write(SAMPLES, &[(10, 1), (20, 2), (30, 3)], (0, 1), 1);
    history.read_newest(&[(10, 1), (20, 2), (30, 3)], (2, 3));
    history.breaks(&[Promise::CacheRows]);
}

#[test]
fn a_cache_that_has_deleted_rows_or_lacks_the_rows_before_them_is_found() {
    let history = |read: &[(u64, i64)], read_at| {
        let mut history = HistoryBuilder::default();
        history.write(SAMPLES, &[(10, 1), (20, 2), (30, 3)], (0, 1), 1);
        history.delete(SAMPLES, 25..60, (2, 4), 5);
        history.read_newest(read, read_at);
        history
    };
    history(&[(10, 1), (20, 2)], (5, 6)).breaks(&[]);
    history(&[(20, 2), (30, 3)], (5, 6)).breaks(&[Promise::ExactDeletes]);
    history(&[(20, 2)], (5, 6)).breaks(&[Promise::Durability]);
    history(&[(20, 2), (30, 3)], (3, 6)).breaks(&[]);
}

#[test]
fn a_stale_read_of_a_cache_may_miss_only_what_its_age_allows() {
    let history = |age, read: &[(u64, i64)]| {
        let mut history = HistoryBuilder::default();
        history.write(SAMPLES, &[(10, 1)], (0, 1), 1);
        make_stale(history.read_newest(read, (10, 11)), age);
        history
    };
    history(5, &[(10, 1)]).breaks(&[]);
    history(5, &[]).breaks(&[Promise::Durability]);
    history(9, &[]).breaks(&[]);
}

#[test]
fn a_session_sees_in_a_cache_what_it_wrote() {
    let history = |after, read: &[(u64, i64)]| {
        let mut history = HistoryBuilder::default();
        history.write(SAMPLES, &[(10, 1)], (0, 1), 5);
        let read = history.read_newest(read, (2, 3));
        make_stale(read, 60);
        read.after = after;
        history
    };
    history(Some(5), &[(10, 1)]).breaks(&[]);
    history(Some(5), &[]).breaks(&[Promise::Sessions]);
    history(None, &[]).breaks(&[]);
}

#[test]
fn tags_that_are_missing_or_deleted_or_unknown_are_found() {
    let history = |tags: &[u32], read_at| {
        let mut history = HistoryBuilder::default();
        history.write(SAMPLES, &[(10, 1), (20, 2)], (0, 1), 1);
        if read_at > (4, 0) {
            history.delete(SAMPLES, 0..60, (4, 6), 5);
        }
        history.read_tags(tags, read_at);
        history
    };
    history(&[0], (2, 3)).breaks(&[]);
    history(&[], (2, 3)).breaks(&[Promise::Durability]);
    history(&[0], (5, 8)).breaks(&[]);
    history(&[], (5, 8)).breaks(&[]);
    history(&[], (7, 8)).breaks(&[]);
    history(&[0], (7, 8)).breaks(&[Promise::ExactDeletes]);
    history(&[0, 3], (2, 3)).breaks(&[Promise::NoInvention]);
}

#[test]
fn windows_without_a_late_row_an_overwritten_value_or_a_delete_are_found() {
    let history = |windows: &[(u64, [i64; 4])], read_at| {
        let mut history = HistoryBuilder::default();
        history.write(SAMPLES, &[(0, 10), (5, 20), (15, 30)], (0, 1), 1);
        history.write(SAMPLES, &[(5, 21)], (2, 4), 5);
        history.delete(SAMPLES, 10..20, (6, 7), 8);
        history.read_windows(ReadPath::Table, windows, read_at);
        history
    };
    let (before, after) = ((0, [2, 30, 10, 20]), (0, [2, 31, 10, 21]));
    let deleted = (10, [1, 30, 30, 30]);
    history(&[after], (8, 9)).breaks(&[]);
    history(&[before], (8, 9)).breaks(&[Promise::Views]);
    history(&[after, deleted], (8, 9)).breaks(&[Promise::Views]);
    history(&[], (8, 9)).breaks(&[Promise::Views]);
    history(&[after, (20, [1, 1, 1, 1])], (8, 9)).breaks(&[Promise::Views]);
    // A concurrent read has the aggregates of either value, and no mixture of them.
    history(&[before, deleted], (3, 5)).breaks(&[]);
    history(&[after, deleted], (3, 5)).breaks(&[]);
    history(&[(0, [2, 31, 10, 20]), deleted], (3, 5)).breaks(&[Promise::Views]);
    history(&[(0, [1, 21, 21, 21]), deleted], (3, 5)).breaks(&[Promise::Views]);
}

/// Writes of unknown outcome leave many possible aggregates, of which each answer has one.
#[test]
fn windows_with_writes_of_unknown_outcome_may_have_any_choice_of_them() {
    let history = |aggregates| {
        let mut history = HistoryBuilder::default();
        history.write(SAMPLES, &[(0, 1), (5, 100)], (0, 1), 1);
        for value in [2, 3] {
            let write = history.write(SAMPLES, &[(0, value), (5, 100 * value)], (2, 3), 0);
            write.outcome = Outcome::Unknown(None);
        }
        history.read_windows(ReadPath::Table, &[(0, aggregates)], (4, 5));
        history
    };
    history([2, 101, 1, 100]).breaks(&[]);
    history([2, 302, 2, 300]).breaks(&[]);
    history([2, 304, 4, 300]).breaks(&[Promise::Views]);
}

#[test]
fn a_settled_view_that_differs_from_its_query_is_found() {
    let history = |answers: [(ReadPath, [i64; 4]); 2]| {
        let mut history = HistoryBuilder::default();
        history.write(SAMPLES, &[(0, 1)], (0, 1), 1);
        // Both answers are possible, but the view and its source must agree.
        let unknown = history.write(SAMPLES, &[(0, 2)], (2, 3), 0);
        unknown.outcome = Outcome::Unknown(None);
        for (time, (path, aggregates)) in (10..).step_by(2).zip(answers) {
            history.read_windows(path, &[(0, aggregates)], (time, time + 1));
        }
        history
    };
    let (one, two) = ([1, 1, 1, 1], [1, 2, 2, 2]);
    let (view, source) = (ReadPath::View, ReadPath::WithoutViews);
    history([(view, one), (source, one)]).breaks(&[]);
    history([(view, two), (ReadPath::Table, two)]).breaks(&[]);
    history([(view, one), (source, two)]).breaks(&[Promise::Views]);
    history([(view, one), (ReadPath::Table, two)]).breaks(&[Promise::Views]);
    history([(view, one), (view, two)]).breaks(&[Promise::Views]);
    // Before the view is complete, its source may still change.
    history([(source, one), (view, two)]).breaks(&[]);
}

#[test]
fn rows_that_a_trigger_missed_or_invented_are_found() {
    let history = |delivered: &[(u64, i64)], outcome: Outcome| {
        let mut history = HistoryBuilder::default();
        history.write(Table::Log, &[(1, 10), (2, 11)], (0, 1), 1);
        history.write(Table::Log, &[(3, 12)], (2, 3), 3).outcome = outcome;
        // A row is delivered, also if it is deleted.
        history.delete(Table::Log, 0..3, (4, 5), 5);
        history.read_deliveries(delivered, (8, 9));
        history
    };
    let acknowledged = Outcome::Acknowledged(Some(3));
    let all = [(1, 10), (2, 11), (3, 12)];
    history(&all, acknowledged.clone()).breaks(&[]);
    history(&all[..2], acknowledged.clone()).breaks(&[Promise::Deliveries]);
    history(&all[1..], acknowledged.clone()).breaks(&[Promise::Deliveries]);
    history(&[], acknowledged.clone()).breaks(&[Promise::Deliveries]);
    history(&[(1, 10), (2, 99), (3, 12)], acknowledged).breaks(&[Promise::Deliveries]);
    history(&all, Outcome::Unknown(None)).breaks(&[]);
    history(&all[..2], Outcome::Unknown(None)).breaks(&[]);
    history(&all, Outcome::Refused).breaks(&[Promise::Deliveries]);
    history(&all[..2], Outcome::Refused).breaks(&[]);
}
