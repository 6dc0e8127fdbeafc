//! What a binary has to do with the outside: the variables that it reads, the routes that it serves, the events
//! that it takes, what it does with which objects, and what it asks of AWS.
//!
//! Each binary shows it with `--print-interface`, as JSON, so that a deployment can be compared with it.

use clap::{Arg, Command};
use neap_bucket::variables_of;
use serde::Serialize;

/// A method and a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    /// The method; `ANY` for all of them.
    pub method: &'static str,
    /// The path, as API Gateway writes it; `{proxy+}` stands for the rest of it.
    pub path: &'static str,
}

impl Route {
    /// A route.
    pub const fn new(method: &'static str, path: &'static str) -> Self {
        Self { method, path }
    }
}

/// A source of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "source", rename_all = "lowercase")]
pub enum Source {
    /// Requests by HTTP: API Gateway (HTTP and REST APIs), function URLs, load balancers.
    Http,
    /// A scheduler, which sends this as the whole event.
    Schedule {
        /// The event.
        input: ScheduleInput,
    },
    /// A queue.
    Sqs {
        /// What its messages are.
        carries: &'static str,
    },
    /// Notifications of a bucket, directly or through EventBridge.
    S3,
}

/// What a scheduler sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ScheduleInput {
    /// What is to be done.
    pub event: &'static str,
}

/// What is done with objects, in the words of the IAM policies of S3.
///
/// Any function may be told that an object is missing, which S3 only tells those who may list the bucket
/// (`s3:ListBucket` without a condition on the prefix); others are told that they may not read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
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

impl Action {
    /// The name in IAM policies.
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

/// What is done with the objects below a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// What their keys begin with.
    pub prefix: &'static str,
    /// What is done with them.
    pub actions: &'static [Action],
}

/// What a binary declares of itself.
#[derive(Clone, Copy, Debug)]
pub struct Interface {
    /// The name of the function: that of the binary without `neap-lambda-`.
    pub function: &'static str,
    /// The routes.
    pub routes: &'static [Route],
    /// The sources of events.
    pub events: &'static [Source],
    /// What it does with objects.
    pub store: &'static [Access],
    /// Other actions that it asks AWS for, as in IAM policies.
    pub calls: &'static [&'static str],
}

/// An option.
#[derive(Serialize)]
struct ShownOption {
    /// The variables that stand for it: of several that are set, the first counts.
    names: Vec<String>,
    about: String,
    default: Option<String>,
}

impl ShownOption {
    fn of(arg: &Arg) -> Self {
        let default = arg.get_default_values().first();
        Self {
            names: variables_of(arg),
            about: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            default: default.map(|value| value.to_string_lossy().into_owned()),
        }
    }
}

#[derive(Serialize)]
struct ShownAccess {
    prefix: &'static str,
    operations: &'static [Action],
    actions: Vec<&'static str>,
}

#[derive(Serialize)]
struct Shown<'a> {
    function: &'a str,
    version: &'a str,
    environment: Vec<String>,
    routes: Vec<String>,
    events: &'a [Source],
    store: Vec<ShownAccess>,
    calls: &'a [&'a str],
    options: Vec<ShownOption>,
}

impl Interface {
    /// The interface of a binary with these options, as JSON.
    ///
    /// # Errors
    /// None that the parts of an interface could cause.
    pub fn to_json(&self, options: &Command) -> Result<String, serde_json::Error> {
        let flags = options
            .get_arguments()
            .filter(|arg| arg.get_long().is_some());
        let flags: Vec<&Arg> = flags.collect();
        let store = self.store.iter().map(|access| ShownAccess {
            prefix: access.prefix,
            operations: access.actions,
            actions: access.actions.iter().map(|action| action.iam()).collect(),
        });
        let routes = self
            .routes
            .iter()
            .map(|route| format!("{} {}", route.method, route.path));
        serde_json::to_string_pretty(&Shown {
            function: self.function,
            version: crate::VERSION,
            environment: flags.iter().filter_map(|arg| variable(arg)).collect(),
            routes: routes.collect(),
            events: self.events,
            store: store.collect(),
            calls: self.calls,
            options: flags.iter().map(|arg| ShownOption::of(arg)).collect(),
        })
    }
}

/// The variable that the documentation names for an option.
fn variable(arg: &Arg) -> Option<String> {
    let declared = arg.get_env().and_then(|name| name.to_str());
    let own = || variables_of(arg).into_iter().next();
    declared.map(str::to_owned).or_else(own)
}

#[cfg(feature = "engine")]
#[cfg(test)]
#[path = "interface_tests.rs"]
mod tests;
