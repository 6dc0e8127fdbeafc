//! `neap compact`: flushes databases now, on the store itself, without a server.

use std::sync::Arc;

use clap::Args;
use neap_bucket::{StoreConfig, World};
use neap_catalog::{ANY_AGE, Catalog};
use neap_compact::{FlushLimits, Flushed, Flusher, GaveUp};
use neap_manifest::{ManifestSettings, ManifestStore};
use neap_schema::DatabaseId;
use neap_wal::{TailReader, TailSettings};

use super::CommandError;
use crate::{console::Console, stores::Stores};

/// The options of `neap compact`.
#[derive(Debug, Args)]
pub(super) struct CompactArgs {
    /// The database to flush; all of them by default.
    #[arg(short = 'd', long = "database", value_name = "NAME")]
    database: Option<String>,

    /// Believe the store's clock even if this machine's differs from it by more than five minutes.
    #[arg(long)]
    trust_store_clock: bool,

    #[command(flatten)]
    store: StoreConfig,
}

/// Flushes what was asked for, and tells what was done.
///
/// # Errors
///
/// The store can't be used, there is no such database, or a flush failed; then the others are flushed all
/// the same.
pub(super) async fn run(
    args: &CompactArgs,
    console: &mut Console,
    world: World,
) -> Result<(), CommandError> {
    let stores = Stores::open(&args.store, &world)?;
    let catalog = Arc::new(Catalog::new(stores.bucket.clone(), stores.margins, None));
    let databases = chosen(&catalog, args.database.as_deref()).await?;
    let flusher = flusher(&stores, &catalog, args.trust_store_clock).await?;
    let mut failed = 0;
    for (database, name) in &databases {
        if let Err(reason) = flush(&flusher, *database, name, console).await? {
            failed += 1;
            console.report(format_args!("{name}: {reason}"));
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

async fn chosen(
    catalog: &Catalog,
    name: Option<&str>,
) -> Result<Vec<(DatabaseId, String)>, CommandError> {
    let root = catalog.root(ANY_AGE).await?;
    let live = root.value.live_databases();
    let live = live.map(|(id, entry)| (id, entry.name.clone()));
    let Some(name) = name else {
        return Ok(live.collect());
    };
    let found: Vec<_> = live.filter(|(_, known)| known == name).collect();
    match found.is_empty() {
        true => Err(CommandError::NoDatabase(name.to_owned())),
        false => Ok(found),
    }
}

async fn flusher(
    stores: &Stores,
    catalog: &Arc<Catalog>,
    trust_store_clock: bool,
) -> Result<Flusher, CommandError> {
    let rules = catalog.rules().await?;
    let bucket = &stores.bucket;
    let limits = FlushLimits {
        trust_store_clock,
        ..FlushLimits::default()
    };
    Ok(Flusher::new(
        bucket.clone(),
        Arc::clone(catalog),
        ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default()),
        TailReader::new(bucket.clone(), TailSettings::default()),
        rules,
        limits,
    ))
}

/// Flushes a database until nothing is left that is old enough. The inner error is one to report.
async fn flush(
    flusher: &Flusher,
    database: DatabaseId,
    name: &str,
    console: &mut Console,
) -> Result<Result<(), String>, CommandError> {
    loop {
        let flushed = match flusher.flush(database).await {
            Ok(flushed) => flushed,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let text = describe(&flushed).map(|text| format!("{name}: {text}"));
        match text {
            Ok(text) => console.print(text).map_err(CommandError::Output)?,
            Err(reason) => return Ok(Err(reason)),
        }
        if !matches!(flushed, Flushed::Done { more: true, .. }) {
            return Ok(Ok(()));
        }
    }
}

fn describe(flushed: &Flushed) -> Result<String, String> {
    match flushed {
        Flushed::Done {
            segments,
            rows,
            sections,
            bytes,
            ..
        } => Ok(format!(
            "{segments} segments are now {sections} sections with {rows} rows in {bytes} bytes"
        )),
        Flushed::Nothing(GaveUp::NothingToFlush) => Ok(GaveUp::NothingToFlush.to_string()),
        Flushed::Nothing(reason) => Err(reason.to_string()),
    }
}
