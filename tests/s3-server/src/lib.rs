//! An S3 server for tests: real HTTP, real signatures, real conditional writes, and injectable faults.
//!
//! The storage is `s3s-fs` on a directory, behind one lock that makes conditional puts atomic. The server binds to
//! 127.0.0.1 only. Its data does not survive a power failure, so it must not be used to keep data.
//!
//! | item | purpose |
//! |---|---|
//! | [`S3Server`] | a server within this process; dropping it stops it |
//! | [`Options`] | its directory, port, bucket, users, faults, and deviations |
//! | [`Deviation`] | what other stores with S3's interface do differently |
//! | [`Faults`] | injected faults, which can be changed while it runs |
//! | [`User`], [`Policy`] | additional keys and their permissions |
//! | [`Observer`] | receives every request and its response |
//!
//! Buckets that are created by a request have settings, interrupted uploads and archived objects. The bucket of the options does
//! not, as in stores that know none of them.

mod access;
mod deviations;
mod faults;
mod observer;
mod policy;
mod server;
mod settings;
mod storage;
#[cfg(test)]
mod tests;

pub use access::User;
pub use deviations::Deviation;
pub use faults::Faults;
pub use observer::{ObservedRequest, Observer, Operation};
pub use policy::{Policy, PolicyError};
pub use server::{Options, S3Server};
