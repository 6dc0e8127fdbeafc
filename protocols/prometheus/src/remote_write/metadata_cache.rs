//! The descriptions of metrics that are stored already.
//!
//! Version 2 describes the metric of each series in each request. A description is stored once a day, because retention
//! removes old rows.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use ahash::RandomState;

use crate::MetricMetadata;

/// Maximum number of descriptions. A description takes about 16 bytes.
const MAX_ENTRIES: usize = 64 << 10;

/// Microseconds per day.
const DAY_MICROS: i64 = 86_400_000_000;

/// The hashes of stored descriptions. A process that starts, or that has more descriptions than fit, stores some of
/// them again, which are the same rows.
#[derive(Debug, Default)]
pub(crate) struct MetadataCache {
    stored: Mutex<HashSet<u64>>,
    hasher: RandomState,
}

/// The descriptions of a request that are not stored yet.
#[derive(Debug, Default)]
pub(crate) struct NewMetadata<'a> {
    pub(crate) metadata: Vec<MetricMetadata<'a>>,
    hashes: Vec<u64>,
}

impl MetadataCache {
    /// Returns the descriptions that are not stored on the day of this start.
    pub(crate) fn select_new<'a>(
        &self,
        database: &str,
        day_start_ns: i64,
        metadata: &[MetricMetadata<'a>],
    ) -> NewMetadata<'a> {
        let mut new = NewMetadata::default();
        if metadata.is_empty() {
            return new;
        }
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        for metadata in metadata {
            let hash = self.hasher.hash_one((database, day_start_ns, metadata));
            if !stored.contains(&hash) {
                new.metadata.push(*metadata);
                new.hashes.push(hash);
            }
        }
        new
    }

    /// Records that descriptions are stored.
    pub(crate) fn record(&self, new: &NewMetadata<'_>) {
        if new.hashes.is_empty() {
            return;
        }
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        if stored.len() + new.hashes.len() > MAX_ENTRIES {
            stored.clear();
        }
        stored.extend(new.hashes.iter().take(MAX_ENTRIES));
    }
}

/// Returns the start of the day of a time in microseconds, in nanoseconds since the Unix epoch.
pub(crate) fn day_start_ns(wall_micros: i64) -> i64 {
    wall_micros
        .div_euclid(DAY_MICROS)
        .saturating_mul(DAY_MICROS)
        .saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_new_once_a_day_and_database() {
        let cache = MetadataCache::default();
        let metadata = [MetricMetadata {
            metric: "up",
            kind: "gauge",
            help: "Whether the target answers.",
            unit: "",
        }];
        let new = cache.select_new("a", 0, &metadata);
        assert_eq!(new.metadata, metadata);
        assert_eq!(cache.select_new("a", 0, &metadata).metadata, metadata);
        cache.record(&new);
        assert!(cache.select_new("a", 0, &metadata).metadata.is_empty());
        assert_eq!(cache.select_new("b", 0, &metadata).metadata, metadata);
        assert_eq!(cache.select_new("a", 1, &metadata).metadata, metadata);
    }

    #[test]
    fn a_day_starts_at_midnight() {
        let day = 86_400_000_000_000;
        assert_eq!(day_start_ns(0), 0);
        assert_eq!(day_start_ns(DAY_MICROS + 5), day);
        assert_eq!(day_start_ns(-1), -day);
    }
}
