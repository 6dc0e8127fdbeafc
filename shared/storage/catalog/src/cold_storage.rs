//! The age at which rows become cold, and their storage class.

use std::time::Duration;

use neap_bucket::{StorageClass, StoreTime};
use serde::{Deserialize, Serialize};

use crate::CatalogError;

/// The age at which rows are cold, and the storage class of cold rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdStorage {
    after_ns: u64,
    class: StorageClass,
}

impl ColdStorage {
    /// Rows that are older than `after`, at most 584 years, are stored in `class`.
    pub fn new(after: Duration, class: StorageClass) -> Self {
        Self {
            after_ns: u64::try_from(after.as_nanos()).unwrap_or(u64::MAX),
            class,
        }
    }

    /// Returns the age at which rows are cold.
    pub fn after(&self) -> Duration {
        Duration::from_nanos(self.after_ns)
    }

    /// Returns the storage class of cold rows.
    pub fn class(&self) -> StorageClass {
        self.class
    }

    /// Returns the time before which rows are cold at a time of the store, in nanoseconds since the Unix epoch.
    pub fn cutoff(&self, now: StoreTime) -> i64 {
        now.nanos_before(self.after())
    }

    /// Checks the setting against the classes of the store, and the retention of the rows.
    pub(crate) fn check(
        &self,
        classes: &[StorageClass],
        retention: Option<Duration>,
    ) -> Result<(), CatalogError> {
        let invalid = |reason: String| Err(CatalogError::InvalidColdStorage { reason });
        if classes.is_empty() {
            let reason = "the store of this cluster has no storage classes: cold data needs a \
                          general-purpose bucket of S3, Google Cloud Storage or Azure Blob Storage";
            return invalid(reason.to_owned());
        }
        if !classes.contains(&self.class) {
            let names: Vec<_> = classes.iter().map(|class| class.as_str()).collect();
            return invalid(format!(
                "the store of this cluster has no storage class {}, but {}",
                self.class,
                names.join(", ")
            ));
        }
        if self.after_ns == 0 {
            return invalid("rows must be older than zero to be cold".to_owned());
        }
        match retention.filter(|retention| *retention <= self.after()) {
            Some(retention) => invalid(format!(
                "rows expire after {} s, before they are cold",
                retention.as_secs_f64()
            )),
            None => Ok(()),
        }
    }
}
