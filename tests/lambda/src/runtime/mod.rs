//! Functions and their instances.
//!
//! ```text
//!             start                next               event             response, next
//!   (nothing) ------> starting ----------> frozen ----------> running ----------------+
//!                        |                   ^                   |                    |
//!                        | init/error, exit  +-------------------|--------------------+
//!                        v                                       v time-out, exit
//!                       dead <-----------------------------------+
//! ```
//!
//! The event of an instance that dies fails as on Lambda: with an error that the caller, not the function, has to
//! handle.

mod account;
mod api;
mod extension;
mod function;
mod invocation;
mod launch;
mod placement;
mod process;
mod state;

pub(crate) use self::account::{ACCOUNT, REGION};
pub use self::{
    account::FunctionCredentials,
    function::{InstanceReport, LocalFunction, UnknownInstance},
    invocation::{FunctionReply, InvocationFailure, InvocationFailureKind},
};
