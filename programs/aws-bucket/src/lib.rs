//! Buckets of S3 themselves, by the AWS SDK: their settings, their creation, interrupted uploads and archived objects. Objects
//! are read, written, listed and deleted by `neap-bucket`.
//!
//! | item | purpose |
//! |---|---|
//! | [`S3Bucket`] | a bucket, and the requests about it |
//! | [`SettingFinding`] | what a setting of a bucket means for a cluster |
//! | [`NewBucket`] | the options of a bucket to be created |
//!
//! The SDK is large, so only programs that people start link this crate.

mod archive;
mod bucket;
mod create;
mod findings;
mod policy;
mod sdk_client;
mod setting;
#[cfg(test)]
mod tests;
mod uploads;

pub use bucket::{BucketError, S3Bucket};
pub use create::{BucketCreation, NewBucket};
pub use setting::{FindingLevel, SettingFinding};
