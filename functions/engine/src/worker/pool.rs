//! The pool of all plugin processes of an instance.

use std::{
    collections::HashMap,
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use neap_bucket::World;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::worker::{
    CompletedRun, PluginInput, PluginRun, RunError, TriggerKey, WorkerSettings,
    cache::CacheStore,
    cgroup::CgroupParent,
    exchange::{self, RunEnvironment, RunOutcome},
    installed_packages::InstalledPackages,
    process::{Process, ProcessOptions},
    sandbox::Sandbox,
    slot::TriggerSlot,
};

/// Interval of checks for an idle process that can be ended to make room.
const ROOM_CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// The interpreter, and the number of changes of it or its packages.
#[derive(Clone, Debug)]
struct Interpreter {
    path: PathBuf,
    generation: u64,
}

#[derive(Debug)]
struct WorkerPoolInner {
    settings: WorkerSettings,
    places: RunCapacity,
    world: World,
    python: Mutex<Interpreter>,
    packages: Mutex<InstalledPackages>,
    slots: Mutex<HashMap<TriggerKey, Arc<TriggerSlot>>>,
    /// One permit for each concurrent run of the server.
    busy: Arc<Semaphore>,
    /// One permit for each run that overlaps with another run of its trigger.
    further: Arc<Semaphore>,
    /// One permit for each run on rows or on a schedule of a trigger whose runs may overlap.
    background: Arc<Semaphore>,
    cache: CacheStore,
    stop: CancellationToken,
    /// The number of live processes.
    alive: Arc<AtomicUsize>,
    processes: AtomicU64,
    groups: OnceLock<Option<Arc<CgroupParent>>>,
    sandbox: Sandbox,
    is_tended: AtomicBool,
}

/// The pool of processes that run plugins for this instance. Dropping it kills them.
#[derive(Debug)]
pub struct WorkerPool {
    inner: Arc<WorkerPoolInner>,
}

impl WorkerPool {
    /// Creates a pool without processes.
    pub fn new(settings: WorkerSettings, world: World) -> Self {
        let places = RunCapacity::new(settings.max_workers);
        let inner = WorkerPoolInner {
            python: Mutex::new(Interpreter { path: settings.python.clone(), generation: 0 }),
            packages: Mutex::default(),
            slots: Mutex::default(),
            busy: Arc::new(Semaphore::new(places.all)),
            further: Arc::new(Semaphore::new(places.further)),
            background: Arc::new(Semaphore::new(places.background)),
            places,
            cache: CacheStore::new(world.clone(), settings.cache_bytes),
            stop: CancellationToken::new(),
            alive: Arc::default(),
            processes: AtomicU64::new(0),
            groups: OnceLock::new(),
            sandbox: Sandbox::new(settings.sandbox.clone(), settings.plugin_folder.clone()),
            is_tended: AtomicBool::new(false),
            settings,
            world,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Starts the interpreter once and returns its version, such as `3.13.1`.
    ///
    /// # Errors
    /// [`RunError::NoPython`].
    pub async fn check(&self) -> Result<String, RunError> {
        let process = self.inner.start(None).await?;
        let version = process.hello.version.clone();
        process.kill(&self.inner.world).await;
        Ok(version)
    }

    /// Runs plugins with this interpreter from now on. Processes are restarted for it, also if only the packages of the
    /// interpreter changed.
    pub fn use_python(&self, python: PathBuf) {
        let mut current = lock(&self.inner.python);
        current.path = python;
        current.generation += 1;
    }

    /// Calls a plugin. Waits while the trigger is running or all processes are busy; requests and dry runs wait for at
    /// most [`WorkerSettings::max_wait`].
    ///
    /// Dropping the future kills the plugin.
    ///
    /// # Errors
    /// The plugin failed or reached a limit, or its process did not start.
    pub async fn run(&self, mut run: PluginRun) -> Result<CompletedRun, RunError> {
        self.start_idle_reaper();
        // The time limit of an event can't exceed the limit in the settings.
        let longest = self.inner.settings.wall_time;
        run.limits.wall_time = run.limits.wall_time.map(|time| time.min(longest));
        let started_at = self.inner.world.clock.monotonic();
        let slot = self.inner.slot(&run);
        let mut process = self.inner.enter(&slot, &run).await?;
        let passed = self.inner.world.clock.monotonic().saturating_sub(started_at);
        let left = run.limits.wall_time.map(|time| time.saturating_sub(passed));
        // The slot of a trigger that was disabled while the run waited belongs to later runs, so the run has a token
        // of its own.
        let stop = slot.stop.child_token();
        let RunOutcome { result, is_usable } = {
            let environment = RunEnvironment {
                settings: &self.inner.settings,
                world: &self.inner.world,
                cache: &self.inner.cache,
                stop: &stop,
                is_shared: slot.is_shared,
                left: left.unwrap_or(self.inner.settings.wall_time),
            };
            let running = exchange::run(&mut process.process, &run, environment);
            let closing = async {
                run.stop.cancelled().await;
                stop.cancel();
                std::future::pending::<Infallible>().await
            };
            tokio::select! {
                outcome = running => outcome,
                never = closing => match never {},
            }
        };
        let now = self.inner.world.clock.monotonic();
        slot.ended(!is_usable && !stop.is_cancelled(), now);
        // An interrupted process refuses further runs.
        let is_usable = is_usable && !stop.is_cancelled();
        let AcquiredProcess { process, _permits } = process;
        let ends = if is_usable {
            slot.put(process, now)
        } else {
            Some(process)
        };
        if let Some(process) = ends {
            process.kill(&self.inner.world).await;
        }
        result
    }

    /// Ends the processes of a trigger and drops its cache. Called when the trigger was disabled or deleted. Active
    /// runs are interrupted, and killed after the grace period.
    pub fn forget(&self, trigger: &TriggerKey) {
        let slot = lock(&self.inner.slots).remove(trigger);
        if let Some(slot) = slot {
            slot.stop.cancel();
            slot.clear();
        }
        self.inner.cache.forget(trigger);
    }

    /// Interrupts active runs, kills them after the grace period, and ends all processes. Later runs fail.
    pub async fn stop(&self) {
        let WorkerPoolInner { settings, world, .. } = &*self.inner;
        self.inner.stop.cancel();
        let runs = u32::try_from(self.inner.places.all).unwrap_or(u32::MAX);
        // Each run ends within the grace period, and its process soon after.
        let limit = settings.grace.saturating_mul(2) + Duration::from_secs(5);
        let _permits = world.timeout(limit, self.inner.busy.acquire_many(runs)).await;
        let slots: Vec<_> = lock(&self.inner.slots).drain().collect();
        let idle = slots.iter().flat_map(|(_, slot)| slot.clear());
        join_all(idle.map(|process| process.kill(world))).await;
    }

    /// Starts the task that ends idle processes, unless it is running.
    fn start_idle_reaper(&self) {
        if self.inner.is_tended.swap(true, Ordering::AcqRel) {
            return;
        }
        let period = (self.inner.settings.stop_after_idle / 4).max(ROOM_CHECK_INTERVAL);
        let world = self.inner.world.clone();
        let stop = self.inner.stop.clone();
        let inner = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = world.clock.sleep(period) => {}
                }
                let Some(inner) = Weak::upgrade(&inner) else {
                    return;
                };
                inner.end_idle().await;
            }
        });
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.inner.stop.cancel();
    }
}

/// A process with the permits of the run that uses it.
#[derive(Debug)]
struct AcquiredProcess {
    process: Process,
    _permits: Vec<OwnedSemaphorePermit>,
}

/// Limits on concurrent runs, which keep a few triggers with hanging plugins from blocking all others.
#[derive(Clone, Copy, Debug)]
struct RunCapacity {
    all: usize,
    /// Runs on rows and on schedules of triggers whose runs may overlap. A quarter is reserved for triggers whose runs
    /// do not overlap, and for requests and dry runs.
    background: usize,
    /// Runs that overlap with another run of their trigger. The other half is reserved for the first run of each
    /// trigger.
    further: usize,
    /// Runs of one trigger.
    of_one: usize,
}

impl RunCapacity {
    fn new(max_workers: usize) -> Self {
        let all = max_workers.max(1);
        Self {
            all,
            background: (all - all.div_ceil(4)).max(1),
            further: all / 2,
            of_one: (all / 2).max(1),
        }
    }
}

impl WorkerPoolInner {
    fn slot(&self, run: &PluginRun) -> Arc<TriggerSlot> {
        let mut slots = lock(&self.slots);
        let slot = slots.entry(run.trigger.clone()).or_insert_with(|| {
            let is_shared = run.is_async || matches!(run.trigger, TriggerKey::DryRun(_));
            let runs = self.settings.max_parallel_runs.min(self.places.of_one).max(1);
            let stop = self.stop.child_token();
            Arc::new(TriggerSlot::new(run.trigger.clone(), is_shared, runs, stop))
        });
        Arc::clone(slot)
    }

    /// Acquires the permits of the trigger and of the server, and returns a process.
    async fn enter(
        self: &Arc<Self>,
        slot: &TriggerSlot,
        run: &PluginRun,
    ) -> Result<AcquiredProcess, RunError> {
        let _waiting = slot.wait(self.settings.max_waiting_runs)?;
        let is_waited_for = matches!(run.call, PluginInput::Request { .. })
            || matches!(run.trigger, TriggerKey::DryRun(_));
        let max_wait = is_waited_for.then_some(self.settings.max_wait);
        let entering = async {
            let is_background = run.is_async && !is_waited_for;
            let place = self.acquire_permits(slot, is_background);
            let permits = self.within(max_wait, place).await?;
            let process = match self.take_idle(slot, &run.code.path).await {
                Some(process) => process,
                None => self.start_for(slot, &run.code.path).await?,
            };
            Ok(AcquiredProcess { process, _permits: permits })
        };
        tokio::select! {
            biased;
            () = slot.stop.cancelled() => Err(RunError::Stopping),
            () = run.stop.cancelled() => Err(RunError::Stopping),
            () = run.abandoned.cancelled() => Err(RunError::Stopping),
            entered = self.within(run.limits.wall_time, entering) => entered,
        }
    }

    /// Awaits a future, with a timeout if `limit` is given.
    async fn within<T>(
        &self,
        limit: Option<Duration>,
        entering: impl Future<Output = Result<T, RunError>>,
    ) -> Result<T, RunError> {
        let Some(limit) = limit else {
            return entering.await;
        };
        let entered = self.world.timeout(limit, entering).await;
        entered.unwrap_or(Err(RunError::NoProcess(limit)))
    }

    /// Acquires the permits of the trigger and of the server. All runs acquire permits in this order, and the holder of
    /// the last one runs, so there is no deadlock.
    async fn acquire_permits(
        &self,
        slot: &TriggerSlot,
        is_background: bool,
    ) -> Result<Vec<OwnedSemaphorePermit>, RunError> {
        let own = Arc::clone(&slot.permits).acquire_owned().await;
        let backoff = slot.backoff(self.world.clock.monotonic());
        if slot.oldest().is_none() && !backoff.is_zero() {
            self.world.clock.sleep(backoff).await;
        }
        let rank = tokio::select! {
            biased;
            permit = Arc::clone(&slot.first).acquire_owned() => permit,
            permit = Arc::clone(&self.further).acquire_owned() => permit,
        };
        let mut permits = vec![own, rank];
        if is_background {
            permits.push(Arc::clone(&self.background).acquire_owned().await);
        }
        permits.push(Arc::clone(&self.busy).acquire_owned().await);
        // The semaphores are never closed.
        let permits = permits.into_iter().collect::<Result<_, _>>();
        permits.map_err(|_| RunError::Stopping)
    }

    /// Restarts processes if other programs changed packages.
    fn detect_package_changes(&self) {
        if lock(&self.packages).have_changed() {
            tracing::info!("installed packages have changed: plugin processes will restart");
            lock(&self.python).generation += 1;
        }
    }

    /// Takes an idle process of the trigger that is alive, has the current interpreter and packages, and may read the
    /// code.
    async fn take_idle(&self, slot: &TriggerSlot, code: &Path) -> Option<Process> {
        self.detect_package_changes();
        let generation = lock(&self.python).generation;
        while let Some(process) = slot.take_newest() {
            if process.handle.has_ended() {
                continue;
            }
            let admits = self.sandbox.admits(process.confinement.as_ref(), code);
            if process.generation == generation && admits {
                return Some(process);
            }
            self.hand_over(slot, process, true).await;
        }
        None
    }

    async fn start_for(
        self: &Arc<Self>,
        slot: &TriggerSlot,
        code: &Path,
    ) -> Result<Process, RunError> {
        let world = &self.world;
        while self.alive.load(Ordering::Acquire) >= self.settings.max_workers.max(1) {
            // Fewer runs than this have a process, so another process is idle, becomes idle or ends.
            if !self.end_oldest().await {
                world.clock.sleep(ROOM_CHECK_INTERVAL).await;
            }
        }
        let started = self.start(Some(code)).await;
        if started.is_err() {
            slot.ended(true, world.clock.monotonic());
        }
        let mut process = started?;
        // The predecessor may still be handing over its cache.
        let _handed_over = slot.handing_over.lock().await;
        if let Some((pickled, elapsed)) = self.cache.left(&slot.key) {
            process.take_over(&pickled, elapsed).await;
            self.cache.remove_handover(&slot.key);
        }
        Ok(process)
    }

    async fn start(&self, code: Option<&Path>) -> Result<Process, RunError> {
        let python = lock(&self.python).clone();
        let start = ProcessOptions {
            settings: &self.settings,
            world: &self.world,
            python: python.path.clone(),
            number: self.processes.fetch_add(1, Ordering::Relaxed),
            generation: python.generation,
            alive: Arc::clone(&self.alive),
            groups: self.groups(),
            sandbox: &self.sandbox,
            code,
        };
        let process = Process::start(start).await?;
        lock(&self.packages).watch(&process.hello.package_folders);
        let mut current = lock(&self.python);
        // Later processes start without a search in `PATH`, and without wrapper scripts around the interpreter.
        let executable = &process.hello.executable;
        if current.generation == python.generation && !executable.is_empty() {
            current.path = PathBuf::from(executable);
        }
        Ok(process)
    }

    /// Returns the parent of the cgroups of plugins, if the server may create cgroups.
    fn groups(&self) -> Option<Arc<CgroupParent>> {
        let make =
            || CgroupParent::make(&format!("neap-plugins-{:016x}", self.world.entropy.next_u64()));
        self.groups.get_or_init(make).clone()
    }

    /// Ends a process and stores the cache that it hands over. Unless forced, the process continues if some of its
    /// state would be lost.
    async fn hand_over(&self, slot: &TriggerSlot, mut process: Process, is_forced: bool) {
        let left = process.hand_over(&self.world, is_forced).await;
        match left {
            Some(pickled) => {
                if !slot.is_shared && !self.cache.store_handover(slot.key.clone(), pickled) {
                    tracing::warn!(trigger = ?slot.key, "the cache of a plugin exceeds the limit and is dropped");
                }
                process.kill(&self.world).await;
            }
            None if is_forced || process.handle.has_ended() => process.kill(&self.world).await,
            None => {
                let ends = slot.put(process, self.world.clock.monotonic());
                if let Some(process) = ends {
                    process.kill(&self.world).await;
                }
            }
        }
    }

    /// Ends the process that has been idle for the longest time. A process that a run of its trigger waits for is
    /// chosen only if there is no other. Returns false if there is no idle process.
    async fn end_oldest(self: &Arc<Self>) -> bool {
        let slots: Vec<_> = lock(&self.slots).values().map(Arc::clone).collect();
        let mut idle: Vec<_> = slots
            .into_iter()
            .filter_map(|slot| {
                let is_wanted = slot.permits.available_permits() == 0;
                Some(((is_wanted, slot.oldest()?), slot))
            })
            .collect();
        idle.sort_by_key(|(order, _)| *order);
        for (_, slot) in idle {
            let Ok(handing_over) = Arc::clone(&slot.handing_over).try_lock_owned() else {
                continue;
            };
            if let Some(process) = slot.take_oldest(Duration::MAX) {
                let inner = Arc::clone(self);
                // Spawned, so that the cache of the other trigger is not lost if the run that needs room is dropped.
                let ending = tokio::spawn(async move {
                    inner.hand_over(&slot, process, true).await;
                    drop(handing_over);
                });
                let _joined = ending.await;
                return true;
            }
        }
        false
    }

    /// Ends processes that were idle for too long, and removes unused slots.
    async fn end_idle(&self) {
        let now = self.world.clock.monotonic();
        let before = now.checked_sub(self.settings.stop_after_idle);
        let slots: Vec<_> = lock(&self.slots).values().map(Arc::clone).collect();
        for slot in &slots {
            // An unforced hand-over may leave the process running, so the next run waits for it.
            let Ok(_permit) = slot.permits.try_acquire() else {
                continue;
            };
            let _handing_over = slot.handing_over.lock().await;
            while let Some(process) = before.and_then(|before| slot.take_oldest(before)) {
                self.hand_over(slot, process, false).await;
            }
        }
        drop(slots);
        lock(&self.slots).retain(|_, slot| Arc::strong_count(slot) > 1 || !slot.is_unused(now));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
