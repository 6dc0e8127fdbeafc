//! `SHOW DATABASES` and `SHOW RETENTION POLICIES`.

use std::{sync::Arc, time::Duration};

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use datafusion::common::Result;
use neap_catalog::{
    AUTOGEN, Catalog, INTERNAL_DATABASE, INTERNAL_DATABASE_ID, INTERNAL_RETENTION, RootCatalog,
    policy_name,
};
use neap_schema::DatabaseId;

use neap_formats::series::AnswerInterface;
use neap_influxql_planner::batch_of;

use super::{error::InfluxqlError, request_catalogs::RequestCatalogs};
use crate::QueryError;

/// The column with database names, as in InfluxDB 3.
const DATABASE_COLUMN: &str = "iox::database";

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// A retention policy: the database itself, or one of the databases named `db/rp`.
#[derive(Debug)]
struct RetentionPolicyRow {
    database: String,
    name: String,
    kept: Option<Duration>,
    is_default: bool,
}

/// Answers `SHOW DATABASES` with the databases that the caller may see.
pub(super) async fn databases(
    catalog: &Catalog,
    seen: &RequestCatalogs,
    interface: AnswerInterface,
    sees: impl Fn(DatabaseId) -> bool,
) -> Result<RecordBatch, InfluxqlError> {
    let names = live(&*seen.root(catalog).await?, sees);
    let is_deleted = BooleanArray::from(vec![false; names.len()]);
    let names: StringArray = names.iter().map(|(name, _)| Some(name)).collect();
    let names = Arc::new(names) as ArrayRef;
    rows(match interface {
        AnswerInterface::V1 => vec![("name", names)],
        AnswerInterface::V3 => vec![(DATABASE_COLUMN, names), ("deleted", Arc::new(is_deleted))],
    })
}

/// The live databases that the caller may see, sorted by name.
fn live(root: &RootCatalog, sees: impl Fn(DatabaseId) -> bool) -> Vec<(String, DatabaseId)> {
    let mut live: Vec<_> = root
        .live_databases()
        .map(|(id, entry)| (entry.name.clone(), id))
        .chain([(INTERNAL_DATABASE.to_owned(), INTERNAL_DATABASE_ID)])
        .filter(|(_, id)| sees(*id))
        .collect();
    live.sort_unstable();
    live
}

/// Answers `SHOW RETENTION POLICIES` for one database, or for all that the caller may see.
pub(super) async fn retention_policies(
    catalog: &Catalog,
    seen: &RequestCatalogs,
    requested: Option<&str>,
    interface: AnswerInterface,
    sees: impl Fn(DatabaseId) -> bool,
) -> Result<RecordBatch, InfluxqlError> {
    let root = seen.root(catalog).await?;
    let entry = requested.and_then(|name| root.databases().get(&root.database(name)?));
    let database = entry.map(|entry| entry.name.as_str()).or(requested);
    let mut policies = Vec::new();
    for (name, id) in live(&root, sees) {
        let (shown, policy) = match database {
            Some(database) if name != database => match policy_name(&name, database) {
                // The v1 interface has no other name for `db/rp`.
                Some(policy) if interface == AnswerInterface::V1 => {
                    (database.to_owned(), policy.to_owned())
                }
                _ => continue,
            },
            _ => (name.clone(), AUTOGEN.to_owned()),
        };
        let kept = match id {
            INTERNAL_DATABASE_ID => Some(INTERNAL_RETENTION),
            id => seen.retention(catalog, id).await?,
        };
        let is_default = root.default_policy(&shown).unwrap_or(AUTOGEN) == policy;
        policies.push(RetentionPolicyRow { database: shown, name: policy, kept, is_default });
    }
    if let Some(database) = database
        && !policies.iter().any(|policy| policy.name == AUTOGEN)
    {
        return Err(QueryError::DatabaseNotFound(database.to_owned()).into());
    }
    rows(match interface {
        AnswerInterface::V3 => v3(&policies),
        AnswerInterface::V1 => v1(&policies),
    })
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<StringArray>())
}

fn durations(values: impl Iterator<Item = Duration>) -> ArrayRef {
    let texts = values.map(|duration| Some(format_go_duration(duration)));
    Arc::new(texts.collect::<StringArray>())
}

fn v3(policies: &[RetentionPolicyRow]) -> Vec<(&'static str, ArrayRef)> {
    let policies = || policies.iter();
    vec![
        (DATABASE_COLUMN, texts(policies().map(|policy| policy.database.as_str()))),
        ("name", texts(policies().map(|policy| policy.name.as_str()))),
        ("duration", durations(policies().map(|policy| policy.kept.unwrap_or_default()))),
    ]
}

/// The columns of InfluxDB 1.11.
fn v1(policies: &[RetentionPolicyRow]) -> Vec<(&'static str, ArrayRef)> {
    let all = || policies.iter();
    let none = || durations(all().map(|_| Duration::ZERO));
    let is_default = all().map(|policy| Some(policy.is_default));
    vec![
        ("name", texts(all().map(|policy| policy.name.as_str()))),
        ("duration", durations(all().map(|policy| policy.kept.unwrap_or_default()))),
        ("shardGroupDuration", durations(all().map(|policy| shard_duration(policy.kept)))),
        ("replicaN", Arc::new(Int64Array::from(vec![1; policies.len()]))),
        ("futureWriteLimit", none()),
        ("pastWriteLimit", none()),
        ("default", Arc::new(is_default.collect::<BooleanArray>())),
    ]
}

/// The shard duration that InfluxDB 1.x derives from the retention. Neap has no shards.
fn shard_duration(kept: Option<Duration>) -> Duration {
    let kept = kept.map_or(u64::MAX, |kept| kept.as_secs());
    Duration::from_secs(match kept {
        kept if kept < 2 * DAY => HOUR,
        kept if kept < 180 * DAY => DAY,
        _ => 7 * DAY,
    })
}

/// Formats a duration as Go does: `168h0m0s`, `1m30s`, `0s`.
pub(super) fn format_go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / HOUR, seconds % HOUR / 60);
    let rest = Duration::new(seconds % 60, duration.subsec_nanos()).as_secs_f64();
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}m{rest}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
    }
}

fn rows(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, InfluxqlError> {
    batch_of(columns).map_err(|error| QueryError::Execution(error).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_does() {
        let shown = |millis: u64| format_go_duration(Duration::from_millis(millis));
        let texts = [0, 1_500, 90_000, 3_600_000, 604_800_000].map(shown);
        assert_eq!(texts, ["0s", "1.5s", "1m30s", "1h0m0s", "168h0m0s"]);
    }
}
