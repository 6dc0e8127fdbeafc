//! An S3 server for tests: real HTTP, real signatures, real conditional writes, and faults on demand.
//!
//! The storage is `s3s-fs` on a directory, behind one lock, which makes its conditional puts atomic. It
//! binds to 127.0.0.1 only, keeps nothing that survives a power cut, and is no place for data.
//!
//! | piece | what it is |
//! |---|---|
//! | [`S3Server`] | a server within this process, stopped when dropped |
//! | [`Options`] | where it keeps objects, on which port it listens |
//! | [`Faults`] | what goes wrong, changeable while it runs |
//! | [`User`], [`Policy`] | further keys and what they may do |
//! | [`Observer`] | who is told of every request |

mod access;
mod faults;
mod observer;
mod policy;
mod server;
mod storage;
#[cfg(test)]
mod tests;

pub use access::User;
pub use faults::Faults;
pub use observer::{Answered, Observer, Operation};
pub use policy::{Policy, PolicyError};
pub use server::{Options, S3Server};
