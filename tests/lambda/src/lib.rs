//! What AWS does around the functions, on one machine and without an account: for tests, and for trying out.
//!
//! ```text
//!   client --HTTP--> gateway --event--> function: instance 1, 2, ... <--Runtime API--> neap-lambda-write, ...
//!                                          ^                                                |
//!   schedules, queues ---------------------+                                            S3 requests
//!                  ^                       |                                                v
//!                  +---- notifications ----+------------------------------------ neap-s3-server
//! ```
//!
//! The functions are the real programs in processes of their own, which are frozen between two events, killed
//! at their time-out, started when there is more to do, and refused what their policy does not allow. Limits
//! are those of AWS. A test decides through the [`control`] interface which instance is frozen or killed, and
//! which notification is lost, doubled or late.
//!
//! | module | what it does |
//! |---|---|
//! | [`configuration`] | the settings, one JSON document |
//! | [`runtime`] | functions, their instances, and the Runtime API that an instance talks to |
//! | [`gateway`] | turns HTTP requests into events and answers into HTTP responses |
//! | [`events`] | schedules, notifications of the bucket, queues |
//! | [`store`] | the S3 server, with a policy for each function and a count of its requests |
//! | [`trap`] | instances that are killed or frozen in the middle of their work |
//! | [`control`] | the interface for tests and people |
//! | [`deployment`] | the routes and permissions of the Terraform configuration |
//! | [`local`] | all of it together |

pub mod configuration;
pub mod control;
pub mod deployment;
pub mod events;
pub mod gateway;
pub mod local;
pub mod runtime;
pub mod store;
#[cfg(test)]
mod tests;
pub mod trap;
mod world;

pub use configuration::Configuration;
pub use local::Local;
