//! The kinds of object stores.

use clap::ValueEnum;

/// The kinds of object stores, named as in `influxdb3 serve --object-store`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, strum::Display)]
#[strum(serialize_all = "kebab-case")]
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
