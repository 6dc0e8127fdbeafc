//! Assignment of events to instances.

use std::sync::Arc;

use super::{
    LocalFunction,
    invocation::{Invocation, InvocationFailure, InvocationFailureKind},
    state::FunctionState,
};
use crate::configuration::InstancePlacement;

/// Maximum number of events that wait for an instance.
const MAX_WAITING: usize = 10_000;

impl LocalFunction {
    /// Assigns an event to a free instance, or queues it.
    pub(super) fn place(self: &Arc<Self>, state: &mut FunctionState, invocation: Invocation) {
        if state.closed {
            invocation.fail(InvocationFailure::new(
                InvocationFailureKind::Exited,
                "the function is closed",
            ));
            return;
        }
        match self.choose(state) {
            Ok(Some(number)) => Self::give(state, number, invocation),
            Ok(None) if self.settings.limits.throttle || state.waiting.len() >= MAX_WAITING => {
                invocation.fail(InvocationFailure::new(
                    InvocationFailureKind::Throttled,
                    "Rate Exceeded.",
                ));
            }
            Ok(None) => state.waiting.push_back(invocation),
            Err(failure) => invocation.fail(failure),
        }
    }

    /// Assigns an event to this instance, even if it is busy or frozen.
    pub(super) fn give(state: &mut FunctionState, number: u32, invocation: Invocation) {
        state.turn += 1;
        match state.instances.get_mut(&number) {
            Some(instance) => instance.give(invocation, state.turn),
            None => {
                let message = format!("there is no instance {number}");
                invocation.fail(InvocationFailure::new(InvocationFailureKind::Exited, message));
            }
        }
    }

    /// Assigns queued events to free instances.
    pub(super) fn assign_waiting(self: &Arc<Self>, state: &mut FunctionState) {
        while !state.closed && !state.waiting.is_empty() {
            let choice = self.choose(state);
            let (Ok(Some(_)) | Err(_)) = choice else {
                return;
            };
            let Some(invocation) = state.waiting.pop_front() else {
                return;
            };
            match choice {
                Ok(Some(number)) => Self::give(state, number, invocation),
                Ok(None) => return,
                Err(failure) => invocation.fail(failure),
            }
        }
    }

    /// Returns a free instance, or starts one if the limit allows.
    fn choose(
        self: &Arc<Self>,
        state: &mut FunctionState,
    ) -> Result<Option<u32>, InvocationFailure> {
        let limits = &self.settings.limits;
        let may_start = state.instances.len() < limits.max_instances;
        let free = state.instances.iter().filter(|(_, instance)| {
            instance.ending.is_none() && !instance.held && instance.load() < limits.concurrency
        });
        let last = |(_, instance): &(&u32, &super::state::FunctionInstance)| instance.last_turn;
        let free = match limits.placement {
            InstancePlacement::Recent => free.max_by_key(last),
            InstancePlacement::InTurn if may_start => None,
            InstancePlacement::InTurn => free.min_by_key(last),
        };
        if let Some((number, _)) = free {
            return Ok(Some(*number));
        }
        if !may_start {
            return Ok(None);
        }
        let launched = self.launch(state);
        launched.map(Some).map_err(|error| {
            InvocationFailure::new(InvocationFailureKind::InitFailed, error.to_string())
        })
    }
}
