//! Checks of materialized views: of the windows that queries may read, and of all windows after a schedule.

use std::time::Duration;

use neap_rollup::{RefreshOutcome, RefreshReport, view_progress};
use neap_schema::DatabaseId;

use crate::{
    actors::ActorContext,
    instance::Instance,
    oracle::{Invariant, SimulationOracle},
    query::{QueryConsistency, SnapshotAnswer},
    view_actor::refresh,
    view_rows::{ALL_TIMES, VIEW_DATABASE},
};

/// Maximum number of ranges of changed windows in a query.
const MAX_CHANGED_RANGES: usize = 8;

/// The refreshes after which no window of a view is pending. The claims of the schedule have ended after two of them, and
/// each level of views needs one more.
const MAX_REFRESHES: usize = 12;

/// The time limit of a refresh after a schedule.
const REFRESH_LIMIT: Duration = Duration::from_secs(600);

/// The time between two refreshes after a schedule. The rows that the first one has written can be flushed after it.
const REFRESH_PAUSE: Duration = Duration::from_secs(70);

/// Maximum number of requests of a refresh without changes: the manifest and the progress.
const IDLE_REQUESTS: usize = 2;

/// Queries a database, and compares the windows of views that a query may read (rule V5).
pub(crate) async fn read_views(
    instance: &Instance,
    database: DatabaseId,
    question: QueryConsistency,
) {
    let Some(answer) = instance.ask_with_snapshot(database, question).await else {
        return;
    };
    let SnapshotAnswer { snapshot, rows, retention_base } = answer;
    let catalog = &snapshot.catalog.value;
    if snapshot.as_of.is_some() || catalog.views().next().is_none() {
        return;
    }
    // The progress is read after the snapshot.
    let register = view_progress(&instance.bucket, database);
    let Ok(progress) = register.read(None).await else {
        return;
    };
    // No statement is answered from rows in another database.
    for view in catalog.views().filter(|view| view.target.database.is_none()) {
        let tables = [&view.source, &view.target.table];
        let [Some(source), Some(target)] = tables.map(|name| catalog.table(name)) else {
            continue;
        };
        let Some(state) = progress.value.views.get(&view.id) else {
            continue;
        };
        let state = instance.without_listed_windows(state);
        let current = state.current_windows(view, &snapshot, &instance.manifests, retention_base);
        let Ok(Some(current)) = current.await else {
            continue;
        };
        let times = current.divide(ALL_TIMES, MAX_CHANGED_RANGES);
        let of_table = |table| rows.get(&table).cloned().unwrap_or_default();
        let (source, target) = (of_table(source.id()), of_table(target.id()));
        let truth = &instance.world.truth;
        let current = &times.current;
        truth.oracle(|oracle| {
            oracle.check_current_windows(database, view, current, &source, &target);
        });
    }
}

/// After the faults of a schedule, refreshes the views of all databases until no window is pending, and compares their
/// rows with those of their sources.
pub(crate) async fn check_views(stage: &ActorContext, instance: &Instance) {
    if !stage.world.choices.cast.viewing {
        return;
    }
    // From now on, the clocks of the store's hosts agree, so that no write is refused.
    stage.world.truth.set_skew(0.0);
    for (database, name) in stage.databases() {
        let mut is_compared = false;
        read_views(instance, database, QueryConsistency::Strong).await;
        for _ in 0..MAX_REFRESHES {
            if instance.is_live(database).await != Some(true) {
                is_compared = true;
                break;
            }
            let flushed = instance.flusher.flush(database).await;
            let refreshed = refresh(stage, instance, database, REFRESH_LIMIT).await;
            instance.trace(format_args!("last refresh of {name}: {refreshed:?} after {flushed:?}"));
            if refreshed.is_ok_and(|report| is_idle(&report))
                && compare(stage, instance, database).await.is_some()
            {
                is_compared = true;
                break;
            }
            stage.world.time.sleep(REFRESH_PAUSE).await;
        }
        if !is_compared {
            let text = format!("the views of {name} have pending windows without any fault");
            let truth = &instance.world.truth;
            truth.oracle(|oracle| oracle.fail(Invariant::ViewsMatchSources, text));
        }
    }
}

/// Whether a refresh has found nothing to do.
fn is_idle(report: &RefreshReport) -> bool {
    let is_current = |outcome: &RefreshOutcome| {
        matches!(outcome, RefreshOutcome::Current | RefreshOutcome::NoSource)
    };
    let mut outcomes = report.views.iter().map(|(_, outcome)| outcome);
    report.windows == 0 && outcomes.all(is_current)
}

/// Compares the rows of all views of a database after a refresh that found nothing to do. Returns `None` if a late
/// request of the schedule has changed the database meanwhile.
async fn compare(stage: &ActorContext, instance: &Instance, database: DatabaseId) -> Option<()> {
    let truth = &instance.world.truth;
    let is_forwarded = stage.world.choices.cast.jobs.forwarding;
    let other = if is_forwarded {
        VIEW_DATABASE
    } else {
        database
    };
    let versions = || [database, other].map(|one| truth.oracle(|oracle| oracle.versions(one)));
    let before = versions();
    if !is_forwarded {
        check_costs(stage, instance, database).await;
    }
    let strong = QueryConsistency::Strong;
    let answer = instance.ask_with_snapshot(database, strong).await?;
    let forwarded = if is_forwarded {
        Some(instance.ask_with_snapshot(VIEW_DATABASE, strong).await?)
    } else {
        None
    };
    if versions() != before {
        return None;
    }
    let catalog = &answer.snapshot.catalog.value;
    let now = instance.world.time.now();
    for view in catalog.views() {
        let Some(source) = catalog.table(&view.source).map(|table| table.id()) else {
            continue;
        };
        let of_target = match view.target.database {
            None => Some(&answer),
            Some(_) => forwarded.as_ref(),
        };
        let target = of_target
            .and_then(|answer| answer.snapshot.catalog.value.table(&view.target.table))
            .map(|table| table.id());
        let stored = of_target
            .and_then(|answer| answer.rows.get(&target?))
            .cloned()
            .unwrap_or_default();
        truth.oracle(|oracle| {
            oracle.check_view(database, view, (source, target), &stored, now);
        });
    }
    Some(())
}

/// Checks the number of requests of a refresh without changes. With pages, it may read more.
async fn check_costs(stage: &ActorContext, instance: &Instance, database: DatabaseId) {
    let world = &stage.world;
    let Ok(catalog) = instance.catalog.database(database, Duration::ZERO).await else {
        return;
    };
    if catalog.value.views().next().is_none() || world.choices.cast.inline_sections < 512 {
        return;
    }
    let before = world.calls();
    let refreshed = refresh(stage, instance, database, REFRESH_LIMIT).await;
    // One request more confirms that the catalog is current.
    let requests = world.calls() - before;
    if requests > IDLE_REQUESTS + 1 {
        let text = format!("{requests} requests without changes: {refreshed:?}");
        let fail = |oracle: &mut SimulationOracle| {
            oracle.fail(Invariant::IdleRefreshIsCheap, text);
        };
        world.truth.oracle(fail);
    }
}
