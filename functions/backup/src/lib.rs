//! Backups by name, and restores from them: `/api/v3/enterprise/backup` and `/api/v3/enterprise/restore`.
//!
//! ```text
//!   backup   pin the manifests ──► choose a stamp ──► wait until no older write can appear
//!               │                                          │
//!               ▼                                          ▼
//!            hidden copies of the databases ◄── segments of the tails up to the stamp
//!               │
//!               └─ with a place: their objects, except those of the parent ──► another bucket or directory
//!
//!   restore  hidden copies of the copies, or of the objects at the place ──► one commit replaces the databases
//! ```
//!
//! A backup in the bucket of the cluster copies no section: its hidden copies reference the same objects, which keeps
//! them from collection. A job runs in the process that took the request and holds a lease. If the lease is not
//! renewed, the keeper of any process continues the job.
//!
//! | item | purpose |
//! |---|---|
//! | [`BackupEngine`] | starts, runs, cancels and deletes backups and restores |
//! | [`BackupKeeper`] | continues interrupted jobs, releases copies, and makes scheduled backups |
//! | [`BackupMetrics`] | the numbers of backups for operators |
//! | [`BackupRegister`] | the backups and restores of a cluster, or the backups at a place |
//! | [`check_backups`], [`check_place`] | check the backups in a bucket and at a place |
//! | [`ClusterCopier`] | copies a whole cluster to another bucket, for `neap copy` |
//! | [`backup_routes`] | the HTTP endpoints |

mod backing_up;
mod backup_contents;
mod chain_store;
mod cluster_copy;
mod copying;
mod engine;
mod error;
mod job;
mod keeper;
mod listing;
mod metrics;
mod needed_objects;
mod object_copy;
mod place;
mod place_check;
mod place_objects;
mod register;
mod restoring;
mod routes;
mod schedule;
mod store;
#[cfg(test)]
mod tests;
mod uploading;
mod verification;

pub use cluster_copy::{ClusterCopier, CopyError, CopyProgress, CopyStats};
pub use engine::{BackupEngine, BackupParts};
pub use error::BackupError;
pub use keeper::{BackupKeeper, JobReport};
pub use metrics::{BackupMetrics, LastBackup};
pub use place::BackupPlaces;
pub use place_check::check_place;
pub use register::{
    Backup, BackupKind, BackupRegister, BackupRequest, Job, JobState, MAX_BACKUPS, Restore,
    RestoreRequest, RestoreSource,
};
pub use routes::{backup_refusals, backup_routes};
pub use schedule::{BackupSchedule, NextTime};
pub use store::BackupStore;
pub use verification::{BackupFinding, PlaceReport, check_backups};
