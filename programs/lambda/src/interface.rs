//! The external interface of a binary: its environment variables, routes, event sources, store access, and AWS calls.
//!
//! `--print-interface` prints it as JSON, so that a deployment can be checked against it.

use std::collections::BTreeSet;

use clap::{Arg, Command};
use neap_bucket::environment_variables_of;
use neap_http::{ENDPOINTS, EndpointFunction};
use serde::Serialize;

/// A source of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "source", rename_all = "lowercase")]
pub enum EventSource {
    /// HTTP requests: API Gateway (HTTP and REST APIs), function URLs, load balancers.
    Http,
    /// A scheduler that sends this input as the whole event.
    Schedule {
        /// The event.
        input: ScheduleInput,
    },
    /// An SQS queue.
    Sqs {
        /// Description of its messages.
        carries: &'static str,
    },
    /// Notifications of a bucket, directly or through EventBridge.
    S3,
}

/// The input of a scheduled event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ScheduleInput {
    /// The task.
    pub event: &'static str,
}

/// An operation on objects, named after the action in S3's IAM policies.
///
/// Every function must be able to learn that an object is missing. S3 answers 404 only if the caller may list the
/// bucket (`s3:ListBucket` without a condition on the prefix), otherwise 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreAction {
    /// `s3:GetObject`
    Get,
    /// `s3:PutObject`
    Put,
    /// `s3:ListBucket`
    List,
    /// `s3:DeleteObject`
    Delete,
    /// `s3:AbortMultipartUpload`
    Abort,
}

impl StoreAction {
    /// Returns the name in IAM policies.
    pub fn iam(self) -> &'static str {
        match self {
            Self::Get => "s3:GetObject",
            Self::Put => "s3:PutObject",
            Self::List => "s3:ListBucket",
            Self::Delete => "s3:DeleteObject",
            Self::Abort => "s3:AbortMultipartUpload",
        }
    }
}

/// The operations on objects with a common prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixAccess {
    /// Prefix of the keys.
    pub prefix: &'static str,
    /// The operations.
    pub actions: &'static [StoreAction],
}

impl PrefixAccess {
    pub(crate) const fn new(prefix: &'static str, actions: &'static [StoreAction]) -> Self {
        Self { prefix, actions }
    }
}

/// The interface that a binary declares.
#[derive(Clone, Copy, Debug)]
pub struct Interface {
    /// The name of the function: the binary's name without `neap-lambda-`.
    pub function: &'static str,
    /// The endpoints that it serves or refuses.
    pub endpoints: &'static [EndpointFunction],
    /// The sources of events.
    pub events: &'static [EventSource],
    /// The operations on objects in the store.
    pub store: &'static [PrefixAccess],
    /// Other AWS actions that the function calls, named as in IAM policies.
    pub calls: &'static [&'static str],
}

/// An option, as printed.
#[derive(Serialize)]
struct OptionDocument {
    /// The environment variables of the option. If several are set, the first one counts.
    names: Vec<String>,
    about: String,
    default: Option<String>,
}

impl OptionDocument {
    fn from_arg(arg: &Arg) -> Self {
        let default = arg.get_default_values().first();
        Self {
            names: environment_variables_of(arg),
            about: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            default: default.map(|value| value.to_string_lossy().into_owned()),
        }
    }
}

#[derive(Serialize)]
struct AccessDocument {
    prefix: &'static str,
    operations: &'static [StoreAction],
    actions: Vec<&'static str>,
}

#[derive(Serialize)]
struct InterfaceDocument<'a> {
    function: &'a str,
    version: &'a str,
    environment: Vec<String>,
    routes: Vec<String>,
    events: &'a [EventSource],
    store: Vec<AccessDocument>,
    calls: &'a [&'a str],
    options: Vec<OptionDocument>,
}

impl Interface {
    /// Returns the routes as paths in axum's syntax with their methods; `ANY` means all methods.
    fn routes(&self) -> BTreeSet<(&'static str, &'static str)> {
        let endpoints =
            ENDPOINTS.iter().filter(|endpoint| self.endpoints.contains(&endpoint.function));
        let routes = endpoints.map(|endpoint| match endpoint.function {
            EndpointFunction::Job => (endpoint.path, "ANY"),
            _ => (endpoint.path, endpoint.method),
        });
        routes.collect()
    }

    /// Returns the interface of a binary with these options as JSON.
    ///
    /// # Errors
    /// Serialization failed, which no declared interface causes.
    pub fn to_json(&self, options: &Command) -> Result<String, serde_json::Error> {
        let arguments = options.get_arguments().filter(|arg| !arg.is_hide_set());
        let flags: Vec<&Arg> = arguments.filter(|arg| arg.get_long().is_some()).collect();
        let store = self.store.iter().map(|access| AccessDocument {
            prefix: access.prefix,
            operations: access.actions,
            actions: access.actions.iter().map(|action| action.iam()).collect(),
        });
        // In API Gateway's syntax, `{proxy+}` matches the rest of the path.
        let routes = self.routes().into_iter().map(|(path, method)| {
            let path = path.replace("{*path}", "{proxy+}");
            format!("{method} {path}")
        });
        serde_json::to_string_pretty(&InterfaceDocument {
            function: self.function,
            version: crate::VERSION,
            environment: flags.iter().filter_map(|arg| variable(arg)).collect(),
            routes: routes.collect(),
            events: self.events,
            store: store.collect(),
            calls: self.calls,
            options: flags.iter().map(|arg| OptionDocument::from_arg(arg)).collect(),
        })
    }
}

/// Returns the environment variable that the documentation uses for an option.
fn variable(arg: &Arg) -> Option<String> {
    let declared = arg.get_env().and_then(|name| name.to_str());
    let own = || environment_variables_of(arg).into_iter().next();
    declared.map(str::to_owned).or_else(own)
}

#[cfg(feature = "engine")]
#[cfg(test)]
#[path = "interface_tests.rs"]
mod tests;
