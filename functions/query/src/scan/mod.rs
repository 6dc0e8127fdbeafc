//! Tables of a snapshot: which sections and segments a query needs, and how their rows become points.

mod data;
mod dedup;
mod plan;
mod predicate;
mod provider;
mod regions;
mod tail;

pub(crate) use data::{Data, DataCacheLimits};
pub(crate) use plan::STORE_URL;
pub(crate) use provider::SnapshotTable;
pub(crate) use tail::TailImages;
