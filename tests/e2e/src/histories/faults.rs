//! Injects faults, drawn from the seed.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::{
    cluster::{Cluster, Member},
    store_proxy::StoreFault,
};
use crate::harness::pause;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FaultKind {
    Kill,
    Suspend,
    Terminate,
    Network,
    StoreErrors,
    Clock,
    FullDisk,
    ReadOnlyDirectory,
    KillFunction,
    FreezeFunction,
    /// Only to show that the checker sees it.
    LostSegment,
}

/// The faults of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultMix {
    /// All faults that the cluster can have and that promises allow for.
    All,
    /// The store loses segments, which breaks promises.
    LostSegments,
}

/// Errors that a store may answer with for a while.
const STORE_ERRORS: [StoreFault; 3] = [
    StoreFault::Error(500, "InternalError"),
    StoreFault::Error(503, "ServiceUnavailable"),
    StoreFault::Error(503, "SlowDown"),
];

/// Steps of a wall clock in seconds.
const CLOCK_STEPS: [i64; 6] = [-3_600, -400, -20, 20, 400, 3_600];

/// Injects faults until the load ends.
pub(super) struct FaultInjector<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) is_over: &'a AtomicBool,
    pub(super) counts: &'a Mutex<BTreeMap<FaultKind, u64>>,
    pub(super) rng: StdRng,
    pub(super) mix: FaultMix,
    /// Maximum duration of a fault.
    pub(super) longest: Duration,
}

impl FaultInjector<'_> {
    pub(super) fn run(mut self) {
        let kinds = self.kinds();
        while !self.is_over.load(Ordering::Relaxed) {
            let rest = Duration::from_millis(self.rng.random_range(200..3_000));
            self.wait(rest);
            let kind = *kinds.choose(&mut self.rng).unwrap();
            if self.inject(kind) {
                let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
                *counts.entry(kind).or_default() += 1;
            }
        }
    }

    /// Returns the faults that the cluster can have. Some are listed twice because they find more.
    fn kinds(&self) -> Vec<FaultKind> {
        if self.mix == FaultMix::LostSegments {
            return vec![FaultKind::LostSegment];
        }
        let mut kinds =
            vec![FaultKind::Kill, FaultKind::Kill, FaultKind::Suspend, FaultKind::Terminate];
        match &self.cluster.disk {
            Some(disk) => {
                kinds.push(FaultKind::ReadOnlyDirectory);
                kinds.extend(disk.can_be_filled().then_some(FaultKind::FullDisk));
            }
            None => kinds.extend([FaultKind::Network, FaultKind::Network, FaultKind::StoreErrors]),
        }
        let has_clock = self.cluster.members.iter().any(Member::has_clock);
        kinds.extend(has_clock.then_some(FaultKind::Clock));
        if self.cluster.functions.is_some() {
            kinds.extend([FaultKind::KillFunction, FaultKind::FreezeFunction]);
        }
        kinds
    }

    /// Draws the duration of a fault. Most are short.
    fn duration(&mut self) -> Duration {
        let share: f64 = self.rng.random();
        Duration::from_millis(200) + self.longest.mul_f64(share * share)
    }

    /// Waits for a time, or until the load ends.
    fn wait(&self, time: Duration) {
        let step = Duration::from_millis(100);
        let mut left = time;
        while !left.is_zero() && !self.is_over.load(Ordering::Relaxed) {
            pause(step.min(left));
            left = left.saturating_sub(step);
        }
    }

    /// Injects a fault and ends it. Returns whether there was one.
    fn inject(&mut self, kind: FaultKind) -> bool {
        match kind {
            FaultKind::FullDisk | FaultKind::ReadOnlyDirectory => self.inject_into_disk(kind),
            FaultKind::KillFunction | FaultKind::FreezeFunction => self.inject_into_function(kind),
            FaultKind::StoreErrors => self.inject_into_store(),
            FaultKind::LostSegment => self.cluster.lose_segment(),
            _ => self.inject_into_member(kind),
        }
    }

    fn inject_into_member(&mut self, kind: FaultKind) -> bool {
        let time = self.duration();
        let member = self.cluster.members.choose(&mut self.rng).unwrap();
        let Ok(_fault) = member.fault.try_lock() else {
            return false;
        };
        match kind {
            FaultKind::Kill | FaultKind::Terminate => {
                match kind {
                    FaultKind::Kill => member.kill(),
                    _ => member.terminate(),
                }
                self.wait(time / 4);
                member.restart();
            }
            FaultKind::Suspend => member.suspend(time),
            FaultKind::Clock => {
                member.set_clock(*CLOCK_STEPS.choose(&mut self.rng).unwrap());
                self.wait(time);
                member.set_clock(0);
            }
            _ => {
                let delay = Duration::from_millis(self.rng.random_range(10..800));
                let faults = [
                    StoreFault::Slow(delay),
                    StoreFault::Closed,
                    StoreFault::LostRequests,
                    StoreFault::LostAnswers,
                ];
                member.set_store_fault(*faults.choose(&mut self.rng).unwrap());
                self.wait(time);
                member.set_store_fault(StoreFault::None);
            }
        }
        true
    }

    /// Lets the store answer with errors to all processes without another fault.
    fn inject_into_store(&mut self) -> bool {
        let time = self.duration();
        let error = *STORE_ERRORS.choose(&mut self.rng).unwrap();
        let members: Vec<_> = self
            .cluster
            .members
            .iter()
            .filter_map(|member| Some((member, member.fault.try_lock().ok()?)))
            .collect();
        for (member, _) in &members {
            member.set_store_fault(error);
        }
        self.wait(time);
        for (member, _) in &members {
            member.set_store_fault(StoreFault::None);
        }
        true
    }

    fn inject_into_disk(&mut self, kind: FaultKind) -> bool {
        let time = self.duration();
        let Some(disk) = &self.cluster.disk else {
            return false;
        };
        match kind {
            FaultKind::FullDisk => {
                disk.fill();
                self.wait(time);
                disk.empty();
            }
            _ => {
                disk.set_read_only(true);
                self.wait(time);
                disk.set_read_only(false);
            }
        }
        true
    }

    fn inject_into_function(&mut self, kind: FaultKind) -> bool {
        let time = self.duration();
        let Some(stack) = &self.cluster.functions else {
            return false;
        };
        let function = *["write", "query", "compact"].choose(&mut self.rng).unwrap();
        let Some(instance) = stack.instances(function).choose(&mut self.rng).copied() else {
            return false;
        };
        match kind {
            FaultKind::KillFunction => stack.change_instance(function, instance, "kill"),
            _ => {
                stack.change_instance(function, instance, "freeze");
                self.wait(time);
                stack.change_instance(function, instance, "thaw");
            }
        }
        true
    }
}
