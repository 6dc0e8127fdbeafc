//! The kinds of object stores.

use std::fmt;

use clap::ValueEnum;

/// The kinds of object stores, named as in `influxdb3 serve --object-store`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ObjectStoreKind {
    /// In memory; lost when the process ends.
    Memory,
    /// Accepted for compatibility with `influxdb3`; the same as `memory`.
    MemoryThrottled,
    /// In a directory of this machine.
    File,
    /// Amazon S3 or a compatible store.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

impl fmt::Display for ObjectStoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::MemoryThrottled => "memory-throttled",
            Self::File => "file",
            Self::S3 => "s3",
            Self::Google => "google",
            Self::Azure => "azure",
        })
    }
}
