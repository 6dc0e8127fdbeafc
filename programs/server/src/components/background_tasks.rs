//! The background tasks of a process: refreshes of views, evaluation of rules, flushes, and compaction.

use std::sync::Arc;

use neap_bucket::{Bucket, ProtocolRules};
use neap_compact::{
    CompactParts, Compactor, CompactorSettings, Flusher, GarbageCollectorSettings, MergePolicy,
    ParallelFlusher,
};
use neap_query::QueryEngine;

use super::function_settings::flush_limits;
use crate::{
    ServeError,
    flush_task::FlushTask,
    maintenance::FlushedDatabases,
    memory::MemoryPlan,
    metrics,
    options::{ServeArgs, ServeMode},
    rule_evaluation::{RuleEvaluationTask, RuleStats},
    server_context::ServerContext,
    stores::Stores,
    view_refresh::{ViewRefreshTask, ViewStats},
};

/// Returns whether this process refreshes materialized views: it must flush, query and write.
pub(super) fn refreshes_views(args: &ServeArgs) -> bool {
    let modes = [ServeMode::Ingest, ServeMode::Query, ServeMode::Compact];
    modes.into_iter().all(|mode| args.does(mode))
}

/// Returns the background refresh of materialized views, if this process does it.
pub(super) fn views_task(
    args: &ServeArgs,
    base: &ServerContext,
    engine: Option<&Arc<QueryEngine>>,
) -> Option<ViewRefreshTask> {
    let engine = engine.filter(|_| refreshes_views(args))?;
    let stats = Arc::new(ViewStats::default());
    metrics::register_views(&base.metrics, &stats);
    Some(ViewRefreshTask {
        engine: Arc::clone(engine),
        catalog: Arc::clone(&base.catalog),
        flushed: Arc::clone(&base.flushed_sources),
        backlog: Arc::clone(&base.backlog),
        stats,
        interval: args.rollup_interval,
        world: base.world.clone(),
    })
}

/// Returns the background evaluation of rules, if this process does it: where views are refreshed.
pub(super) fn rules_task(
    args: &ServeArgs,
    base: &ServerContext,
    engine: Option<&Arc<QueryEngine>>,
) -> Option<RuleEvaluationTask> {
    let engine = engine.filter(|_| refreshes_views(args))?;
    let stats = Arc::new(RuleStats::default());
    metrics::register_rules(&base.metrics, &stats);
    Some(RuleEvaluationTask {
        engine: Arc::clone(engine),
        catalog: Arc::clone(&base.catalog),
        stats,
        world: base.world.clone(),
    })
}

/// Creates the background flush.
pub(super) fn flushing(base: ServerContext, flushed: Arc<FlushedDatabases>) -> FlushTask {
    let limits = flush_limits(&base.memory);
    FlushTask {
        flusher: ParallelFlusher::new(Flusher::new(
            base.bucket,
            Arc::clone(&base.catalog),
            base.manifests,
            base.tail,
            base.rules,
            limits,
        )),
        catalog: base.catalog,
        backlog: base.backlog,
        blocked: base.blocked,
        flushed,
        changed: base.changed,
        flushed_sources: base.flushed_sources,
        snapshots: base.snapshots,
        triggers: base.triggers,
        writer: base.writer,
        pressure: base.monitor.pressure(),
        world: base.world,
    }
}

/// Creates a compactor with its own bucket connections and caches.
pub(super) fn compactor(
    args: &ServeArgs,
    stores: &Stores,
    bucket: Bucket,
    rules: ProtocolRules,
    memory: &MemoryPlan,
) -> Result<Compactor, ServeError> {
    let jobs = args.compaction_jobs.max(1);
    let parts = CompactParts {
        bucket,
        margins: stores.margins,
        rules,
        flush: flush_limits(memory),
        merge: MergePolicy::default(),
        collect: GarbageCollectorSettings::for_queries(
            args.time_travel,
            args.limits.query_timeout,
        )?,
        settings: CompactorSettings {
            merge_memory_bytes: (memory.merges / jobs) as u64,
            parallel_merges: jobs,
            ..CompactorSettings::default()
        },
    };
    let compactor = parts.assemble(None);
    Ok(match args.publish.settings(&args.store)? {
        Some(settings) => compactor.publishing(settings),
        None => compactor,
    })
}
