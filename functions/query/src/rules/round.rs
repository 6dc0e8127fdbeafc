//! A round: evaluates the groups of a database that are due, and delivers notifications.
//!
//! ```text
//!   process                                          store
//!     |-- GET: progress ------------------------------> |   nothing is due: the end
//!     |-- commit: claim until T ----------------------> |   crash after: no process evaluates until T + 30 s
//!     |-- PUT: samples of a group, stamp before T ----> |   crash after: the same time is evaluated again
//!     |-- commit: evaluated, alerts, next claim ------> |   the end, unless notifications are due
//!     |== requests to targets                           |   crash after: they are repeated
//!     |-- commit: acknowledged, end of the claim -----> |
//! ```

use std::time::Duration;

use neap_bucket::{
    ClockReading, CommitOutcome, Register, RegisterChange, Stamp, StoreTime, VersionedValue,
};
use neap_catalog::{DatabaseCatalog, RuleGroup};
use neap_rollup::{HeldClaim, RefreshError};
use neap_rules::{GroupState, RuleError, RuleProgress, due_times, rule_progress};
use neap_schema::DatabaseId;

use super::{
    expression::RuleDatabase,
    group_evaluation::{GROUP_TIME, GroupEvaluation, GroupInputs},
    report::RuleReport,
};
use crate::QueryEngine;

/// Maximum age of the catalog that shows whether a database has rules (10 minutes). Rules that this process changed are seen
/// at once, others also when it validates a write.
const RULE_LIST_AGE: Duration = Duration::from_secs(600);

/// Time after which a notification that was not acknowledged is sent again.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// The rules of a database in one round.
struct RuleRound<'a> {
    engine: &'a QueryEngine,
    database: RuleDatabase<'a>,
    catalog: &'a DatabaseCatalog,
    register: Register<RuleProgress>,
    started_at: ClockReading,
    limit: Duration,
}

/// A group, and the times at which it must be evaluated.
struct DueGroup<'a> {
    namespace: &'a str,
    name: &'a str,
    group: &'a RuleGroup,
    times: Vec<i64>,
}

/// The progress that this process has claimed.
struct ClaimedProgress {
    /// The last commit.
    committed: VersionedValue<RuleProgress>,
    held: HeldClaim,
    /// The progress with the work since then.
    work: RuleProgress,
    /// Whether a write that has no answer may still arrive. The claim then remains until none can.
    has_unknown_write: bool,
}

/// The claim of another process.
struct OtherClaim {
    /// The time until it may be taken over.
    wait: Duration,
}

impl QueryEngine {
    /// Evaluates the rules of a database that are due, and sends notifications about alerts. Starts no further evaluations
    /// after `limit`. Costs no request if the database has no rules, and 2 GETs if nothing is due.
    ///
    /// # Errors
    /// The catalog or the progress can't be read, or it is unknown whether results are stored. Failures of rules are in the
    /// report.
    pub async fn evaluate_rules(
        &self,
        database: DatabaseId,
        limit: Duration,
    ) -> Result<RuleReport, RuleError> {
        let known = self.catalog().database(database, RULE_LIST_AGE).await?;
        if known.value.rules().is_empty() {
            return Ok(RuleReport::default());
        }
        let root = self.catalog().root(self.catalog().max_age()).await?;
        let mut live = root.value.live_databases();
        let Some((_, entry)) = live.find(|(id, _)| *id == database) else {
            return Ok(RuleReport::default());
        };
        let catalog = self.catalog().database(database, Duration::ZERO).await?;
        let round = RuleRound {
            engine: self,
            database: RuleDatabase { id: database, name: &entry.name },
            catalog: &catalog.value,
            register: rule_progress(self.bucket(), database),
            started_at: self.world().clock_reading(),
            limit,
        };
        round.run().await
    }
}

impl<'a> RuleRound<'a> {
    async fn run(&self) -> Result<RuleReport, RuleError> {
        let mut report = RuleReport::default();
        let mut progress = self.register.read(None).await?;
        let now = self.now()?;
        let (due, next) = self.due_groups(&progress.value, now);
        report.next = next;
        if due.is_empty() && !self.has_notifications(&progress.value, now) {
            return Ok(report);
        }
        let held = match self.claim(&mut progress).await? {
            Ok(held) => held,
            Err(OtherClaim { wait }) => {
                report.next = report.next.map(|next| next.min(wait));
                return Ok(report);
            }
        };
        let mut claimed = ClaimedProgress {
            held,
            work: RuleProgress::clone(&progress.value),
            committed: progress,
            has_unknown_write: false,
        };
        let (claimed_due, _) = self.due_groups(&claimed.work, self.now()?);
        self.evaluate(&mut claimed, claimed_due, &mut report).await?;
        self.notify(&mut claimed, &mut report).await?;
        let claim = claimed.has_unknown_write.then_some(claimed.held);
        self.commit(&mut claimed, claim).await?;
        let (_, wait) = self.due_groups(&claimed.work, self.now()?);
        report.next = if report.undelivered.is_empty() {
            wait
        } else {
            wait.map(|wait| wait.min(RETRY_AFTER))
        };
        if report.unfinished {
            report.next = Some(Duration::ZERO);
        }
        Ok(report)
    }

    fn now(&self) -> Result<StoreTime, RuleError> {
        let now = self.engine.bucket().clock().now();
        Ok(now.ok_or(RefreshError::NoStoreTime)?)
    }

    /// Returns the groups that are due, and the time until the next evaluation of any.
    fn due_groups(
        &self,
        progress: &RuleProgress,
        now: StoreTime,
    ) -> (Vec<DueGroup<'a>>, Option<Duration>) {
        let mut due = Vec::new();
        let mut next: Option<Duration> = None;
        for (namespace, groups) in self.catalog.rules() {
            for (name, group) in groups {
                let state = progress.group(namespace, name);
                let evaluated = state.map(|state| state.evaluated_ms);
                let (times, wait) = due_times(group.interval_ms, evaluated, millis(now));
                next = Some(next.map_or(wait, |next| next.min(wait)));
                if !times.is_empty() {
                    due.push(DueGroup { namespace, name, group, times });
                }
            }
        }
        (due, next)
    }

    fn has_notifications(&self, progress: &RuleProgress, now: StoreTime) -> bool {
        let notifier = self.engine.notifier();
        notifier.is_some_and(|notifier| notifier.has_work(progress, millis(now)))
    }

    /// Evaluates groups, and commits their progress only if the claim must be renewed.
    async fn evaluate(
        &self,
        claimed: &mut ClaimedProgress,
        due: Vec<DueGroup<'_>>,
        report: &mut RuleReport,
    ) -> Result<(), RuleError> {
        for group in due {
            for time in group.times {
                if self.is_over() {
                    report.unfinished = true;
                    return Ok(());
                }
                if !claimed.held.has_time_for(self.engine.world(), GROUP_TIME) {
                    self.renew(claimed).await?;
                }
                let never = GroupState::default();
                let before = claimed.work.group(group.namespace, group.name).unwrap_or(&never);
                let inputs = GroupInputs {
                    engine: self.engine,
                    database: self.database,
                    held: &claimed.held,
                    group: group.group,
                    before,
                    newest_write: claimed.work.newest_write,
                    free_alerts: claimed.work.free_alerts(),
                };
                let (state, newest_write) = match GroupEvaluation::run(inputs, time, report).await {
                    Ok(evaluated) => evaluated,
                    // The time is evaluated again. Other groups are not kept from it.
                    Err(error @ RuleError::Unknown(_)) => {
                        report.failures.push((group.name.to_owned(), error.to_string()));
                        claimed.has_unknown_write = true;
                        break;
                    }
                    Err(error) => return Err(error),
                };
                let work = &mut claimed.work;
                work.set_group(group.namespace, group.name, state);
                work.newest_write = newest_write;
                work.limit_series();
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.engine.world().elapsed(&self.started_at) >= self.limit
    }

    /// Sends notifications until all are acknowledged, a target does not answer, or the time is over.
    async fn notify(
        &self,
        claimed: &mut ClaimedProgress,
        report: &mut RuleReport,
    ) -> Result<(), RuleError> {
        while self.has_notifications(&claimed.work, self.now()?) {
            self.renew(claimed).await?;
            self.deliver(&mut claimed.work, report).await?;
            if !report.undelivered.is_empty() {
                return Ok(());
            }
            if self.is_over() {
                report.unfinished |= self.has_notifications(&claimed.work, self.now()?);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Commits the work, and extends the claim, so that the work of a long round is not lost.
    async fn renew(&self, claimed: &mut ClaimedProgress) -> Result<(), RuleError> {
        let renewed = HeldClaim::begin(self.engine.bucket(), Some(claimed.held.claim.id))?;
        self.commit(claimed, Some(renewed)).await?;
        claimed.held = renewed;
        Ok(())
    }

    async fn deliver(
        &self,
        work: &mut RuleProgress,
        report: &mut RuleReport,
    ) -> Result<(), RuleError> {
        let Some(notifier) = self.engine.notifier() else {
            return Ok(());
        };
        let delivery = notifier.deliver(work, millis(self.now()?)).await;
        report.notifications = report.notifications.saturating_add(delivery.acknowledged as u64);
        report.undelivered.extend(delivery.failures);
        Ok(())
    }

    /// Claims the rules of the database. (Rule A1)
    async fn claim(
        &self,
        progress: &mut VersionedValue<RuleProgress>,
    ) -> Result<Result<HeldClaim, OtherClaim>, RuleError> {
        let bucket = self.engine.bucket();
        let apply = |base: &VersionedValue<RuleProgress>| -> Result<_, RuleError> {
            let now = self.now()?;
            let before = base.value.claim;
            if let Some(other) = before.filter(|claim| claim.is_active(now)) {
                let wait = other.takeover_time().since(now);
                return Ok(RegisterChange::Keep(Err(OtherClaim { wait })));
            }
            let held = HeldClaim::begin(bucket, None)?;
            let mut next = RuleProgress::clone(&base.value);
            next.claim = Some(held.claim);
            // The rows of a repeated evaluation must come after all that the process with the claim before has written.
            let written = before.map(|claim| Stamp::end_of(claim.until));
            next.newest_write = next.newest_write.max(written);
            next.forget_deleted_groups(self.catalog);
            Ok(RegisterChange::Put(next, Ok(held)))
        };
        self.outcome(progress, apply).await
    }

    /// Commits the progress of this round, with or without a claim.
    async fn commit(
        &self,
        claimed: &mut ClaimedProgress,
        claim: Option<HeldClaim>,
    ) -> Result<(), RuleError> {
        let (held, work) = (claimed.held, &claimed.work);
        let apply = |base: &VersionedValue<RuleProgress>| -> Result<_, RuleError> {
            if base.value.claim.is_none_or(|claim| claim.id != held.claim.id) {
                return Err(RefreshError::ClaimEnded.into());
            }
            let mut next = work.clone();
            next.claim = claim.map(|held| held.claim);
            Ok(RegisterChange::Put(next, ()))
        };
        self.outcome(&mut claimed.committed, apply).await
    }

    /// Commits a change, whose value `progress` has afterwards.
    async fn outcome<R: Send>(
        &self,
        progress: &mut VersionedValue<RuleProgress>,
        apply: impl FnMut(
            &VersionedValue<RuleProgress>,
        ) -> Result<RegisterChange<RuleProgress, R>, RuleError>
        + Send,
    ) -> Result<R, RuleError> {
        match self.register.commit(Some(progress.clone()), apply).await? {
            CommitOutcome::Committed { current, result } => {
                *progress = current;
                Ok(result)
            }
            CommitOutcome::Refused(error) => Err(error),
            CommitOutcome::Unknown { reason } => Err(RuleError::Unknown(reason)),
        }
    }
}

/// Returns a time in milliseconds since the Unix epoch.
fn millis(time: StoreTime) -> i64 {
    time.micros().div_euclid(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rules::tests::{MINUTE, written},
        tests::instance::DATABASE,
    };

    #[tokio::test]
    async fn a_claim_is_renewed_with_the_work_so_far_before_a_group_that_it_has_no_time_for() {
        let one = written().await;
        one.define("{record: total, expr: sum(up)}").await;
        one.evaluate().await;
        one.pass(2 * MINUTE);
        let catalog = one.engine.catalog().database(DATABASE, Duration::ZERO).await.unwrap();
        let round = RuleRound {
            engine: &one.engine,
            database: RuleDatabase { id: DATABASE, name: "db" },
            catalog: &catalog.value,
            register: rule_progress(one.engine.bucket(), DATABASE),
            started_at: one.engine.world().clock_reading(),
            limit: 10 * MINUTE,
        };
        let mut progress = round.register.read(None).await.unwrap();
        let held = round.claim(&mut progress).await.unwrap().ok().unwrap();
        let mut claimed = ClaimedProgress {
            held,
            work: RuleProgress::clone(&progress.value),
            committed: progress,
            has_unknown_write: false,
        };
        let due_at = |index: usize| {
            let (mut due, _) = round.due_groups(&claimed.work, round.now().unwrap());
            let times = &mut due[0].times;
            assert_eq!(times.len(), 2);
            *times = vec![times[index]];
            due
        };
        let (first, second) = (due_at(0), due_at(1));
        let first_time = first[0].times[0];
        let mut report = RuleReport::default();
        round.evaluate(&mut claimed, first, &mut report).await.unwrap();
        let stored = round.register.read(None).await.unwrap().value;
        assert_eq!(stored.claim.unwrap().until, held.claim.until);
        one.pass(MINUTE);
        round.evaluate(&mut claimed, second, &mut report).await.unwrap();
        assert_eq!(report.evaluations, 2);
        let stored = round.register.read(None).await.unwrap().value;
        let renewed = stored.claim.unwrap();
        assert_eq!(renewed.id, held.claim.id);
        assert!(renewed.until > held.claim.until);
        assert_eq!(stored.group("ns", "g").unwrap().evaluated_ms, first_time);
    }
}
