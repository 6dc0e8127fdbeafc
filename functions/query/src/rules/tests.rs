//! Rules over rows that the tests really write. The clock starts at 2023-11-14T22:13:20.

use std::{sync::Arc, time::Duration};

use futures::future::join;
use neap_bucket::{MemoryStore, SteppedClock};
use neap_catalog::RuleChange;
use neap_http::Caller;
use neap_rollup::HeldClaim;
use neap_rules::{AlertPhase, parse_file};

use super::{RuleReport, group_evaluation::GROUP_TIME};
use crate::{
    RuleList,
    tests::instance::{DATABASE, QueryTestInstance},
};

pub(super) const MINUTE: Duration = Duration::from_secs(60);

const UP: &str = "\
up,job=api,instance=a value=1 1700000000000000000
up,job=api,instance=b value=0 1700000000000000000";

impl QueryTestInstance {
    /// Replaces the rules of a namespace by those of a group with an interval of a minute.
    pub(super) async fn define(&self, rules: &str) {
        let file = format!("groups: [{{name: g, interval: 1m, rules: [{rules}]}}]");
        let change = RuleChange::Replace(parse_file(&file).unwrap());
        let caller = Caller::unrestricted();
        self.engine.change_rules(&caller, "db", "ns", change).await.unwrap();
    }

    pub(super) async fn evaluate(&self) -> RuleReport {
        self.engine.evaluate_rules(DATABASE, MINUTE).await.unwrap()
    }

    async fn rules(&self) -> RuleList {
        self.engine.list_rules(&Caller::unrestricted(), "db").await.unwrap()
    }
}

pub(super) async fn written() -> QueryTestInstance {
    let one = QueryTestInstance::alone().await;
    one.write(UP).await;
    one
}

#[tokio::test]
async fn results_are_stored_at_the_times_of_the_schedule() {
    let one = written().await;
    one.define("{record: 'job:up:sum', expr: sum by (job) (up), labels: {team: infra}}")
        .await;
    // The samples are later than 22:13.
    let first = one.evaluate().await;
    assert_eq!((first.evaluations, first.samples), (1, 0));
    assert!(first.next.unwrap() <= Duration::from_secs(40), "{first:?}");
    assert_eq!(one.evaluate().await.evaluations, 0, "a time is evaluated once");
    one.pass(MINUTE);
    let second = one.evaluate().await;
    assert_eq!((second.evaluations, second.samples), (1, 1), "{second:?}");
    assert_eq!(
        one.sql("SELECT job, team, time, value FROM \"job:up:sum\"").await,
        "job,team,time,value\napi,infra,2023-11-14T22:14:00,1.0\n"
    );
}

#[tokio::test]
async fn missed_times_are_made_up_for_by_another_process() {
    let clock = Arc::new(SteppedClock::self_advancing());
    let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
    let one = QueryTestInstance::new(Arc::clone(&store), Arc::clone(&clock)).await;
    one.write(UP).await;
    one.define("{record: total, expr: sum(up)}").await;
    one.evaluate().await;
    one.pass(3 * MINUTE);
    let other = QueryTestInstance::new(store, clock).await;
    let report = other.evaluate().await;
    assert_eq!((report.evaluations, report.samples), (3, 3), "{report:?}");
    assert_eq!(one.evaluate().await.evaluations, 0);
    assert_eq!(
        one.sql("SELECT time, value FROM total ORDER BY time").await,
        "time,value\n2023-11-14T22:14:00,1.0\n2023-11-14T22:15:00,1.0\n2023-11-14T22:16:00,1.0\n"
    );
}

#[tokio::test]
async fn two_processes_evaluate_a_time_once() {
    let clock = Arc::new(SteppedClock::self_advancing());
    let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
    let one = QueryTestInstance::new(Arc::clone(&store), Arc::clone(&clock)).await;
    one.write(UP).await;
    one.define("{record: total, expr: sum(up)}").await;
    let other = QueryTestInstance::new(store, clock).await;
    for _ in 0..5 {
        one.pass(MINUTE);
        let (first, second) = join(one.evaluate(), other.evaluate()).await;
        let evaluations = first.evaluations + second.evaluations;
        assert_eq!(evaluations, 1, "{first:?} {second:?}");
    }
}

#[tokio::test]
async fn a_claim_has_time_for_a_group_only_in_its_first_half_minute() {
    let one = written().await;
    let held = HeldClaim::begin(&one.bucket, None).unwrap();
    let world = one.bucket.world();
    assert!(held.has_time_for(world, GROUP_TIME));
    one.pass(MINUTE / 2);
    assert!(!held.has_time_for(world, GROUP_TIME));
    held.arrival(world).unwrap();
    one.pass(MINUTE);
    held.arrival(world).unwrap_err();
}

#[tokio::test]
async fn a_rule_reads_the_results_of_those_before_it() {
    let one = written().await;
    one.define("{record: total, expr: sum(up)}, {record: twice, expr: total * 2}")
        .await;
    one.pass(MINUTE);
    one.evaluate().await;
    assert_eq!(
        one.sql("SELECT time, value FROM twice").await,
        "time,value\n2023-11-14T22:14:00,2.0\n"
    );
}

#[tokio::test]
async fn an_alert_fires_when_its_time_is_over_and_ends_with_its_series() {
    let one = written().await;
    one.define("{alert: Down, expr: up == 0, for: 1m, labels: {severity: page}}")
        .await;
    one.pass(MINUTE);
    one.evaluate().await;
    let phase = |list: &RuleList| {
        let alert = &list.progress.group("ns", "g").unwrap().rules[0].alerts[0];
        (alert.phase, alert.labels["instance"].clone())
    };
    assert_eq!(phase(&one.rules().await), (AlertPhase::Pending, "b".to_owned()));
    one.pass(MINUTE);
    one.evaluate().await;
    assert_eq!(phase(&one.rules().await), (AlertPhase::Firing, "b".to_owned()));
    let alerts =
        "SELECT time, alertstate, non_finite, value FROM \"ALERTS\" ORDER BY time, alertstate";
    assert_eq!(
        one.sql(alerts).await,
        "time,alertstate,non_finite,value\n\
         2023-11-14T22:14:00,pending,,1.0\n\
         2023-11-14T22:15:00,firing,,1.0\n\
         2023-11-14T22:15:00,pending,stale,\n"
    );
    let shown = "SELECT namespace, group_name, alert_name, state, value, labels, fired_at FROM system.alerts";
    assert_eq!(
        one.sql(shown).await,
        "namespace,group_name,alert_name,state,value,labels,fired_at\n\
         ns,g,Down,firing,0,\"{\"\"alertname\"\":\"\"Down\"\",\"\"instance\"\":\"\"b\"\",\"\"job\"\":\"\"api\"\",\"\"severity\"\":\"\"page\"\"}\",\
         2023-11-14T22:15:00\n"
    );
    one.write("up,job=api,instance=b value=1 1700000120000000000").await;
    one.pass(MINUTE);
    one.evaluate().await;
    assert_eq!(phase(&one.rules().await).0, AlertPhase::Resolved);
    let state = "SELECT value, severity FROM \"ALERTS_FOR_STATE\" WHERE value > 0 LIMIT 1";
    assert_eq!(one.sql(state).await, "value,severity\n1700000040.0,page\n");
}

#[tokio::test]
async fn rules_are_in_all_languages() {
    let one = written().await;
    one.define(
        "{record: of_sql, language: sql, expr: 'SELECT job, sum(value) AS value FROM up GROUP BY job'}, \
         {record: of_influxql, language: influxql, expr: 'SELECT sum(value) FROM up GROUP BY job'}, \
         {record: of_promql, language: promql, expr: sum by (job) (up)}",
    )
    .await;
    one.pass(MINUTE);
    let report = one.evaluate().await;
    assert_eq!(report.failures, []);
    for table in ["of_sql", "of_influxql", "of_promql"] {
        assert_eq!(
            one.sql(&format!("SELECT job, time, value FROM {table}")).await,
            "job,time,value\napi,2023-11-14T22:14:00,1.0\n",
            "{table}"
        );
    }
}

#[tokio::test]
async fn rules_name_a_renamed_database_and_table_by_their_aliases() {
    let one = written().await;
    one.define(
        "{record: of_sql, language: sql, expr: 'SELECT sum(value) AS value FROM up'}, \
         {record: of_influxql, language: influxql, expr: 'SELECT sum(value) FROM db..up'}, \
         {record: of_promql, language: promql, expr: sum(up)}",
    )
    .await;
    one.sql("ALTER TABLE up RENAME TO targets").await;
    one.sql("ALTER DATABASE db RENAME TO \"db-2\"").await;
    one.pass(MINUTE);
    let report = one.evaluate().await;
    assert_eq!(report.failures, []);
    for table in ["of_sql", "of_influxql", "of_promql"] {
        let values = one.sql(&format!("SELECT value FROM {table}")).await;
        assert_eq!(values, "value\n1.0\n", "{table}");
    }
}

#[tokio::test]
async fn rules_name_a_renamed_field_by_its_alias() {
    let one = written().await;
    one.write("cpu,host=a load=2,user=1 1700000000000000000").await;
    one.sql("ALTER TABLE cpu RENAME COLUMN load TO usage").await;
    one.define(
        "{record: of_sql, language: sql, expr: 'SELECT sum(load) AS value FROM cpu'}, \
         {record: of_influxql, language: influxql, expr: 'SELECT sum(load) FROM cpu'}, \
         {record: of_promql, expr: 'sum(cpu_load{host=\"a\"})'}, \
         {record: of_present, expr: sum(cpu_usage)}",
    )
    .await;
    one.pass(MINUTE);
    let report = one.evaluate().await;
    assert_eq!(report.failures, []);
    for table in ["of_sql", "of_influxql", "of_promql", "of_present"] {
        let values = one.sql(&format!("SELECT value FROM {table}")).await;
        assert_eq!(values, "value\n2.0\n", "{table}");
    }
}

#[tokio::test]
async fn a_rule_that_fails_does_not_stop_others() {
    let one = written().await;
    one.define(
        "{record: bad, language: sql, expr: SELECT 1 FROM absent}, {record: good, expr: sum(up)}, \
         {record: up, expr: 'count(up)', labels: {value: x}}",
    )
    .await;
    one.pass(MINUTE);
    let report = one.evaluate().await;
    assert_eq!(report.failures.len(), 1, "{report:?}");
    let list = one.rules().await;
    let group = list.progress.group("ns", "g").unwrap();
    assert!(group.rules[0].error.as_deref().unwrap().contains("absent"));
    assert_eq!(group.rules[1].error, None);
    assert_eq!(one.sql("SELECT value FROM good").await, "value\n1.0\n");
    assert_eq!(one.sql("SELECT value FROM up WHERE label_value = 'x'").await, "value\n2.0\n");
}

#[tokio::test]
async fn results_that_do_not_fit_their_table_do_not_stop_others() {
    let one = written().await;
    one.write("taken job=\"text\" 1700000000000000000").await;
    one.define(
        "{record: first, expr: sum(up)}, {record: taken, expr: sum by (job) (up)}, \
         {record: third, expr: count(up)}, {record: fourth, expr: max(up)}",
    )
    .await;
    one.pass(MINUTE);
    let report = one.evaluate().await;
    let failed: Vec<&str> = report.failures.iter().map(|(rule, _)| rule.as_str()).collect();
    assert_eq!((failed, report.samples), (vec!["taken"], 3), "{report:?}");
    let list = one.rules().await;
    assert!(list.progress.group("ns", "g").unwrap().rules[1].error.is_some());
    assert_eq!(one.sql("SELECT value FROM third").await, "value\n2.0\n");
    assert_eq!(one.sql("SELECT value FROM fourth").await, "value\n1.0\n");
}

#[tokio::test]
async fn invalid_rules_are_refused() {
    let one = written().await;
    for rule in [
        "{record: a, expr: sum(}",
        "{record: a, language: sql, expr: SELECT FROM}",
        "{record: a, language: sql, expr: DELETE FROM up}",
        "{record: a, language: sql, expr: 'SELECT value FROM up WHERE job = $1'}",
        "{record: a, language: sql, expr: 'SELECT value FROM up WHERE job = $job'}",
        "{record: a, language: sql, expr: 'SELECT value FROM up WHERE job = ?'}",
        "{record: a, language: sql, expr: SELECT value INTO copy FROM up}",
        "{record: a, language: sql, expr: SELECT value FROM up EXCEPT ALL SELECT 1}",
        "{record: a, language: influxql, expr: 'SELECT value FROM up WHERE job = $job'}",
        "{record: a, expr: 'up[5m]'}",
        "{record: a, language: influxql, expr: DROP MEASUREMENT up}",
        "{record: a, language: influxql, expr: 'SELECT value FROM other..up'}",
        "{record: '#a', expr: up}",
    ] {
        let file = format!("groups: [{{name: g, rules: [{rule}]}}]");
        let change = RuleChange::Replace(parse_file(&file).unwrap());
        let changed = one.engine.change_rules(&Caller::unrestricted(), "db", "ns", change).await;
        assert!(changed.is_err(), "{rule}");
    }
    assert!(one.rules().await.catalog.rules().is_empty());
}

#[tokio::test]
async fn a_database_without_rules_needs_no_requests() {
    let one = written().await;
    one.evaluate().await;
    let before = one.counting.counts();
    assert_eq!(one.evaluate().await, RuleReport::default());
    let counts = one.counting.counts() - before;
    assert!(counts.iter().all(|(_, _, count)| count.requests == 0));
    let report = one.engine.evaluate_all_rules(MINUTE).await.unwrap();
    assert_eq!(report.databases, 0);
}
