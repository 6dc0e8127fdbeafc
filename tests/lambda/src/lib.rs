//! An emulator of the AWS services around Neap's functions. It runs on one machine without an account, for tests and
//! trials.
//!
//! ```text
//!   client --HTTP--> gateway --event--> function: instance 1, 2, ... <--Runtime API--> neap-lambda-write, ...
//!                                          ^                                                |
//!   schedules, queues ---------------------+                                            S3 requests
//!                  ^                       |                                                v
//!                  +---- notifications ----+------------------------------------ neap-s3-server
//! ```
//!
//! The functions are the real programs in their own processes. They are frozen between events, killed at their timeout,
//! started when more events arrive, and denied requests that their policy does not allow. Limits are those of AWS.
//! Through the [`control`] interface, a test decides which instances are frozen or killed, and which notifications are
//! lost, duplicated, or delayed.
//!
//! | module | content |
//! |---|---|
//! | [`configuration`] | the configuration, one JSON document |
//! | [`runtime`] | functions, their instances, and the Runtime API of each instance |
//! | [`gateway`] | converts HTTP requests to events, and responses to HTTP responses |
//! | [`events`] | schedules, notifications of the bucket, queues |
//! | [`store`] | the S3 server, with a policy and request counters for each function |
//! | [`invocations`] | functions that invoke functions: permissions, faults, counters |
//! | [`trap`] | kills or freezes instances in the middle of their work |
//! | [`control`] | the control interface for tests and people |
//! | [`deployment`] | the routes and permissions of the Terraform configuration |
//! | [`emulator`] | the whole emulator |

pub mod configuration;
pub mod control;
pub mod deployment;
pub mod emulator;
pub mod events;
pub mod gateway;
pub mod invocations;
pub mod runtime;
pub mod store;
#[cfg(test)]
mod tests;
pub mod trap;
mod world;

pub use configuration::Configuration;
pub use emulator::Emulator;
