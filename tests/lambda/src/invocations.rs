//! Invocations that functions send to functions: their permissions, injected faults, and counts.
//!
//! A request that is not signed comes from a test, which may invoke everything.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use http::{HeaderMap, header::AUTHORIZATION};
use neap_s3_server::Policy;
use serde::{Deserialize, Serialize};

use crate::runtime::{InvocationFailure, InvocationFailureKind, LocalFunction};

/// The action in policies.
const ACTION: &str = "lambda:InvokeFunction";

/// Start of the `Authorization` header of a signed request.
const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=";

/// Faults of the next invocations by functions. Throttled ones come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InvocationFaults {
    /// Number of invocations that are throttled.
    pub throttle: u64,
    /// Number of invocations that fail, as if their instance had timed out. They do not run.
    pub fail: u64,
    /// Number of invocations that are never answered. They do not run.
    pub hang: u64,
}

/// Counts of invocations by functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InvocationReport {
    /// Invocations that ran.
    pub run: u64,
    /// Invocations that were throttled by a fault.
    pub throttled: u64,
    /// Invocations that failed by a fault.
    pub failed: u64,
    /// Invocations that were not answered by a fault.
    pub hung: u64,
    /// Invocations that a policy denied.
    pub denied: u64,
}

/// The sender of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A test.
    Test,
    /// The function of this name.
    Function(String),
    /// A request with an unknown access key.
    Unknown,
}

/// The permissions of the functions, and the state of the invoked ones.
#[derive(Debug, Default)]
pub struct FunctionInvocations {
    /// The policies by function; a function without one may do everything.
    policies: BTreeMap<String, Option<Policy>>,
    /// The functions by access key.
    callers: BTreeMap<String, String>,
    state: Mutex<BTreeMap<String, InvocationState>>,
}

#[derive(Debug, Default)]
struct InvocationState {
    faults: InvocationFaults,
    report: InvocationReport,
}

impl FunctionInvocations {
    /// Creates the permissions of functions, which are given with their access key and policy.
    pub fn new<'a>(functions: impl Iterator<Item = (&'a str, &'a str, Option<Policy>)>) -> Self {
        let mut invocations = Self::default();
        for (name, access_key, policy) in functions {
            invocations.policies.insert(name.to_owned(), policy);
            let key = access_key.to_owned();
            invocations.callers.insert(key, name.to_owned());
        }
        invocations
    }

    fn state(&self) -> MutexGuard<'_, BTreeMap<String, InvocationState>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the sender of a request by its access key.
    pub fn caller(&self, headers: &HeaderMap) -> Caller {
        let Some(authorization) = headers.get(AUTHORIZATION) else {
            return Caller::Test;
        };
        let text = authorization.to_str().unwrap_or_default();
        let key = text.strip_prefix(SIGNED).and_then(|credential| credential.split('/').next());
        match key.and_then(|key| self.callers.get(key)) {
            Some(name) => Caller::Function(name.clone()),
            None => Caller::Unknown,
        }
    }

    /// Decides whether an invocation runs, and counts it. Returns false if it is never answered.
    ///
    /// # Errors
    /// The caller has no permission, or a fault was injected.
    pub fn admit(
        &self,
        caller: &Caller,
        function: &LocalFunction,
    ) -> Result<bool, InvocationFailure> {
        let name = match caller {
            Caller::Test => return Ok(true),
            Caller::Function(name) => Some(name),
            Caller::Unknown => None,
        };
        let is_allowed = match name.map(|name| self.policies.get(name)) {
            Some(Some(Some(policy))) => policy.allows(ACTION, &function.arn(), None),
            Some(Some(None)) => true,
            Some(None) | None => false,
        };
        let mut state = self.state();
        let InvocationState { faults, report } =
            state.entry(function.name().to_owned()).or_default();
        if !is_allowed {
            report.denied += 1;
            let message = format!("the caller may not perform {ACTION} on {}", function.arn());
            let kind = InvocationFailureKind::Denied;
            return Err(InvocationFailure::new(kind, message));
        }
        if faults.throttle > 0 {
            faults.throttle -= 1;
            report.throttled += 1;
            let kind = InvocationFailureKind::Throttled;
            return Err(InvocationFailure::new(kind, "Rate Exceeded."));
        }
        if faults.fail > 0 {
            faults.fail -= 1;
            report.failed += 1;
            let kind = InvocationFailureKind::TimedOut;
            return Err(InvocationFailure::new(kind, "Task timed out"));
        }
        if faults.hang > 0 {
            faults.hang -= 1;
            report.hung += 1;
            return Ok(false);
        }
        report.run += 1;
        Ok(true)
    }

    /// Sets the faults of the next invocations of a function.
    pub fn set_faults(&self, function: &str, faults: InvocationFaults) {
        self.state().entry(function.to_owned()).or_default().faults = faults;
    }

    /// Returns the counts by invoked function.
    pub fn report(&self) -> BTreeMap<String, InvocationReport> {
        let state = self.state();
        let reports = state.iter();
        reports.map(|(name, state)| (name.clone(), state.report)).collect()
    }
}
