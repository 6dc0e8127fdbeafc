//! Checks the rows of materialized views, and counts the states of their claims.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use neap_bucket::{RegisterValue, StoreTime};
use neap_catalog::MaterializedView;
use neap_manifest::TimeRange;
use neap_rollup::{ViewProgress, ViewState};
use neap_schema::{DatabaseId, TableId};

use super::{DecodedRegister, Invariant, SimulationOracle, contents::since, decode};
use crate::{
    machine::BEGIN_MICROS,
    rows::{Rows, SECOND},
    view_rows::{aggregate, within},
};

/// A refresher does not change windows that expire during its claim of 120 s. In addition, the times of instances differ
/// from the true time.
const EXPIRY_MARGIN: i64 = (120 + 15) * SECOND;

/// Time after the end of a claim when another refresher may claim the view (30 s), less the error of the times of both.
const TAKEOVER_MARGIN: Duration = Duration::from_secs(30 - 2 * 7);

/// Returns whether a state has all windows of the claim that the state before has.
fn has_finished(before: &ViewState, state: &ViewState) -> bool {
    before.claim.is_some()
        && before.claim.map(|claim| claim.until) != state.claim.map(|claim| claim.until)
        && !before.claimed.is_empty()
        && !before.claimed.ranges().any(|range| state.pending.meets(range))
}

/// Returns whether a refresher has taken over the claim of the state before.
fn is_taken_over(before: &ViewState, state: &ViewState) -> bool {
    let id = |state: &ViewState| state.claim.map(|claim| claim.id);
    before.claim.is_some()
        && id(before) != id(state)
        && before.claimed.ranges().any(|range| state.unfinished.meets(range))
}

impl SimulationOracle {
    /// Checks a commit to the progress of views, and counts what it has changed.
    pub(super) fn progress_put(&mut self, database: DatabaseId, body: &Bytes, now: Duration) {
        let DecodedRegister { value, .. } = decode::<ViewProgress>(ViewProgress::FORMAT, body);
        let known = &mut self.databases.entry(database).or_default().progress;
        let former = std::mem::replace(known, value.clone());
        for (id, state) in &value.views {
            let Some(before) = former.views.get(id) else {
                continue;
            };
            self.check_progress(before, state, now);
            let counts = &mut self.counts;
            counts.claims_taken_over += usize::from(is_taken_over(before, state));
            if has_finished(before, state) {
                let mut claimed = before.claimed.ranges();
                let is_whole = claimed.any(|range| before.unfinished.meets(range));
                counts.refreshes += 1;
                counts.windows_replaced += usize::from(is_whole);
            }
        }
    }

    /// Checks the next state of a view.
    fn check_progress(&mut self, before: &ViewState, state: &ViewState, now: Duration) {
        let now = StoreTime::from_micros(BEGIN_MICROS).plus(now);
        if let (Some(claim), Some(next)) = (before.claim, state.claim)
            && claim.id != next.id
            && now < claim.until.plus(TAKEOVER_MARGIN)
        {
            let text = format!("{next:?} replaces {claim:?} at {now:?}");
            self.fail(Invariant::ClaimsAreExclusive, text);
        }
        if state.recorded.version < before.recorded.version {
            let text = format!("from {:?} to {:?}", before.recorded, state.recorded);
            self.fail(Invariant::RecordedPointIsMonotonic, text);
        }
    }

    /// Returns the versions of manifest and catalog.
    pub(crate) fn versions(&self, database: DatabaseId) -> (u64, u64) {
        let known = self.databases.get(&database);
        let catalog = known.and_then(|known| known.catalogs.last());
        (known.map_or(0, |known| known.version()), catalog.map_or(0, |kept| kept.version))
    }

    /// Excuses the views of a database from now on, because the clocks of a refresher stood still.
    pub(crate) fn excuse_views(&mut self, database: DatabaseId) {
        self.database(database).has_excused_views = true;
    }

    fn is_excused(&self, database: DatabaseId) -> bool {
        let known = self.databases.get(&database);
        known.is_some_and(|known| known.has_excused_views)
    }

    /// Checks rule V5: in ranges of current windows, the rows of a view are the result over its source.
    pub(crate) fn check_current_windows(
        &mut self,
        database: DatabaseId,
        view: &MaterializedView,
        current: &[TimeRange],
        source: &Rows,
        stored: &Rows,
    ) {
        if self.is_excused(database) {
            return;
        }
        for range in current {
            let stored = within(stored, *range);
            let expected = aggregate(view, &within(source, *range));
            self.counts.views_read += usize::from(!expected.is_empty());
            if stored != expected {
                let text = format!("{} has {stored:?} in {range:?}, not {expected:?}", view.name);
                self.fail(Invariant::CurrentWindowsMatchSources, text);
            }
        }
    }

    /// Checks that a view without pending windows has the result over the flushed rows of its source, in all windows
    /// that begin after the times of which rows may have expired (rule V4).
    pub(crate) fn check_view(
        &mut self,
        database: DatabaseId,
        view: &MaterializedView,
        (source, target): (TableId, Option<TableId>),
        stored: &Rows,
        now: Duration,
    ) {
        if self.is_excused(database) {
            return;
        }
        let tables: BTreeSet<TableId> = [source].into_iter().chain(target).collect();
        let first = self.expired_in_any_copy(&tables, now).map(|first| first + EXPIRY_MARGIN);
        let current = self.current(database);
        let no_rows = Rows::new();
        let rows = current.rows.get(&source).unwrap_or(&no_rows);
        let expected = since(&aggregate(view, rows), first);
        let stored = since(stored, first);
        self.counts.views_compared += 1;
        if stored != expected {
            let text = format!(
                "{} of {database} has {stored:?} from {first:?} on, not {expected:?}",
                view.name
            );
            self.fail(Invariant::ViewsMatchSources, text);
        }
    }

    /// Returns the latest time such that earlier rows of tables may have expired in a database or in the one that it was
    /// restored from, which has the same tables.
    fn expired_in_any_copy(&self, tables: &BTreeSet<TableId>, now: Duration) -> Option<i64> {
        let databases = self.databases.keys();
        let all = databases.flat_map(|database| {
            let tables = tables.iter();
            tables.filter_map(|table| self.expired_until(*database, *table, now))
        });
        all.max()
    }
}
