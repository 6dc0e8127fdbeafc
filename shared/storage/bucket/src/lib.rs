//! The bucket: stores, keys, registers, and the store's clock.
//!
//! Everything durable is an object in a [`Store`]: S3 and compatible stores, Google Cloud Storage, Azure Blob Storage,
//! a directory, or memory. Components hold a [`Bucket`], name objects by [`Key`], and change shared state only through
//! a [`Register`]. A [`World`] supplies time, sleep and randomness.
//!
//! | item | purpose |
//! |---|---|
//! | [`Store`] | get, conditional put, list one page, delete; each answer carries the store's time |
//! | [`Bucket`] | the stores of a cluster and their clock |
//! | [`Register`] | a small object changed by compare-and-swap, with three outcomes |
//! | [`ObjectFormat`], [`formats`] | magic, version, `put_id` and checksum of Neap's own objects; the formats of all kinds |
//! | [`FormatLevels`] | the formats that the programs of a cluster write, so that all of them can read them |
//! | [`AbsencePolicy`] | what it means that an object is missing |
//! | [`StorageClass`] | the classes in which a store keeps cold objects |
//! | [`ProtocolRules`] | the time limits and margins of the storage protocol |
//! | [`StoreConfig`] | the command-line flags that locate a database, and the code that opens its stores |
//! | [`MemoryStore`], [`DirectoryStore`], [`ObjectStoreAdapter`] | the stores |
//! | [`PrefixedStore`], [`CountingStore`], [`FaultyStore`] | wrappers around a store |
//! | [`ObjectUploads`] | uploads, piece by piece, of objects whose names users choose |
//! | [`PresignedObjects`] | uploads and signed URLs of objects that clients fetch directly from the store |
//! | [`compression`] | zstd for small objects |
//! | [`read_limited_file`], [`read_limited_text`] | local files up to a maximum size |
//! | [`conformance`] | checks that a store has the properties that Neap requires |

mod absence;
mod bucket;
mod clock_check;
mod code_hash;
pub mod compression;
mod config;
pub mod conformance;
mod console_file;
mod counting_store;
mod credentials;
mod directory;
mod environment;
mod error_causes;
mod export_name;
mod faulty_store;
mod format_level;
pub mod formats;
mod key_policy;
mod keys;
mod limited_file;
mod memory;
mod object_format;
mod object_uploads;
mod paused_clock;
mod prefix_listing;
mod prefixed_store;
mod presigned_objects;
mod protocol_rules;
mod published_object;
mod register;
mod remote;
#[cfg(test)]
mod s3_fixture;
mod stamp;
mod stepped_clock;
mod storage_class;
mod store;
mod store_clock;
mod store_url;
mod tail_location;
mod tail_order;
mod trace_target;
#[cfg(test)]
mod wall_clock;
mod world;

pub use absence::{AbsencePolicy, MissingObject};
pub use bucket::Bucket;
pub use clock_check::{ClockDoubt, MAX_CLOCK_DIFFERENCE};
pub use code_hash::{CodeHash, CodeHashError};
pub use config::{
    AwsConfig, ConnectionConfig, ObjectStoreKind, OpenedStore, Secret, StoreConfig,
    StoreConfigError, StoreKind,
};
pub use console_file::{ConsoleFile, ConsoleFileError};
pub use counting_store::{CountingStore, OperationCount, OperationCounts};
pub use credentials::{AwsCredentialSource, AwsCredentials, AwsLease};
pub use directory::{
    DirectoryAccess, DirectoryError, DirectoryStore, DirectoryTime, ExposedDirectory,
};
pub use environment::{environment_variables_of, with_environment};
pub use error_causes::with_causes;
pub use export_name::{ExportName, ExportNameError};
pub use faulty_store::{CallGate, CallHook, CallPhase, FaultyStore, StoreCall, StoreFaults};
pub use format_level::{FormatLevel, FormatLevels};
pub use key_policy::{
    BackupPolicy, CheckPolicy, CopyPolicy, CopyStage, KeyPolicy, PurgePolicy, RestorePolicy,
};
pub use keys::{Key, KeyClass, KeyError, SegmentName};
pub use limited_file::{
    MAX_PEM_BYTES, read_limited_file, read_limited_file_async, read_limited_text,
};
pub use memory::MemoryStore;
pub use object_format::{FormatError, HEADER_BYTES, ObjectFormat};
pub use object_uploads::{ObjectUploads, PendingUpload, UploadMode, UploadOutcome};
pub use paused_clock::PausedClock;
pub use prefix_listing::PrefixListing;
pub use prefixed_store::PrefixedStore;
pub use presigned_objects::{ObjectHeaders, ObjectUpload, PresignedObjects};
pub use protocol_rules::{
    MAX_CATALOG_AGE, MarginsPreset, ProtocolMargins, ProtocolRules, RECENT_PUT_IDS,
};
pub use published_object::{PublishedObject, PublishedObjectError};
pub use register::{
    CommitOutcome, Register, RegisterChange, RegisterError, RegisterRead, RegisterValue,
    VersionedValue, rewrite_register,
};
pub use remote::{ObjectStoreAdapter, RemoteOptions};
pub use stamp::{Stamp, StoreTime, UnknownWriteOrder, WriteOrder};
pub use stepped_clock::SteppedClock;
pub use storage_class::{StorageClass, StorageClassError};
pub use store::{
    ETag, Get, GetOptions, ListEntry, ListPage, ListRequest, MAX_DELETE_KEYS, Object, Operation,
    Put, PutMode, Store, StoreError, StoreResponse,
};
pub use store_clock::StoreClock;
pub use store_url::StoreUrl;
pub use tail_location::{TailLocation, TailLocations};
pub use tail_order::MAX_STAMP_LEAD;
pub use trace_target::TRACE_TARGET;
pub use world::{Clock, ClockReading, Entropy, SystemClock, World};
