//! Actors that create and refresh materialized views.

use std::{sync::Arc, time::Duration};

use neap_catalog::{ANY_AGE, CatalogError, DatabaseCatalog};
use neap_manifest::ManifestError;
use neap_rollup::{
    RefreshError, RefreshOutcome, RefreshReport, ViewData, ViewRefresher, ViewSource,
};
use neap_schema::DatabaseId;

use crate::{
    actors::{ActorContext, run_on},
    instance::{DATABASE, Instance, InstanceSlot},
    oracle::Invariant,
    query::QueryConsistency,
    view_checks::read_views,
    view_data::SimulatedViewData,
    view_rows::{VIEW, VIEW_OF_VIEW, new_forwarded_view, new_view},
};

/// The views of a database were not refreshed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ViewRefreshFailure {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Refresh(#[from] RefreshError),
}

/// Creates views, and refreshes them at random intervals.
pub(crate) async fn refresher(stage: ActorContext, place: Arc<InstanceSlot>) {
    loop {
        stage.world.pause(stage.mix.cast.refresh_pauses).await;
        let database = stage.random_database().0;
        run_on(&place, async |instance| {
            if create(&instance, database).await.is_none() {
                let limit = stage.world.chance.pick(&[20, 600]);
                let limit = Duration::from_secs(limit);
                let refreshed = refresh(&stage, &instance, database, limit).await;
                instance.trace(format_args!("refresh of {database}: {refreshed:?}"));
                if stage.world.chance.happens(0.5) {
                    read_views(&instance, database, QueryConsistency::Strong).await;
                }
            }
        })
        .await;
    }
}

/// Creates the view if there is none, and sometimes the view of it if it has rows. Returns `None` if it creates neither.
async fn create(instance: &Instance, database: DatabaseId) -> Option<()> {
    let catalog = instance.catalog.database(database, ANY_AGE).await.ok()?;
    let catalog = &catalog.value;
    let is_forwarded = instance.world.choices.cast.jobs.forwarding;
    // No other database has a view with rows in that database, which has none itself.
    if is_forwarded && database != DATABASE {
        return None;
    }
    let name = match catalog.view(VIEW) {
        None => VIEW,
        Some(_) => {
            let is_possible = catalog.view(VIEW_OF_VIEW).is_none() && catalog.table(VIEW).is_some();
            if !is_possible || instance.world.chance.happens(0.7) {
                return None;
            }
            VIEW_OF_VIEW
        }
    };
    let view = if is_forwarded {
        new_forwarded_view()
    } else {
        new_view(name)
    };
    let created = instance.catalog.create_view(database, &view).await.map(|view| view.id);
    instance.trace(format_args!("view {name} of {database}: {created:?}"));
    Some(())
}

/// Refreshes the views of a database, as the query engine does.
///
/// # Errors
/// The catalog, the manifest or the progress of the views can't be read.
pub(crate) async fn refresh(
    stage: &ActorContext,
    instance: &Instance,
    database: DatabaseId,
    limit: Duration,
) -> Result<RefreshReport, ViewRefreshFailure> {
    // A refresh needs the present retention, because it never changes windows whose rows have expired.
    let catalog = instance.catalog.database(database, Duration::ZERO).await?;
    refresh_as_of(stage, instance, (database, &catalog.value), limit).await
}

/// Refreshes the views of a database, according to a version of its catalog.
///
/// # Errors
/// The manifest or the progress of the views can't be read.
pub(crate) async fn refresh_as_of(
    stage: &ActorContext,
    instance: &Instance,
    (database, catalog): (DatabaseId, &DatabaseCatalog),
    limit: Duration,
) -> Result<RefreshReport, ViewRefreshFailure> {
    let refresher = ViewRefresher::new(instance.bucket.clone(), instance.manifests.clone());
    let source = ViewSource { database, catalog };
    let data = SimulatedViewData::new(stage, instance, database);
    let data: &dyn ViewData = &data;
    let refreshed = refresher.refresh(source, data, limit).await;
    let report = refreshed.inspect_err(|error| check_error(instance, error))?;
    for (_, outcome) in &report.views {
        if let RefreshOutcome::Failed(error) = outcome {
            check_error(instance, error);
        }
    }
    Ok(report)
}

/// Counts a refresh whose claim has ended. Reports a violation if a refresh must not fail with this error.
fn check_error(instance: &Instance, error: &RefreshError) {
    let truth = &instance.world.truth;
    match error {
        RefreshError::ClaimEnded => truth.oracle(|oracle| oracle.counts.claims_ended += 1),
        RefreshError::Manifest(ManifestError::Format(_) | ManifestError::InvalidCommit { .. }) => {
            let text = format!("a refresh: {error}");
            truth.oracle(|oracle| oracle.fail(Invariant::NoUnexpectedError, text));
        }
        _ => {}
    }
}
