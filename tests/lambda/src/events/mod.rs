//! Sources of asynchronous events.
//!
//! ```text
//!   S3 server --PUT--> notifications --direct, EventBridge----------> function
//!                            |                                          ^
//!                            +--> queue --batch--+----------------------+
//!   function --SendMessage------> queue --batch--+
//!   schedules ----------------------------------------------------------+
//! ```

pub mod notifications;
pub mod queue;
pub mod schedules;
pub mod sqs;

pub use self::{
    notifications::{NewObject, Notifications},
    queue::Queue,
};
