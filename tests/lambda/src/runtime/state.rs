//! The state of a function's instances, under one lock.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};
use tokio::sync::Notify;

use super::{
    extension::ExtensionState,
    invocation::{Invocation, InvocationFailure, InvocationFailureKind},
    process::{kill_process_tree, signal_process_tree, terminate},
};

/// The instances of a function and the events that wait for an instance.
#[derive(Debug, Default)]
pub(super) struct FunctionState {
    pub(super) started: u32,
    pub(super) instances: BTreeMap<u32, FunctionInstance>,
    pub(super) waiting: VecDeque<Invocation>,
    /// Number of events assigned so far.
    pub(super) turn: u64,
    /// Whether the function is closed and starts no more instances.
    pub(super) closed: bool,
}

impl FunctionState {
    /// Returns the busy instance whose last event was assigned earliest, among those that are not frozen.
    pub(super) fn busy(&self) -> Option<u32> {
        let busy = self.instances.iter().filter(|(_, instance)| {
            instance.ending.is_none() && !instance.frozen && instance.load() > 0
        });
        let longest = busy.min_by_key(|(_, instance)| instance.last_turn);
        longest.map(|(number, _)| *number)
    }
}

/// A live instance.
#[derive(Debug)]
pub(super) struct FunctionInstance {
    pub(super) pid: Pid,
    pub(super) port: u16,
    pub(super) started_at: Instant,
    /// Duration of the start; `None` until the instance is ready.
    pub(super) init: Option<Duration>,
    /// Events assigned to the instance that the program has not fetched yet.
    pub(super) inbox: VecDeque<Invocation>,
    /// Events that the program has fetched and not answered, by id; `None` if the response is already being streamed.
    pub(super) running: BTreeMap<String, Option<Invocation>>,
    pub(super) extension: ExtensionState,
    /// Whether the program waits for an event.
    pub(super) polling: bool,
    pub(super) frozen: bool,
    /// Whether a test keeps the instance frozen.
    pub(super) held: bool,
    pub(super) handled: u64,
    /// The turn in which the instance got its last event.
    pub(super) last_turn: u64,
    /// The failure with which the instance is being ended.
    pub(super) ending: Option<InvocationFailure>,
    pub(super) wake: Arc<Notify>,
}

impl FunctionInstance {
    pub(super) fn new(pid: Pid, port: u16, started_at: Instant) -> Self {
        Self {
            pid,
            port,
            started_at,
            init: None,
            inbox: VecDeque::new(),
            running: BTreeMap::new(),
            extension: ExtensionState::default(),
            polling: false,
            frozen: false,
            held: false,
            handled: 0,
            last_turn: 0,
            ending: None,
            wake: Arc::new(Notify::new()),
        }
    }

    /// Returns the number of events that are assigned and not answered.
    pub(super) fn load(&self) -> usize {
        self.inbox.len() + self.running.len()
    }

    pub(super) fn give(&mut self, invocation: Invocation, turn: u64) {
        self.last_turn = turn;
        self.inbox.push_back(invocation);
        self.thaw();
        self.wake.notify_one();
    }

    /// Freezes the instance if it is idle.
    pub(super) fn freeze_if_idle(&mut self) {
        if self.polling && self.load() == 0 && self.extension.is_idle() {
            self.freeze();
        }
    }

    pub(super) fn freeze(&mut self) {
        if !self.frozen {
            signal_process_tree(self.pid, Signal::STOP);
            self.frozen = true;
        }
    }

    /// Resumes the instance, unless a test keeps it frozen.
    pub(super) fn thaw(&mut self) {
        if self.frozen && !self.held {
            signal_process_tree(self.pid, Signal::CONT);
            self.frozen = false;
        }
    }

    /// Kills the instance. Its unanswered events fail when it has ended.
    pub(super) fn kill(&mut self, failure: InvocationFailure) {
        self.ending.get_or_insert(failure);
        kill_process_tree(self.pid);
    }

    /// Shuts the instance down: sends SIGTERM if it has registered an extension, otherwise kills it. Returns whether it
    /// received SIGTERM.
    pub(super) fn shut_down(&mut self) -> bool {
        self.held = false;
        self.thaw();
        let is_told = self.extension.is_registered();
        let failure =
            InvocationFailure::new(InvocationFailureKind::Exited, "the instance was shut down");
        if is_told {
            self.ending.get_or_insert(failure);
            terminate(self.pid);
        } else {
            self.kill(failure);
        }
        is_told
    }

    /// Fails all unanswered events.
    pub(super) fn fail_all(self, failure: &InvocationFailure) {
        let running = self.running.into_values().flatten();
        for invocation in self.inbox.into_iter().chain(running) {
            invocation.fail(failure.clone());
        }
    }
}
