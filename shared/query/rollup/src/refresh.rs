//! Refreshes views: claims windows, computes them, and replaces their rows.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arrow::array::RecordBatch;
use neap_bucket::{
    Bucket, CommitOutcome, Register, RegisterChange, Stamp, StoreTime, VersionedValue,
};
use neap_catalog::{DatabaseCatalog, MaterializedView};
use neap_manifest::{Manifest, ManifestStore, TimeRange};
use neap_schema::{DatabaseId, TableId};

use crate::{
    RefreshError, RowDifference, ViewData, ViewDataError, ViewFailure, ViewProgress, ViewRows,
    ViewState, WindowSet, changes::SourceTable, claim::HeldClaim, progress::view_progress,
    windows::window_count,
};

/// The number of windows that a refresh computes first. It is doubled while the rows fit in memory.
const FIRST_WINDOWS: u64 = 64;

/// Limits of the time in which the rows of several windows are computed: part of the time limit of a refresh, so that
/// windows that need more are divided within it, and at most half of a claim.
const STEP_TIME: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(60);

/// The share of a step in the time limit of a refresh: 64 windows can be divided seven times.
const STEPS_OF_LIMIT: u32 = 8;

/// The size at which rows are stored, in bytes.
const PART_BYTES: usize = 4 << 20;

/// Time after a failure when a view is refreshed again.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Maximum age of the recorded point of a view while the manifest changes. It is less than the time-travel period, so
/// that changes since then are recorded.
const MAX_POINT_AGE: Duration = Duration::from_secs(5 * 60);

/// A database whose views are refreshed.
#[derive(Clone, Copy, Debug)]
pub struct ViewSource<'a> {
    /// The database.
    pub database: DatabaseId,
    /// Its catalog.
    pub catalog: &'a DatabaseCatalog,
}

/// The outcome of a refresh of a view.
#[derive(Clone, Debug)]
pub enum RefreshOutcome {
    /// The view has all rows of the source up to its mark.
    Current,
    /// The view may be behind the source: the time limit is reached, another process refreshes it, its interval is not
    /// over, or it failed recently.
    Behind {
        /// Time until a refresh can continue.
        wait: Duration,
    },
    /// The source does not exist.
    NoSource,
    /// The view was not refreshed.
    Failed(RefreshError),
}

/// The work of a refresh of all views of a database.
#[derive(Clone, Debug, Default)]
pub struct RefreshReport {
    /// The number of computed windows.
    pub windows: u64,
    /// The number of rows written.
    pub rows: u64,
    /// The names of the views with the outcomes.
    pub views: Vec<(String, RefreshOutcome)>,
}

impl RefreshReport {
    /// Returns the time until another refresh is needed even without new data; `None` if all views are current.
    pub fn next_refresh(&self) -> Option<Duration> {
        let waits = self.views.iter().filter_map(|(_, outcome)| match outcome {
            RefreshOutcome::Current | RefreshOutcome::NoSource => None,
            RefreshOutcome::Behind { wait } => Some(*wait),
            RefreshOutcome::Failed(_) => Some(PAUSE_AFTER_FAILURE),
        });
        waits.min()
    }

    /// Returns the names of views that were not refreshed, with the errors.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &RefreshError)> {
        self.views.iter().filter_map(|(name, outcome)| match outcome {
            RefreshOutcome::Failed(error) => Some((name.as_str(), error)),
            _ => None,
        })
    }
}

/// Refreshes the views of databases.
#[derive(Clone, Debug)]
pub struct ViewRefresher {
    bucket: Bucket,
    manifests: ManifestStore,
}

/// A commit was refused, because another process has changed the view.
#[derive(Clone, Copy, Debug)]
struct Overtaken;

/// A view, and its register.
struct ViewTask<'a> {
    bucket: &'a Bucket,
    register: Register<ViewProgress>,
    view: &'a MaterializedView,
    source: SourceTable<'a>,
    data: &'a dyn ViewData,
    written: Mutex<WrittenRows>,
}

/// The acknowledged writes of a task.
#[derive(Clone, Copy, Debug, Default)]
struct WrittenRows {
    newest: Option<Stamp>,
    table: Option<TableId>,
}

/// Windows that this process has claimed.
struct ClaimedWindows {
    held: HeldClaim,
    range: TimeRange,
    state: ViewState,
}

impl ViewRefresher {
    /// Creates a refresher.
    pub fn new(bucket: Bucket, manifests: ManifestStore) -> Self {
        Self { bucket, manifests }
    }

    /// Refreshes all views of a database, and begins no further windows after `limit`. Costs no request if the database
    /// has no view, and 2 GETs if no view is behind its source.
    ///
    /// # Errors
    /// The manifest or the progress can't be read. Failures of single views are in the report.
    pub async fn refresh(
        &self,
        source: ViewSource<'_>,
        data: &dyn ViewData,
        limit: Duration,
    ) -> Result<RefreshReport, RefreshError> {
        let mut report = RefreshReport::default();
        let views: Vec<Arc<MaterializedView>> = source.catalog.views().cloned().collect();
        if views.is_empty() {
            return Ok(report);
        }
        let started_at = self.bucket.world().clock_reading();
        let mut manifest = self.manifests.read(source.database, None).await?;
        let mut progress = view_progress(&self.bucket, source.database).read(None).await?;
        for view in views {
            let elapsed = self.bucket.world().elapsed(&started_at);
            let left = limit.saturating_sub(elapsed);
            // Another process has recorded the changes of a later version. With this one, all windows would count as
            // changed.
            let state = progress.value.views.get(&view.id);
            if state.is_some_and(|state| state.recorded.version > manifest.version) {
                manifest = self.manifests.read(source.database, None).await?;
            }
            let refresh = self.refresh_view(
                source,
                &manifest,
                &mut progress,
                &view,
                data,
                left,
                &mut report,
            );
            let outcome = refresh.await.unwrap_or_else(RefreshOutcome::Failed);
            report.views.push((view.name.clone(), outcome));
        }
        Ok(report)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a pass")]
    async fn refresh_view(
        &self,
        source: ViewSource<'_>,
        manifest: &VersionedValue<Manifest>,
        progress: &mut VersionedValue<ViewProgress>,
        view: &MaterializedView,
        data: &dyn ViewData,
        limit: Duration,
        report: &mut RefreshReport,
    ) -> Result<RefreshOutcome, RefreshError> {
        let Some(table) = source.catalog.table(&view.source) else {
            return Ok(RefreshOutcome::NoSource);
        };
        let target_database = match &view.target.database {
            None => None,
            Some(_) => Some(data.target_database(view).await?),
        };
        let task = ViewTask {
            bucket: &self.bucket,
            register: view_progress(&self.bucket, source.database),
            view,
            source: SourceTable {
                database: source.database,
                table: table.id(),
                manifest,
                catalog: source.catalog,
                target_database,
            },
            data,
            written: Mutex::default(),
        };
        let now = self.bucket.clock().now().ok_or(RefreshError::NoStoreTime)?;
        let state = progress.value.views.get(&view.id);
        if let Some(wait) = state.and_then(|state| required_wait(view, state, now)) {
            return Ok(RefreshOutcome::Behind { wait });
        }
        let changed = task.source.changed_windows(&self.manifests, view, state, data).await?;
        if state.is_some_and(|state| !task.is_due(state, &changed, now)) {
            return Ok(RefreshOutcome::Current);
        }
        if state.is_none() && task.has_former_refreshers() {
            return task.wait_for_former_refreshers(progress, &changed).await;
        }
        task.run(progress, &changed, limit, report).await
    }
}

/// Returns the time until the view may be refreshed, whatever has changed.
fn required_wait(view: &MaterializedView, state: &ViewState, now: StoreTime) -> Option<Duration> {
    let claim = state.claim.filter(|claim| claim.is_active(now));
    let after_claim = claim.map(|claim| claim.takeover_time().since(now));
    let after_failure = state
        .failure
        .as_ref()
        .map(|failure| PAUSE_AFTER_FAILURE.saturating_sub(now.since(failure.time)));
    // A refresh that the time limit ended continues.
    let interval = state
        .refreshed
        .zip(view.every)
        .filter(|_| state.pending.is_empty())
        .map(|(refreshed, every)| every.saturating_sub(now.since(refreshed)));
    let waits = [after_claim, after_failure, interval];
    waits.into_iter().max().flatten().filter(|wait| !wait.is_zero())
}

impl ViewTask<'_> {
    /// Returns whether there is something to compute or to record.
    fn is_due(&self, state: &ViewState, changed: &WindowSet, now: StoreTime) -> bool {
        let is_old = now.since(state.recorded_at) > MAX_POINT_AGE;
        !changed.is_empty()
            || !state.pending.is_empty()
            || state.claim.is_some()
            || state.source != self.source.table
            || self.source.has_another_target(state)
            || is_old && state.recorded.version != self.source.point().version
    }

    /// Returns whether refreshers of another database may have claims of the rows of this view: those of the database
    /// that a restored one has replaced.
    fn has_former_refreshers(&self) -> bool {
        self.view.created_in != self.source.database && self.source.target_database.is_some()
    }

    /// Records a claim without a result in their place, whose windows are replaced after its end (rule V3).
    async fn wait_for_former_refreshers(
        &self,
        progress: &mut VersionedValue<ViewProgress>,
        changed: &WindowSet,
    ) -> Result<RefreshOutcome, RefreshError> {
        let recorded = self.commit(progress, |base, now| {
            if base.views.contains_key(&self.view.id) {
                return Ok(Err(Overtaken));
            }
            let mut next = ViewProgress::clone(base);
            let mut state = self.successor(None, changed, now);
            let held = HeldClaim::begin(self.bucket, None)?;
            state.claim = Some(held.claim);
            state.claimed.add_all(self.view.windows, changed);
            next.views.insert(self.view.id, state);
            Ok(Ok((next, held.claim.takeover_time().since(now))))
        });
        let wait = recorded.await?.unwrap_or(PAUSE_AFTER_FAILURE);
        Ok(RefreshOutcome::Behind { wait })
    }

    async fn run(
        &self,
        progress: &mut VersionedValue<ViewProgress>,
        changed: &WindowSet,
        limit: Duration,
        report: &mut RefreshReport,
    ) -> Result<RefreshOutcome, RefreshError> {
        let world = self.bucket.world();
        let started_at = world.clock_reading();
        let (mut size, mut max_size) = (FIRST_WINDOWS, u64::MAX);
        let mut next = match self.record(progress, changed, size).await? {
            Ok(next) => next,
            Err(Overtaken) => {
                return Ok(RefreshOutcome::Behind {
                    wait: PAUSE_AFTER_FAILURE,
                });
            }
        };
        while let Some(claimed) = next {
            let count = window_count(self.view.windows, claimed.range);
            let replaced = self.replace_windows(&claimed, step_time(limit, count)).await;
            let is_over = world.elapsed(&started_at) >= limit;
            let rows = match replaced {
                Ok(rows) => rows,
                Err(RefreshError::Data(ViewDataError::TooLarge)) if count > 1 => {
                    size = count / 2;
                    max_size = size;
                    let next_size = (!is_over).then_some(size);
                    next = self.finish(progress, &claimed, None, next_size).await?;
                    continue;
                }
                Err(error) => {
                    self.fail(progress, &claimed, &error).await?;
                    return match error {
                        RefreshError::Data(ViewDataError::Replaced) => Ok(RefreshOutcome::Behind {
                            wait: Duration::ZERO,
                        }),
                        error => Err(error),
                    };
                }
            };
            report.windows = report.windows.saturating_add(count);
            report.rows = report.rows.saturating_add(rows);
            size = size.saturating_mul(2).min(max_size);
            let next_size = (!is_over).then_some(size);
            let done = Some(claimed.range);
            next = self.finish(progress, &claimed, done, next_size).await?;
        }
        let state = progress.value.views.get(&self.view.id);
        Ok(if state.is_none_or(|state| state.pending.is_empty()) {
            RefreshOutcome::Current
        } else {
            RefreshOutcome::Behind {
                wait: Duration::ZERO,
            }
        })
    }

    /// Records the changes of the source, and claims the first windows. Returns `None` if there are none.
    async fn record(
        &self,
        progress: &mut VersionedValue<ViewProgress>,
        changed: &WindowSet,
        size: u64,
    ) -> Result<Result<Option<ClaimedWindows>, Overtaken>, RefreshError> {
        let seen = progress.value.views.get(&self.view.id).cloned();
        self.commit(progress, |base, now| {
            if base.views.get(&self.view.id) != seen.as_ref() {
                return Ok(Err(Overtaken));
            }
            let mut next = ViewProgress::clone(base);
            self.forget_deleted_views(&mut next);
            let mut state = self.successor(seen.as_ref(), changed, now);
            let claimed = self.claim_next(&mut state, None, size, now)?;
            next.views.insert(self.view.id, state);
            Ok(Ok((next, claimed)))
        })
        .await
    }

    /// Returns the state after the changes up to the present version of the manifest, without a claim.
    fn successor(
        &self,
        state: Option<&ViewState>,
        changed: &WindowSet,
        now: StoreTime,
    ) -> ViewState {
        let windows = self.view.windows;
        let mut next = state.cloned().unwrap_or_else(|| ViewState {
            source: self.source.table,
            recorded: self.source.point(),
            recorded_at: now,
            pending: WindowSet::default(),
            unfinished: WindowSet::default(),
            unfinished_until: None,
            computed: WindowSet::default(),
            target_database: None,
            target: None,
            newest_write: None,
            expired_before: None,
            claim: None,
            claimed: WindowSet::default(),
            refreshed: None,
            failure: None,
        });
        if self.source.has_another_target(&next) {
            next.target = None;
        }
        next.target_database = self.source.target_database;
        next.source = self.source.table;
        next.recorded = self.source.point();
        next.recorded_at = now;
        next.pending.add_all(windows, changed);
        if let Some(ended) = next.claim.take() {
            next.unfinished.add_all(windows, &next.claimed);
            next.pending.add_all(windows, &next.claimed);
            next.unfinished_until = next.unfinished_until.max(Some(ended.until));
        }
        next.claimed = WindowSet::default();
        next
    }

    /// Claims the newest pending windows, after it has removed those whose rows may have expired.
    fn claim_next(
        &self,
        state: &mut ViewState,
        held: Option<HeldClaim>,
        size: u64,
        now: StoreTime,
    ) -> Result<Option<ClaimedWindows>, RefreshError> {
        let windows = self.view.windows;
        let of_target = self.source.target_retained_from(self.view, now);
        state.expired_before = state.expired_before.max(of_target);
        if let Some(time) = self.source.retained_from(now) {
            state.pending.remove_before(windows, time);
            state.unfinished.remove_before(windows, time);
            state.expired_before = state.expired_before.max(Some(time));
        }
        let Some(range) = state.pending.newest(windows, size) else {
            return Ok(None);
        };
        let held = HeldClaim::begin(self.bucket, held.map(|held| held.claim.id))?;
        state.claim = Some(held.claim);
        state.claimed.add(windows, range);
        Ok(Some(ClaimedWindows {
            held,
            range,
            state: state.clone(),
        }))
    }

    /// Replaces the rows of claimed windows, if they are computed within `step_time`. Returns the number of rows
    /// written.
    async fn replace_windows(
        &self,
        claimed: &ClaimedWindows,
        step_time: Duration,
    ) -> Result<u64, RefreshError> {
        let difference = self
            .bucket
            .world()
            .timeout(step_time, self.difference(claimed))
            .await
            .unwrap_or(Err(ViewDataError::TooLarge))?;
        self.write(claimed, difference).await
    }

    async fn difference(&self, claimed: &ClaimedWindows) -> Result<RowDifference, ViewDataError> {
        let (view, windows) = (self.view, self.view.windows);
        let range = claimed.range;
        let mark = self.source.point().mark;
        let computed = self.data.compute(view, range, mark).await?;
        if claimed.state.unfinished.meets(range) {
            return Ok(RowDifference::whole(windows, range, computed));
        }
        let stored = self.data.read(view, range).await?;
        RowDifference::between(windows, computed, &stored)
            .map_err(|error| ViewDataError::Failed(error.to_string()))
    }

    /// Deletes and writes rows. Returns the number of rows written.
    async fn write(
        &self,
        claimed: &ClaimedWindows,
        difference: RowDifference,
    ) -> Result<u64, RefreshError> {
        let world = self.bucket.world();
        let held = &claimed.held;
        // Rule V3. A delete or write after the end of that claim is also after all writes of it. The clock of the process
        // with the claim before may have been ahead, so that its rows would win.
        let unfinished = claimed.state.unfinished_until.map(Stamp::end_of);
        let mut after = unfinished.max(claimed.state.newest_write);
        let replaced: Vec<TimeRange> = difference.replaced.ranges().collect();
        if !replaced.is_empty() {
            let arrived = held.arrival(world)?;
            let deleted = self.data.delete(self.view, &replaced, arrived, after).await?;
            self.note_write(deleted, None);
            held.check(deleted)?;
            after = after.max(deleted);
        }
        let mut rows = 0_u64;
        for part in parts(difference.written) {
            let count: usize = part.batches.iter().map(RecordBatch::num_rows).sum();
            let arrived = held.arrival(world)?;
            let stored = self.data.store(self.view, &part, arrived, after).await?;
            self.note_write(stored.stamp, stored.table);
            held.check(stored.stamp)?;
            after = after.max(stored.stamp);
            rows += count as u64;
        }
        Ok(rows)
    }

    fn note_write(&self, stamp: Option<Stamp>, table: Option<TableId>) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.newest = written.newest.max(stamp);
        written.table = written.table.or(table);
    }

    /// Adds the acknowledged writes of this task to a state.
    fn record_writes(&self, state: &mut ViewState) {
        let written = *self.written.lock().unwrap_or_else(PoisonError::into_inner);
        state.newest_write = state.newest_write.max(written.newest);
        state.target = state.target.or(written.table);
    }

    /// Ends a claim, records the windows that are computed, and claims the next ones unless `size` is `None`.
    async fn finish(
        &self,
        progress: &mut VersionedValue<ViewProgress>,
        claimed: &ClaimedWindows,
        done: Option<TimeRange>,
        size: Option<u64>,
    ) -> Result<Option<ClaimedWindows>, RefreshError> {
        let windows = self.view.windows;
        let id = claimed.held.claim.id;
        let finished = self.commit(progress, |base, now| {
            let state = base.views.get(&self.view.id);
            let Some(state) = state.filter(|state| state.claim.is_some_and(|it| it.id == id))
            else {
                return Ok(Err(Overtaken));
            };
            let mut state = state.clone();
            self.record_writes(&mut state);
            if let Some(done) = done {
                state.pending.remove(done);
                state.unfinished.remove(done);
                state.computed.add(windows, done);
                state.refreshed = Some(now);
                state.failure = None;
            }
            if state.unfinished.is_empty() {
                state.unfinished_until = None;
            }
            state.claim = None;
            state.claimed = WindowSet::default();
            let next = match size {
                Some(size) => self.claim_next(&mut state, Some(claimed.held), size, now)?,
                None => None,
            };
            let mut progress = ViewProgress::clone(base);
            progress.views.insert(self.view.id, state);
            Ok(Ok((progress, next)))
        });
        match finished.await? {
            Ok(next) => Ok(next),
            Err(Overtaken) => {
                if let Some(done) = done {
                    self.mark_pending(progress, done).await?;
                }
                Err(RefreshError::ClaimEnded)
            }
        }
    }

    /// Adds windows that this process has written after the end of its claim.
    async fn mark_pending(
        &self,
        progress: &mut VersionedValue<ViewProgress>,
        range: TimeRange,
    ) -> Result<(), RefreshError> {
        let marked = self.commit(progress, |base, _| {
            let mut next = ViewProgress::clone(base);
            let Some(state) = next.views.get_mut(&self.view.id) else {
                return Ok(Err(Overtaken));
            };
            state.pending.add(self.view.windows, range);
            self.record_writes(state);
            Ok(Ok((next, ())))
        });
        marked.await?.ok();
        Ok(())
    }

    /// Records a failure and ends the claim, unless a write may still take effect: then the claim ends by its time, and
    /// the next one replaces the windows.
    async fn fail(
        &self,
        progress: &mut VersionedValue<ViewProgress>,
        claimed: &ClaimedWindows,
        error: &RefreshError,
    ) -> Result<(), RefreshError> {
        let is_certain = matches!(
            error,
            RefreshError::Data(
                ViewDataError::Failed(_) | ViewDataError::TooLarge | ViewDataError::Replaced
            )
        );
        if !is_certain {
            return Ok(());
        }
        let is_failure = !matches!(error, RefreshError::Data(ViewDataError::Replaced));
        let id = claimed.held.claim.id;
        let message = error.to_string();
        let released = self.commit(progress, |base, now| {
            let mut next = ViewProgress::clone(base);
            let state = next
                .views
                .get_mut(&self.view.id)
                .filter(|state| state.claim.is_some_and(|it| it.id == id));
            let Some(state) = state else {
                return Ok(Err(Overtaken));
            };
            self.record_writes(state);
            state.claim = None;
            state.claimed = WindowSet::default();
            state.failure = is_failure.then(|| ViewFailure::new(now, &message));
            Ok(Ok((next, ())))
        });
        released.await?.ok();
        Ok(())
    }

    /// Removes the progress of deleted views.
    fn forget_deleted_views(&self, progress: &mut ViewProgress) {
        let catalog = self.source.catalog;
        // Another process may know newer views.
        let next = catalog.next_view();
        progress.views.retain(|id, _| *id >= next || catalog.view_by_id(*id).is_some());
    }

    /// Commits a change of the progress, which `progress` has afterwards.
    async fn commit<R: Send>(
        &self,
        progress: &mut VersionedValue<ViewProgress>,
        mut change: impl FnMut(
            &ViewProgress,
            StoreTime,
        ) -> Result<Result<(ViewProgress, R), Overtaken>, RefreshError>
        + Send,
    ) -> Result<Result<R, Overtaken>, RefreshError> {
        let apply = |base: &VersionedValue<ViewProgress>| {
            let now = self.bucket.clock().now().ok_or(RefreshError::NoStoreTime)?;
            match change(&base.value, now)? {
                Ok((next, result)) => Ok(RegisterChange::Put(next, Ok(result))),
                Err(Overtaken) => Ok(RegisterChange::Keep(Err(Overtaken))),
            }
        };
        match self.register.commit(Some(progress.clone()), apply).await? {
            CommitOutcome::Committed { current, result } => {
                *progress = current;
                Ok(result)
            }
            CommitOutcome::Refused(error) => Err(error),
            CommitOutcome::Unknown { reason } => Err(RefreshError::ProgressUnknown(reason)),
        }
    }
}

/// Returns the maximum time to compute a number of windows. A single window can't be divided.
fn step_time(limit: Duration, windows: u64) -> Duration {
    match windows {
        1 => *STEP_TIME.end(),
        _ => (limit / STEPS_OF_LIMIT).clamp(*STEP_TIME.start(), *STEP_TIME.end()),
    }
}

/// Divides rows into parts of limited size.
fn parts(rows: ViewRows) -> Vec<ViewRows> {
    let ViewRows { tags, batches } = rows;
    let part = |batches| ViewRows {
        tags: tags.clone(),
        batches,
    };
    let (mut parts, mut current, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
    // A write without rows is refused, and computed windows may have none with a value.
    for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
        bytes = bytes.saturating_add(batch.get_array_memory_size());
        current.push(batch);
        if bytes >= PART_BYTES {
            parts.push(part(std::mem::take(&mut current)));
            bytes = 0;
        }
    }
    if !current.is_empty() {
        parts.push(part(current));
    }
    parts
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn parts_have_limited_sizes_and_rows() {
        let batch = |rows: usize| {
            let values: ArrayRef = Arc::new(Int64Array::from(vec![1; rows]));
            RecordBatch::try_from_iter([("n", values)]).unwrap()
        };
        let sizes = |rows: &[usize]| {
            let batches = rows.iter().copied().map(batch).collect();
            let tags = vec!["host".to_owned()];
            let parts = parts(ViewRows { tags, batches }).into_iter();
            let rows = |part: ViewRows| part.batches.iter().map(RecordBatch::num_rows).collect();
            parts.map(rows).collect::<Vec<Vec<usize>>>()
        };
        let large = PART_BYTES / 8;
        assert_eq!(sizes(&[0, 0]), Vec::<Vec<usize>>::new());
        assert_eq!(sizes(&[0, 2, 0, 3]), [vec![2, 3]]);
        assert_eq!(sizes(&[1, large, 0, 2]), [vec![1, large], vec![2]]);
    }
}
