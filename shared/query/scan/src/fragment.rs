//! Parts of scans by name, which another process can execute over the same bucket.
//!
//! ```text
//!   section 1   |-----------------|
//!   section 2                  |--------------|
//!   tail                                   |-------|
//!   regions     |------ 1 -----|1,2|----2---|2,t|-t-|
//!   fragment A  |--------------|                |---|
//!   fragment B                 |---|--------|---|
//! ```
//!
//! A fragment names the objects of a snapshot and contains everything that decides which of their rows are visible. All
//! versions of a point are in one region: they have the same time and the same series. A region belongs to exactly one
//! fragment, so no two processes return versions of the same point.

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{Column, Result},
    logical_expr::{Expr, lit},
};
use neap_bucket::{SegmentName, Stamp};
use neap_catalog::Table;
use neap_manifest::{RecordedDelete, Section};
use neap_schema::DatabaseId;
use neap_wal::TailError;
use serde::{Deserialize, Serialize};

use crate::regions::{TimeInterval, TimeRegions};

/// A part of a scan of one table of a snapshot, by the names of its objects.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanFragment {
    pub(crate) database: DatabaseId,
    /// The version of the database catalog that defines the table.
    pub(crate) catalog_version: u64,
    /// The version of the manifest that lists the sections.
    pub(crate) manifest_version: u64,
    pub(crate) table: Table,
    /// The first visible time by the retention of the table, in nanoseconds since the Unix epoch.
    pub(crate) first_seen: i64,
    /// The deletes of the manifest, then those of the tail.
    pub(crate) deletes: Vec<RecordedDelete>,
    /// The segments of the deletes of the tail, which are the last of `deletes`.
    pub(crate) tail_deletes: Vec<SegmentName>,
    pub(crate) tail: TailSegments,
    /// The sections that the regions read, in the order of their stamps.
    pub(crate) sections: Vec<Section>,
    pub(crate) regions: Vec<ScanRegion>,
    /// The indexes of the columns in the schema of the table.
    pub(crate) projection: Vec<usize>,
    /// The number of rows that the query needs.
    pub(crate) limit: Option<usize>,
    /// The number of partitions of the output.
    pub(crate) partitions: usize,
}

/// The names of the segments of a tail, with the state of the database that they belong to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TailSegments {
    /// The low-water mark. All segments are above it.
    pub(crate) mark: Stamp,
    /// The requested stamp, if the snapshot is of an earlier state.
    pub(crate) as_of: Option<Stamp>,
    /// The names, sorted.
    pub(crate) names: Vec<SegmentName>,
    /// The time range of the rows of the table; `None` if the tail has no rows of it.
    pub(crate) time: Option<TimeInterval>,
}

/// A range of time, and optionally of series, with the sources that have rows there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScanRegion {
    pub(crate) time: TimeInterval,
    /// The series; `None`: all.
    pub(crate) series: Option<SeriesRange>,
    /// The indexes of the sections that have rows there, ascending.
    pub(crate) sections: Vec<usize>,
    /// Whether the tail has rows there.
    pub(crate) has_tail: bool,
}

/// The series whose value of a tag is in a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeriesRange {
    pub(crate) tag: String,
    /// The lowest value; `None`: includes the series without a value.
    pub(crate) from: Option<String>,
    /// The exclusive upper bound; `None`: no bound.
    pub(crate) below: Option<String>,
}

/// An error of opening a fragment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FragmentError {
    #[error("segment {0:?} is not in the bucket any more: the snapshot of the query is too old")]
    SegmentGone(SegmentName),
    #[error(transparent)]
    Tail(#[from] TailError),
}

impl SeriesRange {
    /// Returns the condition of its rows. It is true or false of every row, never null.
    pub(crate) fn condition(&self) -> Expr {
        let tag = || Expr::Column(Column::new_unqualified(&self.tag));
        match (&self.from, &self.below) {
            (None, None) => lit(true),
            (None, Some(below)) => tag().is_null().or(tag().lt(lit(below.as_str()))),
            (Some(from), None) => tag().is_not_null().and(tag().gt_eq(lit(from.as_str()))),
            (Some(from), Some(below)) => tag()
                .is_not_null()
                .and(tag().gt_eq(lit(from.as_str())))
                .and(tag().lt(lit(below.as_str()))),
        }
    }
}

impl ScanFragment {
    /// The database.
    pub fn database(&self) -> DatabaseId {
        self.database
    }

    /// The name of the table.
    pub fn table_name(&self) -> &str {
        self.table.name()
    }

    /// The columns of the output.
    pub(crate) fn schema(&self) -> Result<SchemaRef> {
        let schema = self.table.arrow_schema();
        Ok(std::sync::Arc::new(schema.project(&self.projection)?))
    }

    /// Returns the fragment with these regions alone, and only the sections that they read.
    pub(crate) fn with_regions(&self, regions: Vec<ScanRegion>) -> Self {
        let mut indexes: Vec<Option<usize>> = vec![None; self.sections.len()];
        let used = regions.iter().flat_map(|region| &region.sections);
        for at in used {
            if let Some(index) = indexes.get_mut(*at) {
                *index = Some(0);
            }
        }
        let mut sections = Vec::new();
        for (section, index) in self.sections.iter().zip(&mut indexes) {
            if index.is_some() {
                *index = Some(sections.len());
                sections.push(section.clone());
            }
        }
        let renumbered = |region: ScanRegion| ScanRegion {
            sections: region
                .sections
                .iter()
                .filter_map(|at| indexes.get(*at).copied().flatten())
                .collect(),
            ..region
        };
        let regions: Vec<_> = regions.into_iter().map(renumbered).collect();
        let reads_tail = regions.iter().any(|region| region.has_tail);
        let tail = if reads_tail {
            self.tail.clone()
        } else {
            TailSegments { names: Vec::new(), time: None, ..self.tail }
        };
        Self {
            sections,
            regions,
            tail,
            table: self.table.clone(),
            deletes: self.deletes.clone(),
            tail_deletes: self.tail_deletes.clone(),
            projection: self.projection.clone(),
            ..*self
        }
    }
}

/// Divides `time` into regions among sections and the tail. The indexes of the regions are those of `sections`.
pub(crate) fn divide(
    sections: &[Section],
    tail: Option<TimeInterval>,
    time: TimeInterval,
) -> Vec<ScanRegion> {
    let mut sources = Vec::new();
    let mut intervals = Vec::new();
    for (at, section) in sections.iter().enumerate() {
        if let Some(interval) = interval(section).intersection(time) {
            sources.push(Some(at));
            intervals.push(interval);
        }
    }
    if let Some(interval) = tail.and_then(|tail| tail.intersection(time)) {
        sources.push(None);
        intervals.push(interval);
    }
    let region = |time, of: &[usize]| {
        let of: Vec<Option<usize>> = of.iter().filter_map(|at| sources.get(*at).copied()).collect();
        ScanRegion {
            time,
            series: None,
            has_tail: of.contains(&None),
            sections: of.into_iter().flatten().collect(),
        }
    };
    let regions = TimeRegions::from_sources(&intervals);
    let direct = regions
        .direct
        .iter()
        .enumerate()
        .flat_map(|(at, ranges)| ranges.iter().map(move |range| (*range, vec![at])));
    let overlaps = regions.overlaps.iter().map(|overlap| (overlap.range, overlap.sources.clone()));
    direct.chain(overlaps).map(|(range, of)| region(range, &of)).collect()
}

/// The times of the rows of a section.
pub(crate) fn interval(section: &Section) -> TimeInterval {
    TimeInterval { min: section.min_time, max: section.max_time }
}
