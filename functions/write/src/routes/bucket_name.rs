//! The bucket of a request of InfluxDB 2, which names it or gives its id.

use std::time::Duration;

use neap_catalog::{DatabaseAction, InfluxDb2Id};
use neap_http::{ApiError, Caller, Kind};

use crate::WriteService;

/// Returns the name of the database of a bucket. A text that is not the id of a bucket is a name.
/// Fails with `NotFound`: no bucket has the id; `Forbidden` if the caller may not know that. The catalog can't be read.
pub(super) async fn bucket_name(
    service: &WriteService,
    caller: &Caller,
    bucket: String,
    actions: &[DatabaseAction],
) -> Result<String, ApiError> {
    let id = bucket.parse::<InfluxDb2Id>().ok();
    let Some(id) = id.and_then(InfluxDb2Id::database) else {
        return Ok(bucket);
    };
    // Another instance may have just created the bucket.
    for max_age in [service.max_age, Duration::ZERO] {
        let root = service.catalog.root(max_age).await?.value;
        let live = root.databases().get(&id).filter(|entry| entry.deletion.is_none());
        if let Some(entry) = live {
            return Ok(entry.name.clone());
        }
        if root.database(&bucket).is_some() {
            return Ok(bucket);
        }
    }
    caller.require_any(actions, None)?;
    let text = format!("bucket \"{bucket}\" not found");
    Err(ApiError::v2(Kind::NotFound, text))
}
