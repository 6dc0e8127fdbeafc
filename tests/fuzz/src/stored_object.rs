//! A bucket with one object, for decoders that the product calls when it reads the bucket.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{
    FutureExt,
    future::{self, BoxFuture},
};
use neap_bucket::{
    Bucket, Clock, Key, MemoryStore, PutMode, RECENT_PUT_IDS, Register, RegisterError,
    RegisterRead, VersionedValue, World, compression,
};

/// A clock that stands still.
#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn wall_micros(&self) -> i64 {
        1_700_000_000_000_000
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        // Short waits are pauses, long ones are time limits.
        if duration < Duration::from_secs(1) {
            Box::pin(future::ready(()))
        } else {
            Box::pin(future::pending())
        }
    }
}

/// Returns an empty bucket in memory.
pub(crate) fn empty_bucket() -> Bucket {
    let clock: Arc<dyn Clock> = Arc::new(StoppedClock);
    let world = World::seeded(Arc::clone(&clock), 1);
    Bucket::new(Arc::new(MemoryStore::new(clock)), world)
}

/// Returns a bucket in memory that contains one object.
pub(crate) fn bucket_with(key: &Key, object: Bytes) -> Bucket {
    let bucket = empty_bucket();
    await_memory(bucket.put(key, object, PutMode::Create)).expect("memory accepts each put");
    bucket
}

/// Returns the result of a future that waits for nothing but a store in memory.
pub(crate) fn await_memory<R>(future: impl Future<Output = R>) -> R {
    future.now_or_never().expect("memory answers at once")
}

/// Reads a register whose content is this JSON: the version, the recent ids, and the value.
pub(crate) fn read_register<T: RegisterRead>(
    key: Key,
    json: &[u8],
) -> Result<VersionedValue<T>, RegisterError> {
    let payload = compression::compress(json).expect("memory can be compressed");
    let object = T::READ_FORMAT.encode(7, &payload);
    let bucket = bucket_with(&key, object);
    await_memory(Register::new(bucket, key, RECENT_PUT_IDS).read(None))
}
