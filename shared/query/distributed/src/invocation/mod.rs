//! Workers that are invocations of a function: one request and one answer for each task.
//!
//! ```text
//!   coordinator                               invocation
//!     |  coordinator_channel: keeps the plan
//!     |  execute_task --- TaskRequest ----->  |   plan, partitions, headers with the ticket, time limit
//!     |                                       |   library `Worker` in the process
//!     |  <-- TaskReply: answer in base64 ---- |   small answers
//!     |  <-- TaskReply: key of an object ---- |   large answers: results/<query>/<ulid>
//!     |  reads frames: rows, metrics, end
//! ```
//!
//! The library's channel between coordinator and worker runs in both directions for as long as a query lasts. An
//! invocation has one request and one answer. The two calls of the library that concern a task are joined to one
//! request, because a plan without work unit feeds is all that the worker needs before it executes. The metrics travel
//! in the answer, behind the rows.
//!
//! Every answer ends with an end mark that states its number of rows, so that a cut answer is never taken for a whole
//! one.
//!
//! A worker can't reach another worker, so that queries are planned with [`Exchange::Coordinator`](crate::Exchange). The
//! rows of all stages go to the coordinator, and [`check_reduction`] keeps plans local whose workers would send most of
//! the rows that they read.

mod answer;
mod attempts;
mod channel;
mod invoker;
mod metrics;
mod reduction;
mod reply;
mod request;
mod rows;
#[cfg(test)]
mod tests;
mod worker;

pub use self::{
    attempts::{InvocationCounts, InvocationSettings},
    channel::{InvocationChannels, InvocationQuery},
    invoker::{InvokeError, TaskInvoker},
    reduction::{NotReduced, check_reduction},
    reply::{TaskFailureKind, TaskReply},
    request::{TASK_EVENT_PREFIX, TaskRequest, TaskRequestError},
    worker::{MAX_INLINE_BYTES, TaskRunner},
};
