//! Compaction: turns the tail into sections.
//!
//! ```text
//!   flush                                   store
//!     |-- GET manifest: mark L ------------>  |
//!     |-- LIST tail above L --------------->  |   cut = Date of its first page - G
//!     |-- GET catalog, segments (L, cut] -->  |
//!     |   merge the versions of each point    |
//!     |-- PUT an object per cache touched ->  |   crash after: an unreferenced object
//!     |-- PUT one bundle ------------------>  |   crash after: an unreferenced object
//!     |-- commit {sections, L := cut} ----->  |   crash before: the same; after: done
//! ```
//!
//! A segment that appears at or below a mark after the listing is void: its PUT took effect so late that its stamp was
//! too old to be acknowledged. When two flushes of a database run at the same time, one gives up, because the commit is
//! refused if the mark has moved.

mod backpressure;
mod bundle;
mod caches;
mod compact_parts;
mod compaction_debt;
mod compactor;
mod damage;
mod day_ranges;
mod deferred_segments;
mod encode;
mod engine_objects;
mod error;
mod events;
mod failed_flushes;
mod flush;
mod flush_limits;
mod flush_plan;
mod garbage_collector;
mod iceberg;
mod job_slots;
mod listed_objects;
mod listing;
mod maintainer;
mod maintenance_plan;
mod merge;
mod parallel_flush;
mod plan_context;
mod removal;
mod report;
mod table_sections;
mod tails;
#[cfg(test)]
mod tests;
mod time_limit;
mod trigger_progress;
mod visit_order;

pub use caches::CacheBackfill;
pub use compact_parts::CompactParts;
pub use compaction_debt::CompactionDebt;
pub use compactor::{Compactor, CompactorSettings};
pub use damage::DamagedObjects;
pub use day_ranges::{DayRange, split_by_days};
pub use encode::{EncodeError, EncodedSection, SectionProfile, SectionWriter, encode_section};
pub use error::CompactError;
pub use events::{CompactorEvent, EventDispatcher, FlushRequest, FlushTriggers};
pub use flush::{FlushResult, FlushSkipped, Flusher};
pub use flush_limits::FlushLimits;
pub use garbage_collector::{
    CollectionReport, GarbageCollector, GarbageCollectorSettings, TimeTravelTooShort,
};
pub use iceberg::{PublishSettings, PublishedTable, PublishedTables, PublishedTimeType};
pub use maintainer::{Maintainer, PlanLimits};
pub use maintenance_plan::{ClaimedMerge, MaintenancePlan};
pub use merge::{
    ColdRows, Extraction, JobLimits, MergeError, MergeJob, MergeJobRef, MergeOutcome, MergePolicy,
    MergeReason, MergeSkipped, Merger, SectionRef, TablePlan, TablePlanInput, plan_table,
};
pub use parallel_flush::ParallelFlusher;
pub use plan_context::PlanScope;
pub use report::{CompactionReport, TailTotals};
