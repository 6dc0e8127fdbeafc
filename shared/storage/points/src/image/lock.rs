//! Locks of parts that images share.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Acquires a lock for reading.
pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
