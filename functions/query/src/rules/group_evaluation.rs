//! One evaluation of a group: its rules one after the other, and the write of their results.

use std::time::Duration;

use neap_bucket::{ClockReading, Stamp};
use neap_catalog::{Rule, RuleAction, RuleGroup};
use neap_rollup::HeldClaim;
use neap_rules::{
    AlertUsage, GroupState, RuleContext, RuleError, RuleSample, RuleState, limit_series,
};

use super::{
    expression::{MAX_RESULTS, RuleDatabase, results},
    report::RuleReport,
    samples::sample_rows,
};
use crate::{QueryEngine, QueryRequest};

/// Time limit of an expression.
const RULE_TIME: Duration = Duration::from_secs(30);

/// Time limit of the expressions of a group. It is less than a claim, so that the results can be written.
pub(super) const GROUP_TIME: Duration = Duration::from_secs(60);

/// Bytes of samples that are stored before further expressions are evaluated.
const MAX_PENDING_BYTES: usize = 16 << 20;

/// Maximum bytes of a name in a report.
const NAME_BYTES: usize = 128;

/// The evaluation of a group at a time.
pub(super) struct GroupEvaluation<'a> {
    engine: &'a QueryEngine,
    database: RuleDatabase<'a>,
    held: &'a HeldClaim,
    group: &'a RuleGroup,
    /// The time that expressions see, and that samples have, in milliseconds since the Unix epoch.
    at_ms: i64,
    started_at: ClockReading,
    states: Vec<RuleState>,
    /// The samples that are not stored yet.
    pending: Vec<RuleSamples>,
    pending_bytes: usize,
    /// The newest stamp of writes, which further expressions see.
    newest_write: Option<Stamp>,
    /// The alerts that the database may have in addition.
    free_alerts: AlertUsage,
}

struct RuleSamples {
    /// The index of the rule in its group.
    rule: usize,
    samples: Vec<RuleSample>,
}

/// What a group needs for its evaluation.
pub(super) struct GroupInputs<'a> {
    pub(super) engine: &'a QueryEngine,
    pub(super) database: RuleDatabase<'a>,
    pub(super) held: &'a HeldClaim,
    pub(super) group: &'a RuleGroup,
    pub(super) before: &'a GroupState,
    pub(super) newest_write: Option<Stamp>,
    pub(super) free_alerts: AlertUsage,
}

impl<'a> GroupEvaluation<'a> {
    /// Evaluates the rules of a group for a time of its schedule. Returns its state, and the newest stamp of writes.
    /// Fails if the claim has ended, or it is unknown whether the results are stored: the evaluation must be repeated.
    /// Failures of rules are in their states, and in the report.
    pub(super) async fn run(
        inputs: GroupInputs<'a>,
        time_ms: i64,
        report: &mut RuleReport,
    ) -> Result<(GroupState, Option<Stamp>), RuleError> {
        let group = inputs.group;
        let offset = i64::try_from(group.query_offset_ms).unwrap_or(i64::MAX);
        let mut evaluation = Self {
            engine: inputs.engine,
            database: inputs.database,
            held: inputs.held,
            group,
            at_ms: time_ms.saturating_sub(offset),
            started_at: inputs.engine.world().clock_reading(),
            states: inputs.before.rules_of(group),
            pending: Vec::new(),
            pending_bytes: 0,
            newest_write: inputs.newest_write,
            free_alerts: inputs.free_alerts,
        };
        for (index, rule) in group.rules.iter().enumerate() {
            if evaluation.is_read_by(rule) || evaluation.pending_bytes > MAX_PENDING_BYTES {
                evaluation.store(report).await?;
            }
            evaluation.evaluate(index, rule, report).await;
            limit_series(&mut evaluation.states);
        }
        evaluation.store(report).await?;
        report.evaluations += 1;
        let elapsed = evaluation.elapsed().as_millis();
        let state = GroupState {
            evaluated_ms: time_ms,
            interval_ms: group.interval_ms,
            duration_ms: u64::try_from(elapsed).unwrap_or(u64::MAX),
            rules: evaluation.states,
        };
        Ok((state, evaluation.newest_write))
    }

    fn elapsed(&self) -> Duration {
        self.engine.world().elapsed(&self.started_at)
    }

    /// Returns whether an expression names a metric whose samples are not stored yet.
    fn is_read_by(&self, rule: &Rule) -> bool {
        self.pending.iter().any(|samples| {
            let pending = self.group.rules.get(samples.rule);
            pending.is_some_and(|pending| {
                let metric = match &pending.action {
                    RuleAction::Record { metric } => metric.as_str(),
                    RuleAction::Alert { .. } => "ALERTS",
                };
                rule.expression.contains(metric)
            })
        })
    }

    async fn evaluate(&mut self, index: usize, rule: &Rule, report: &mut RuleReport) {
        let limit = RULE_TIME.min(GROUP_TIME.saturating_sub(self.elapsed()));
        let options = QueryRequest {
            after: self.newest_write,
            ends: Some(self.engine.world().clock.monotonic().saturating_add(limit)),
            ..QueryRequest::default()
        };
        let outcome = if limit.is_zero() {
            Err("the rules before it in its group have used the time of the group".to_owned())
        } else {
            results(self.engine, self.database, rule, self.at_ms, options).await
        };
        let Some(state) = self.states.get_mut(index) else {
            return;
        };
        let max_alerts = self.free_alerts.plus(AlertUsage::from_alerts(&state.alerts));
        let max_results = match usize::try_from(self.group.limit) {
            Ok(0) | Err(_) => MAX_RESULTS,
            Ok(configured) => configured.min(MAX_RESULTS),
        };
        let context = RuleContext { rule, at_ms: self.at_ms, max_results, max_alerts };
        let evaluated = match outcome {
            Ok(results) => state.evaluate(&context, results),
            Err(reason) => {
                state.fail(&reason);
                Err(reason)
            }
        };
        self.free_alerts = max_alerts.minus(AlertUsage::from_alerts(&state.alerts));
        match evaluated {
            Ok(samples) if samples.is_empty() => {}
            Ok(samples) => {
                let bytes: usize = samples.iter().map(RuleSample::size_bytes).sum();
                self.pending_bytes = self.pending_bytes.saturating_add(bytes);
                self.pending.push(RuleSamples { rule: index, samples });
            }
            Err(reason) => report.failures.push((short_name(rule), reason)),
        }
    }

    /// Stores the pending samples. If a sample does not fit its table, those of other rules are stored.
    async fn store(&mut self, report: &mut RuleReport) -> Result<(), RuleError> {
        self.pending_bytes = 0;
        let mut parts = vec![std::mem::take(&mut self.pending)];
        while let Some(mut part) = parts.pop() {
            let count: usize = part.iter().map(|rule| rule.samples.len()).sum();
            if count == 0 {
                continue;
            }
            match self.write(&part).await? {
                Ok(()) => report.samples = report.samples.saturating_add(count as u64),
                Err(_) if part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
                Err(reason) => self.fail(&part, &reason, report),
            }
        }
        Ok(())
    }

    /// Records that the samples of rules were not stored.
    fn fail(&mut self, part: &[RuleSamples], reason: &str, report: &mut RuleReport) {
        for RuleSamples { rule, .. } in part {
            if let Some(state) = self.states.get_mut(*rule) {
                state.fail(reason);
            }
            let name = self.group.rules.get(*rule).map(short_name);
            report.failures.push((name.unwrap_or_default(), reason.to_owned()));
        }
    }

    /// Writes samples. The inner error is permanent: no sample is stored.
    async fn write(&mut self, part: &[RuleSamples]) -> Result<Result<(), String>, RuleError> {
        let Some(writer) = self.engine.row_writer() else {
            return Ok(Err("this server does not accept writes".to_owned()));
        };
        let samples = part.iter().flat_map(|rule| &rule.samples);
        let rows = match sample_rows(samples, self.at_ms) {
            Ok(rows) => rows,
            Err(reason) => return Ok(Err(reason)),
        };
        let arrived = self.held.arrival(self.engine.world())?;
        let RuleDatabase { id, name } = self.database;
        let stored = writer.store_arrived_rows(name, id, &rows, self.newest_write, arrived);
        match stored.await {
            Ok(stored) => {
                self.held.check(stored.stamp)?;
                self.newest_write = self.newest_write.max(stored.stamp);
                Ok(Ok(()))
            }
            Err(error) if error.retry_after.is_none() => Ok(Err(error.message)),
            Err(error) => Err(RuleError::Unknown(error.message)),
        }
    }
}

fn short_name(rule: &Rule) -> String {
    let name = rule.name();
    name.get(..name.floor_char_boundary(NAME_BYTES)).unwrap_or_default().to_owned()
}
