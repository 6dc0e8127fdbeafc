//! Small reads that begin together share the store's time and a thread.
//!
//! A snapshot asks three directories whether they have changed. Each answer takes microseconds, and less than the switch to a
//! thread that may block.
//!
//! ```text
//! task:      start, while other reads of the same runtime join
//!    \-----> take the reads, issue the store's time | read, read, … | deliver all
//!  a thread that may block, or the thread of the task
//! ```
//!
//! To wake a thread that may block, and the caller after it, takes several times as long as the reads of a directory in the
//! page cache. So a batch runs on the thread of its task if the batch before it was fast. A stalled disk holds up at most one
//! of these threads, and no further one until a batch on a thread that may block was fast again.
//!
//! The time is issued after each read was requested and before it begins, as for a read on its own.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::{Handle, Id},
    sync::oneshot,
};

use super::open_directory::OpenDirectory;
use crate::{StoreResponse, StoreTime};

/// Maximum number of reads in a batch, because they run one after the other.
const MAX_READS: usize = 16;

/// The duration up to which a batch is fast: a page of a listing of a directory that has just changed takes longer.
const FAST_BATCH: Duration = Duration::from_millis(1);

/// Sends the outcome of a read to the caller.
type Delivery = Box<dyn FnOnce() + Send>;

/// A read that waits for its batch, which passes the store's time.
type WaitingRead = Box<dyn FnOnce(&io::Result<StoreTime>) -> Delivery + Send>;

/// The newest batch of reads. Its task owns it, so that its callers get an error if the runtime drops the task. Only reads of
/// the same runtime join it, because the threads of another one may have a lower priority.
#[derive(Default, derive_more::Debug)]
#[debug("ReadQueue {{ .. }}")]
pub(super) struct ReadQueue {
    newest: Mutex<Option<(Id, Weak<ReadBatch>)>>,
    speed: Arc<ReadSpeed>,
}

impl ReadQueue {
    /// Runs `work`, and returns its result with a time of the store at which it had not begun.
    /// Errors: those of `work` and of the directory's clock.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        open: &Arc<OpenDirectory>,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<StoreResponse<T>> {
        let (sender, receiver) = oneshot::channel();
        let read: WaitingRead = Box::new(move |date| {
            let outcome = copy_of(date)
                .and_then(|date| Ok(StoreResponse { value: work()?, date: Some(date) }));
            // The caller may have given up.
            Box::new(move || drop(sender.send(outcome)))
        });
        let runtime = Handle::current();
        if let Some(batch) = self.join(runtime.id(), read) {
            // On a thread for tasks, a task starts after the caller's next wait, when the caller's other reads have joined.
            runtime.spawn(run(batch, Arc::clone(open), Arc::clone(&self.speed)));
        }
        receiver.await.map_err(io::Error::other)?
    }

    /// Adds a read to the newest batch. If that has begun, is full or is of another runtime, returns a new one, which the
    /// caller must start.
    fn join(&self, runtime: Id, read: WaitingRead) -> Option<Arc<ReadBatch>> {
        let mut newest = lock(&self.newest);
        let joined = newest.as_ref().filter(|(id, _)| *id == runtime);
        let read = match joined.and_then(|(_, batch)| batch.upgrade()) {
            Some(batch) => batch.add(read)?,
            None => read,
        };
        let batch = Arc::new(ReadBatch(Mutex::new(Some(vec![read]))));
        *newest = Some((runtime, Arc::downgrade(&batch)));
        Some(batch)
    }
}

/// Reads that wait for their task; `None` once they have begun.
struct ReadBatch(Mutex<Option<Vec<WaitingRead>>>);

impl ReadBatch {
    /// Adds a read. Returns it if the batch has begun or is full.
    fn add(&self, read: WaitingRead) -> Option<WaitingRead> {
        match lock(&self.0).as_mut() {
            Some(reads) if reads.len() < MAX_READS => {
                reads.push(read);
                None
            }
            _ => Some(read),
        }
    }

    /// Takes the reads. No further one joins.
    fn begin(&self) -> Vec<WaitingRead> {
        lock(&self.0).take().unwrap_or_default()
    }
}

/// Runs reads. Returns their deliveries, all of which follow.
fn run_all(reads: Vec<WaitingRead>, time: &io::Result<StoreTime>) -> Vec<Delivery> {
    reads.into_iter().map(|read| read(time)).collect()
}

/// The speed of the last batch, which decides where the next one runs.
#[derive(Default)]
struct ReadSpeed {
    was_fast: AtomicBool,
    /// Whether a batch runs on the thread of its task.
    is_on_task: AtomicBool,
}

impl ReadSpeed {
    /// Returns a guard if a batch may run on the thread of its task, one of `threads` of the runtime.
    fn begin_on_task(&self, threads: usize) -> Option<OnTaskGuard<'_>> {
        let may_run = threads > 1
            && self.was_fast.load(Ordering::Relaxed)
            && !self.is_on_task.swap(true, Ordering::Acquire);
        may_run.then(|| OnTaskGuard(&self.is_on_task))
    }

    /// Records how long a batch took.
    fn record(&self, took: Duration) {
        self.was_fast.store(took <= FAST_BATCH, Ordering::Relaxed);
    }
}

/// Held while a batch runs on the thread of its task.
struct OnTaskGuard<'a>(&'a AtomicBool);

impl Drop for OnTaskGuard<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

async fn run(batch: Arc<ReadBatch>, open: Arc<OpenDirectory>, speed: Arc<ReadSpeed>) {
    let run_batch = move |speed: &ReadSpeed| {
        let clock = open.clock.machine_clock();
        let started_at = clock.monotonic();
        // No further read joins once the time is issued.
        let reads = batch.begin();
        let deliveries = run_all(reads, &open.clock.now());
        speed.record(clock.monotonic().saturating_sub(started_at));
        // Who has all answers may expect that the directory is not open any more.
        drop(open);
        for deliver in deliveries {
            deliver();
        }
    };
    if let Some(_on_task) = speed.begin_on_task(Handle::current().metrics().num_workers()) {
        return run_batch(&speed);
    }
    tokio::task::spawn_blocking(move || run_batch(&speed));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    use super::*;
    use crate::{
        DirectoryStore, Get, GetOptions, ListRequest, Put, PutMode, Store, StoreError, World,
    };

    const LIST: ListRequest<'static> = ListRequest::new("");

    /// A runtime with one thread that may block, and what keeps that thread from running anything until it is dropped.
    fn busy_runtime() -> (Runtime, mpsc::Sender<()>) {
        let runtime = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (sender, receiver) = mpsc::channel();
        drop(runtime.spawn_blocking(move || receiver.recv()));
        (runtime, sender)
    }

    fn open(directory: &tempfile::TempDir) -> DirectoryStore {
        DirectoryStore::open(directory.path(), &World::system()).unwrap()
    }

    async fn put(store: &DirectoryStore, key: &str) -> GetOptions {
        let answer = store.put(key, Bytes::from_static(b"a"), PutMode::Create);
        let StoreResponse { value: Put::Done(etag), .. } = answer.await.unwrap() else {
            panic!("the key is new");
        };
        GetOptions { if_none_match: Some(etag), ..GetOptions::default() }
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

    /// A runtime with two threads for tasks, and one that may block.
    fn serving_runtime() -> Runtime {
        Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(1)
            .enable_time()
            .build()
            .unwrap()
    }

    #[test]
    fn reads_after_fast_ones_need_no_thread_that_may_block() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory);
        // No batch ran before, whose own record could follow this one.
        store.small_reads.speed.record(Duration::ZERO);
        let runtime = serving_runtime();
        let (busy, receiver) = mpsc::channel::<()>();
        runtime.spawn_blocking(move || receiver.recv());
        let listed = runtime.spawn(async move { store.list(LIST).await });
        runtime.block_on(listed).unwrap().unwrap();
        drop(busy);
    }

    #[test]
    fn a_slow_directory_holds_up_at_most_one_of_several_threads_for_tasks() {
        let speed = ReadSpeed::default();
        assert!(speed.begin_on_task(2).is_none(), "the speed is unknown");
        speed.record(FAST_BATCH);
        assert!(speed.begin_on_task(1).is_none(), "no other thread is left");
        let on_task = speed.begin_on_task(2);
        assert!(on_task.is_some());
        assert!(speed.begin_on_task(2).is_none(), "another batch is on a thread");
        drop(on_task);
        assert!(speed.begin_on_task(2).is_some());
        speed.record(FAST_BATCH + Duration::from_nanos(1));
        assert!(speed.begin_on_task(2).is_none(), "the last batch was slow");
    }

    #[test]
    fn a_read_that_hangs_on_the_thread_of_its_task_stops_no_other_read() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(open(&directory));
        store.small_reads.speed.record(Duration::ZERO);
        let (resume, receiver) = mpsc::channel::<()>();
        let (begin, started_at) = mpsc::channel();
        let runtime = serving_runtime();
        let reader = Arc::clone(&store);
        let hanging = runtime.spawn(async move {
            let read = move || {
                begin.send(()).ok();
                receiver.recv().ok();
                Ok(())
            };
            reader.small_reads.read(&reader.open, read).await
        });
        started_at.recv().unwrap();
        let other = runtime.spawn(async move { store.list(LIST).await });
        runtime.block_on(other).unwrap().unwrap();
        resume.send(()).unwrap();
        runtime.block_on(hanging).unwrap().unwrap();
    }

    #[test]
    fn reads_of_another_runtime_do_not_wait_for_the_tasks_of_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory);
        let (idle, serving) = (Builder::new_current_thread().build().unwrap(), serving_runtime());
        // The batch of this read never runs, because its runtime is not driven.
        let entered = idle.enter();
        let mut never = Box::pin(store.list(LIST));
        assert!(never.as_mut().now_or_never().is_none());
        drop(entered);
        serving.block_on(store.list(LIST)).unwrap();
    }
}
