//! Small reads that begin together share the lock, the store's time and a thread.
//!
//! A snapshot asks three directories whether they have changed. Each answer takes microseconds, and less than the lock and
//! the switch to a thread that may block.
//!
//! ```text
//! batch:  take the reads that wait | issue the store's time, unlock | read, read, … | deliver all
//! ```
//!
//! The time is issued after each read was requested and before it begins, as for a read that has the lock to itself.

use std::{
    fmt, io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::lock::{DirectoryLock, DirectoryLockGuard};
use crate::{StoreResponse, StoreTime};

/// Maximum number of reads in a batch, because they run one after the other.
const MAX_READS: usize = 16;

/// Sends the outcome of a read to the caller.
type Delivery = Box<dyn FnOnce() + Send>;

/// A read that waits for its batch, which passes the store's time.
type WaitingRead = Box<dyn FnOnce(io::Result<StoreTime>) -> Delivery + Send>;

/// The reads of the next batch. If there are any, a task that holds the lock will run them.
#[derive(Default)]
pub(super) struct ReadQueue {
    waiting: Mutex<Vec<WaitingRead>>,
}

impl fmt::Debug for ReadQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ReadQueue").finish_non_exhaustive()
    }
}

impl ReadQueue {
    /// Runs `work` on a thread that may block, and returns its result with a time of the store at which it had not begun.
    ///
    /// # Errors
    /// Those of `work`, of the lock and of its file.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        lock: &DirectoryLock,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<StoreResponse<T>> {
        let (sender, receiver) = oneshot::channel();
        let read: WaitingRead = Box::new(move |date| {
            let outcome = date.and_then(|date| {
                Ok(StoreResponse {
                    value: work()?,
                    date: Some(date),
                })
            });
            // The caller may have given up.
            Box::new(move || drop(sender.send(outcome)))
        });
        if let Err(read) = self.join(read) {
            let held = lock.acquire().await?;
            self.begin(read, held);
        }
        receiver.await.map_err(io::Error::other)?
    }

    /// Adds a read to the batch that has not begun. Returns it if there is no such batch, or no room.
    fn join(&self, read: WaitingRead) -> Result<(), WaitingRead> {
        let mut waiting = self.lock();
        match waiting.len() {
            1..MAX_READS => {
                waiting.push(read);
                Ok(())
            }
            _ => Err(read),
        }
    }

    /// Starts a batch. Nothing waits now, because the previous holder of the lock has taken what waited.
    fn begin(self: &Arc<Self>, read: WaitingRead, held: DirectoryLockGuard) {
        self.lock().push(read);
        let batch = ReadBatch {
            queue: Arc::clone(self),
            held: Some(held),
        };
        tokio::task::spawn_blocking(move || batch.run());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<WaitingRead>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that runs the reads of a queue. If the runtime drops it before, their callers get an error.
struct ReadBatch {
    queue: Arc<ReadQueue>,
    /// The lock, until the reads are taken and the time is issued.
    held: Option<DirectoryLockGuard>,
}

impl ReadBatch {
    fn run(mut self) {
        let Some(held) = self.held.take() else {
            return;
        };
        let reads = mem::take(&mut *self.queue.lock());
        let date = held.now();
        drop(held);
        let deliveries: Vec<_> = reads.into_iter().map(|read| read(copy_of(&date))).collect();
        for deliver in deliveries {
            deliver();
        }
    }
}

impl Drop for ReadBatch {
    fn drop(&mut self) {
        if self.held.is_some() {
            self.queue.lock().clear();
        }
    }
}

fn copy_of(date: &io::Result<StoreTime>) -> io::Result<StoreTime> {
    date.as_ref()
        .copied()
        .map_err(|error| io::Error::new(error.kind(), error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::mpsc};

    use bytes::Bytes;
    use futures::{FutureExt, poll};
    use tokio::runtime::{Builder, Runtime};

    use crate::{
        DirectoryStore, Get, GetOptions, ListRequest, Put, PutMode, Store, StoreError,
        StoreResponse, World,
    };

    const LIST: ListRequest<'static> = ListRequest {
        prefix: "",
        start_after: None,
        page_token: None,
    };

    /// A runtime with one thread that may block, and what keeps that thread from running anything until it is dropped.
    fn busy_runtime() -> (Runtime, mpsc::Sender<()>) {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let (sender, receiver) = mpsc::channel();
        drop(runtime.spawn_blocking(move || receiver.recv()));
        (runtime, sender)
    }

    fn open(directory: &tempfile::TempDir) -> DirectoryStore {
        DirectoryStore::open(directory.path(), &World::system()).unwrap()
    }

    async fn put(store: &DirectoryStore, key: &str) -> GetOptions {
        let answer = store.put(key, Bytes::from_static(b"a"), PutMode::Create);
        let StoreResponse {
            value: Put::Done(etag),
            ..
        } = answer.await.unwrap()
        else {
            panic!("the key is new");
        };
        GetOptions {
            if_none_match: Some(etag),
            ..GetOptions::default()
        }
    }

    #[test]
    fn reads_that_begin_together_have_one_time_of_the_store() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory);
        let runtime = Builder::new_current_thread().build().unwrap();
        let (known, changed) = runtime.block_on(async {
            let known = put(&store, "known").await;
            let changed = put(&store, "changed").await;
            store.delete(&["changed".to_owned()]).await.unwrap();
            put(&store, "changed").await;
            (known, changed)
        });
        let (busy_runtime, busy) = busy_runtime();
        let (list, unchanged, found) = busy_runtime.block_on(async {
            let mut reads = pin!(async {
                futures::join!(
                    store.list(LIST),
                    store.get("known", known),
                    store.get("changed", changed),
                )
            });
            assert!(poll!(reads.as_mut()).is_pending());
            drop(busy);
            reads.await
        });
        let (list, unchanged, found) = (list.unwrap(), unchanged.unwrap(), found.unwrap());
        assert_eq!(list.value.entries.len(), 2);
        assert!(matches!(unchanged.value, Get::Unchanged));
        assert!(matches!(found.value, Get::Found(_)));
        assert_eq!([unchanged.date, found.date], [list.date; 2]);
        let later = runtime.block_on(store.list(LIST)).unwrap();
        assert!(later.date > list.date);
    }

    #[test]
    fn reads_fail_while_their_runtime_ends_and_leave_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory);
        let ended = Builder::new_current_thread().build().unwrap();
        let handle = ended.handle().clone();
        ended.shutdown_background();
        {
            let _context = handle.enter();
            let answer = store.list(LIST).now_or_never().unwrap();
            assert!(matches!(answer, Err(StoreError::Unavailable { .. })));
        }
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(store.list(LIST)).unwrap();
    }
}
