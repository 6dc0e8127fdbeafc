//! The buckets of queries: databases.

use std::{borrow::Cow, time::Duration};

use neap_catalog::{INTERNAL_DATABASE_ID, InfluxDb2Id, policy_database};
use neap_flux::{Program, ResultTables, Source};
use neap_flux_planner::{BucketList, BucketRow};
use neap_http::{ApiError, Caller};
use neap_schema::DatabaseId;

use super::error::{bucket_refusal, refusal};
use crate::{QueryEngine, QueryError};

/// Returns the results of a query, each with the database that it reads.
/// Fails if a bucket does not exist, or the caller may not read it.
pub(super) async fn resolve(
    engine: &QueryEngine,
    caller: &Caller,
    program: Program,
) -> Result<Vec<(ResultTables, DatabaseId)>, ApiError> {
    let mut resolved: Vec<(ResultTables, DatabaseId)> = Vec::with_capacity(program.results.len());
    for result in program.results {
        let known = resolved
            .iter()
            .find(|(other, _)| other.pipeline.source == result.pipeline.source)
            .map(|(_, database)| *database);
        let database = match (known, &result.pipeline.source) {
            (Some(database), _) => database,
            // The list is the same in all databases.
            (None, Source::Buckets) => INTERNAL_DATABASE_ID,
            (None, Source::Bucket(bucket)) => find(engine, caller, bucket).await?,
        };
        resolved.push((result, database));
    }
    Ok(resolved)
}

async fn find(engine: &QueryEngine, caller: &Caller, bucket: &str) -> Result<DatabaseId, ApiError> {
    let name = database_name(engine, bucket).await.map_err(refusal)?;
    let database = engine.resolve_for_read(caller, &name).await;
    database.map_err(|error| bucket_refusal(bucket, error))
}

/// Returns the name of the database of a bucket: that of the bucket, that before the name of the policy `autogen`, or that
/// of the database with the id.
async fn database_name<'a>(
    engine: &QueryEngine,
    bucket: &'a str,
) -> Result<Cow<'a, str>, QueryError> {
    let parts = bucket.rsplit_once('/');
    let of_policy =
        parts.filter(|(database, policy)| policy_database(database, Some(*policy)) == **database);
    let id = bucket.parse::<InfluxDb2Id>().ok().and_then(InfluxDb2Id::database);
    if of_policy.is_none() && id.is_none() || engine.known_database(bucket).await?.is_some() {
        return Ok(Cow::Borrowed(bucket));
    }
    if let Some((database, _)) = of_policy {
        return Ok(Cow::Borrowed(database));
    }
    let catalog = engine.catalog();
    let root = catalog.root(catalog.max_age()).await?.value;
    let mut live = root.live_databases();
    let entry = live.find(|(database, _)| Some(*database) == id);
    Ok(entry.map_or(Cow::Borrowed(bucket), |(_, entry)| Cow::Owned(entry.name.clone())))
}

/// Returns the buckets that a caller may know of, sorted by name.
/// Fails if the catalog can't be read.
pub(super) async fn list(engine: &QueryEngine, caller: &Caller) -> Result<BucketList, ApiError> {
    let listed = engine.run_with_permit(async {
        let catalogs = engine.catalog();
        let root = catalogs.root(Duration::ZERO).await?;
        let mut rows = Vec::new();
        for (id, entry) in root.value.live_databases() {
            if entry.backup.is_some() || !caller.can_see(id) {
                continue;
            }
            let catalog = catalogs.database(id, catalogs.max_age()).await?;
            let retention = catalog.value.retention().unwrap_or_default();
            rows.push(BucketRow {
                name: entry.name.clone(),
                id: InfluxDb2Id::from(id).to_string(),
                retention_nanos: i64::try_from(retention.as_nanos()).unwrap_or(i64::MAX),
            });
        }
        rows.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok::<_, QueryError>(BucketList {
            organization: InfluxDb2Id::ORGANIZATION.to_string(),
            rows,
        })
    });
    listed.await.map_err(refusal)
}
