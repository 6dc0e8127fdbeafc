//! The refresh of one view.

use std::{
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use neap_bucket::{
    Bucket, CommitOutcome, Register, RegisterChange, Stamp, StoreTime, VersionedValue,
};
use neap_catalog::MaterializedView;
use neap_schema::TableId;

use super::report::{PAUSE_AFTER_FAILURE, RefreshOutcome, RefreshReport};
use crate::{
    RefreshError, ViewData, ViewDataError, ViewProgress, ViewState, WindowSet,
    changes::SourceTable, windows::window_count,
};

/// The number of windows that a refresh computes first. It is doubled while the rows fit in memory.
const FIRST_WINDOWS: u64 = 64;

/// Limits of the time in which the rows of several windows are computed: part of the time limit of a refresh, so that
/// windows that need more are divided within it, and at most half of a claim.
const STEP_TIME: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(60);

/// The share of a step in the time limit of a refresh: 64 windows can be divided seven times.
const STEPS_OF_LIMIT: u32 = 8;

/// Maximum age of the recorded point of a view while the manifest changes. It is less than the time-travel period, so
/// that changes since then are recorded.
const MAX_POINT_AGE: Duration = Duration::from_secs(5 * 60);

/// A commit was refused, because another process has changed the view.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overtaken;

/// A view, and its register.
pub(super) struct ViewTask<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) register: Register<ViewProgress>,
    pub(super) view: &'a MaterializedView,
    pub(super) source: SourceTable<'a>,
    pub(super) data: &'a dyn ViewData,
    pub(super) written: Mutex<WrittenRows>,
}

/// The acknowledged writes of a task.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WrittenRows {
    newest: Option<Stamp>,
    table: Option<TableId>,
}

impl ViewTask<'_> {
    /// Returns whether there is something to compute or to record.
    pub(super) fn is_due(&self, state: &ViewState, changed: &WindowSet, now: StoreTime) -> bool {
        let is_old = now.since(state.recorded_at) > MAX_POINT_AGE;
        !changed.is_empty()
            || !state.pending.is_empty()
            || state.claim.is_some()
            || state.source != self.source.table
            || self.source.has_another_target(state)
            || is_old && state.recorded.version != self.source.point().version
    }

    pub(super) async fn run(
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
                return Ok(RefreshOutcome::Behind { wait: PAUSE_AFTER_FAILURE });
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
                        RefreshError::Data(ViewDataError::Replaced) => {
                            Ok(RefreshOutcome::Behind { wait: Duration::ZERO })
                        }
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
            RefreshOutcome::Behind { wait: Duration::ZERO }
        })
    }

    pub(super) fn note_write(&self, stamp: Option<Stamp>, table: Option<TableId>) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.newest = written.newest.max(stamp);
        written.table = written.table.or(table);
    }

    /// Adds the acknowledged writes of this task to a state.
    pub(super) fn record_writes(&self, state: &mut ViewState) {
        let written = *self.written.lock().unwrap_or_else(PoisonError::into_inner);
        state.newest_write = state.newest_write.max(written.newest);
        state.target = state.target.or(written.table);
    }

    /// Commits a change of the progress, which `progress` has afterwards.
    pub(super) async fn commit<R: Send>(
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
