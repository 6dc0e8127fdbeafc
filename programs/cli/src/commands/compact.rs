//! `neap compact`: runs the background work of a server now, directly on the store: flushes, merges, fills caches,
//! removes expired data, and deletes unreferenced objects.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use neap_assembly::options::parse_duration;
use neap_bucket::{Bucket, Stamp, StoreConfig, World};
use neap_catalog::{ANY_AGE, Catalog};
use neap_compact::{
    CompactError, CompactParts, CompactionReport, Compactor, CompactorEvent, CompactorSettings,
    FlushLimits, FlushResult, FlushSkipped, GarbageCollectorSettings, MergePolicy, PublishedTable,
};
use neap_schema::DatabaseId;
use neap_server::{console::Console, publish_options::PublishArgs, stores::Stores};

use super::{CommandError, CommandResult, open_cluster::open_existing};

/// Number of tails that are listed concurrently.
const LISTINGS_AT_ONCE: usize = 16;

/// The resolution of the `Date` of a store's answers, by which a flush decides.
const DATE_RESOLUTION: Duration = Duration::from_secs(1);

/// The options of `neap compact`.
#[derive(Debug, Args)]
pub(super) struct CompactArgs {
    /// The database to work on; all of them by default.
    #[arg(short = 'd', long = "database", value_name = "NAME")]
    database: Option<String>,

    /// Only flush: neither merge nor delete anything.
    #[arg(long)]
    flush_only: bool,

    /// Only tell which objects would be deleted.
    #[arg(long, conflicts_with = "flush_only")]
    dry_run: bool,

    /// Start no further jobs after this time.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    time_limit: Option<Duration>,

    /// How far back queries can read an earlier state: dropped data is kept for this time.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "1h")]
    time_travel: Duration,

    /// The longest time of a query on this store, the greatest `--query-timeout` of its servers; 0s if nothing
    /// queries it. --time-travel must be at least twice as long.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "5m")]
    query_timeout: Duration,

    /// Days to which nothing was written for so long are merged down to one or two sections.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30m")]
    settle_after: Duration,

    /// Trust the store's clock even if this machine's clock differs from it by more than five minutes.
    #[arg(long)]
    trust_store_clock: bool,

    #[command(flatten)]
    publish: PublishArgs,

    #[command(flatten)]
    store: StoreConfig,
}

/// Processes the selected databases and prints a summary.
///
/// # Errors
///
/// The store can't be used, the database does not exist, or a step failed. After a failed step, the other databases are
/// still processed.
pub(super) async fn run(args: &CompactArgs, console: &mut Console, world: World) -> CommandResult {
    let collect = GarbageCollectorSettings {
        dry_run: args.dry_run,
        ..GarbageCollectorSettings::for_queries(args.time_travel, args.query_timeout)?
    };
    let stores = open_existing(&args.store, &world)?.trusting_store_clock(args.trust_store_clock);
    let catalog = Arc::new(Catalog::new(stores.bucket.clone(), stores.margins, None));
    let databases = chosen(&catalog, args.database.as_deref()).await?;
    let compactor = compactor(args, collect, &stores, &catalog).await?;
    let mut failed = 0;
    if !args.dry_run {
        let lag = catalog.rules().await?.flush_lag;
        wait_for_newest_rows(&stores.bucket, &databases, lag, console).await?;
        failed += flush(&compactor, &databases, console).await?;
    }
    if !args.flush_only {
        let report = match (&args.database, databases.as_slice()) {
            (Some(_), [(database, _)]) => compactor.settle(*database, args.time_limit).await?,
            _ => compactor.handle(&CompactorEvent::Collect, args.time_limit).await?,
        };
        failed += report.failures.len();
        tell(&report, args.dry_run, console)?;
        tell_published(&report.published, &databases, console)?;
        if args.database.is_none() && !args.dry_run && !report.has_more() {
            tell_unpublished(&args.publish, &report.published, &databases, console);
        }
    }
    if databases.is_empty() {
        console
            .print(format_args!("no databases in {}", stores.place))
            .map_err(CommandError::Output)?;
    }
    match failed {
        0 => Ok(()),
        failed => Err(CommandError::NotFlushed { failed }),
    }
}

/// Prints counts of merges and deletions.
fn tell(report: &CompactionReport, is_dry_run: bool, console: &mut Console) -> CommandResult {
    let CompactionReport {
        merges,
        removed,
        caches,
        collected,
        failures,
        postponed,
        unfinished,
        ..
    } = report;
    for (database, reason) in failures {
        console.report(format_args!("database {database}: {reason}"));
    }
    for key in &collected.keys {
        console.print(key).map_err(CommandError::Output)?;
    }
    if *caches > 0 {
        console
            .print(format_args!("{caches} caches filled"))
            .map_err(CommandError::Output)?;
    }
    let is_idle = *merges + *removed + collected.orphans == 0
        && collected.segments + collected.objects + collected.results == 0;
    if is_idle && !is_dry_run && !report.has_more() {
        return Ok(());
    }
    let verb = if is_dry_run { "would be" } else { "were" };
    let text = format!(
        "{merges} merges; {removed} sections removed; {} segments, {} objects and {} results {verb} deleted, {} orphans found",
        collected.segments, collected.objects, collected.results, collected.orphans,
    );
    console.print(text).map_err(CommandError::Output)?;
    if *postponed > 0 {
        let text = format!(
            "{postponed} jobs are postponed to the next run: another process committed first, or the store was slow"
        );
        console.print(text).map_err(CommandError::Output)?;
    }
    if *unfinished {
        console
            .print("the time limit was reached before all work was done")
            .map_err(CommandError::Output)?;
    }
    Ok(())
}

/// Prints where tables are published, and how much of them.
fn tell_published(
    published: &[PublishedTable],
    databases: &[(DatabaseId, String)],
    console: &mut Console,
) -> CommandResult {
    for table in published {
        let PublishedTable {
            table: name,
            location,
            number,
            is_new,
            sections,
            rows,
            unsettled_sections,
            unsettled_rows,
            ..
        } = table;
        let database = databases
            .iter()
            .find(|(id, _)| *id == table.database)
            .map_or("", |(_, name)| name.as_str());
        let state = if *is_new { "published" } else { "unchanged" };
        let unsettled = match unsettled_sections {
            0 => String::new(),
            _ => {
                format!("; {unsettled_rows} rows in {unsettled_sections} sections are not settled")
            }
        };
        let text = format!(
            "{database}: table '{name}' is {state} as {location}, number {number}: {rows} rows in {sections} files{unsettled}"
        );
        console.print_text(&text).map_err(CommandError::Output)?;
    }
    Ok(())
}

/// Reports the names of the option that have published no table, because they are misspelled or have no settled rows.
fn tell_unpublished(
    args: &PublishArgs,
    published: &[PublishedTable],
    databases: &[(DatabaseId, String)],
    console: &mut Console,
) {
    let named: Vec<_> = published
        .iter()
        .filter_map(|table| {
            let (_, database) = databases.iter().find(|(id, _)| *id == table.database)?;
            Some((database.as_str(), table.table.as_str()))
        })
        .collect();
    for name in args.tables().without_table(&named) {
        console.report(format_args!(
            "--publish-only {name}: there is no such database or table, or it has no settled rows"
        ));
    }
}

async fn chosen(catalog: &Catalog, name: Option<&str>) -> CommandResult<Vec<(DatabaseId, String)>> {
    let root = catalog.root(ANY_AGE).await?;
    let live = root.value.live_databases().map(|(id, entry)| (id, entry.name.clone()));
    let Some(name) = name else {
        return Ok(live.collect());
    };
    let found: Vec<_> = live.filter(|(_, known)| known == name).collect();
    if found.is_empty() {
        Err(CommandError::NoDatabase(name.to_owned()))
    } else {
        Ok(found)
    }
}

async fn compactor(
    args: &CompactArgs,
    collect: GarbageCollectorSettings,
    stores: &Stores,
    catalog: &Arc<Catalog>,
) -> CommandResult<Compactor> {
    let parts = CompactParts {
        bucket: stores.bucket.clone(),
        margins: stores.margins,
        rules: catalog.rules().await?,
        flush: FlushLimits::default(),
        merge: MergePolicy {
            settle_after: args.settle_after,
            delete_after: Duration::ZERO,
            ..MergePolicy::default()
        },
        collect,
        settings: CompactorSettings::default(),
    };
    let compactor = parts.assemble(None);
    Ok(match args.publish.settings(&args.store)? {
        Some(settings) => compactor.publishing(settings),
        None => compactor,
    })
}

/// Waits until all rows that were acknowledged before the call can be flushed: at most for the flush lag.
async fn wait_for_newest_rows(
    bucket: &Bucket,
    databases: &[(DatabaseId, String)],
    lag: Duration,
    console: &mut Console,
) -> CommandResult {
    // No request has been answered if there is no time, so there are no databases either.
    let now = bucket.clock().now().unwrap_or_default();
    let flushable = Stamp::end_of(now.minus(lag));
    let newest: Vec<Option<Stamp>> = stream::iter(databases)
        .map(|(database, _)| bucket.newest_stamp(*database, flushable))
        .buffer_unordered(LISTINGS_AT_ONCE)
        .try_collect()
        .await
        .map_err(CompactError::from)?;
    let Some(newest) = newest.into_iter().flatten().max() else {
        return Ok(());
    };
    let wait = newest.time().since(now.minus(lag)).min(lag) + DATE_RESOLUTION;
    console
        .print(format_args!(
            "waiting {} s until the newest rows can be flushed",
            wait.as_secs().max(1)
        ))
        .map_err(CommandError::Output)?;
    bucket.world().clock.sleep(wait).await;
    Ok(())
}

/// Flushes databases until no segment is old enough. Returns the number of databases whose flush failed.
async fn flush(
    compactor: &Compactor,
    databases: &[(DatabaseId, String)],
    console: &mut Console,
) -> CommandResult<usize> {
    let names: BTreeMap<_, _> = databases.iter().map(|(id, name)| (*id, name)).collect();
    let ids = databases.iter().map(|(id, _)| *id).collect();
    let mut flushes = pin!(compactor.flush_all(ids).await?);
    let mut failed = 0;
    while let Some((database, flushes)) = flushes.next().await {
        let name = names.get(&database).map_or("", |name| name.as_str());
        for flushed in flushes {
            let text = flushed.map_err(|error| error.to_string());
            match text.and_then(|flushed| describe(&flushed)) {
                Ok(text) => {
                    console.print(format_args!("{name}: {text}")).map_err(CommandError::Output)?
                }
                Err(reason) => {
                    failed += 1;
                    console.report(format_args!("{name}: {reason}"));
                }
            }
        }
    }
    Ok(failed)
}

fn describe(flushed: &FlushResult) -> Result<String, String> {
    match flushed {
        FlushResult::Done { segments, rows, sections, bytes, .. } => Ok(format!(
            "{segments} segments are now {sections} sections with {rows} rows in {bytes} bytes"
        )),
        // Another process may work on the same store.
        FlushResult::Skipped(reason @ (FlushSkipped::NothingToFlush | FlushSkipped::Overtaken)) => {
            Ok(reason.to_string())
        }
        FlushResult::Skipped(reason @ FlushSkipped::Unknown(_)) => {
            Ok(format!("{reason}; the next run continues"))
        }
        FlushResult::Skipped(reason) => Err(reason.to_string()),
    }
}
