//! Claims of windows, and their ends.

use neap_bucket::{StoreTime, VersionedValue};
use neap_manifest::TimeRange;

use super::{
    report::{PAUSE_AFTER_FAILURE, RefreshOutcome},
    view_task::{Overtaken, ViewTask},
};
use crate::{
    RefreshError, ViewDataError, ViewFailure, ViewProgress, ViewState, WindowSet, claim::HeldClaim,
};

/// Windows that this process has claimed.
pub(super) struct ClaimedWindows {
    pub(super) held: HeldClaim,
    pub(super) range: TimeRange,
    pub(super) state: ViewState,
}

impl ViewTask<'_> {
    /// Returns whether refreshers of another database may have claims of the rows of this view: those of the database
    /// that a restored one has replaced.
    pub(super) fn has_former_refreshers(&self) -> bool {
        self.view.created_in != self.source.database && self.source.target_database.is_some()
    }

    /// Records a claim without a result in their place, whose windows are replaced after its end (rule V3).
    pub(super) async fn wait_for_former_refreshers(
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

    /// Records the changes of the source, and claims the first windows. Returns `None` if there are none.
    pub(super) async fn record(
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
        Ok(Some(ClaimedWindows { held, range, state: state.clone() }))
    }

    /// Ends a claim, records the windows that are computed, and claims the next ones unless `size` is `None`.
    pub(super) async fn finish(
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
    pub(super) async fn fail(
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
}
