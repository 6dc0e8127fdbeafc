//! Deduplicates points: merges the rows of several writes that are versions of the same point.
//!
//! A point is one (table, tag set, time). Each of its fields has the newest non-null value of all writes, or the oldest one if
//! the table keeps the values of earlier rows ([`OnDuplicate`](neap_schema::OnDuplicate)). This crate
//! finds the rows that are versions of the same point by assigning a number to each tag set ([`SeriesIndex`]), and
//! merges them in two ways:
//!
//! * [`deduplicate`] sorts any number of rows by tag set and time and keeps one row for each point. A flush writes the result.
//! * [`TailImage`] adds one segment after the other and provides the deduplicated rows at any time, unsorted, without
//!   processing older rows again. A query of fresh data reads it.
//!
//! Both give the same result however the rows are split into batches, because merging is associative in the order of
//! the writes. Row deletes between the writes remove older rows: [`apply_deletes`] before deduplication,
//! [`TailImageBuilder::delete`] in an image.

mod columns;
mod deduplicate;
mod error;
mod image;
mod number_table;
mod row_deletes;
mod rows_by_point;
mod search;
mod series;
mod sorted_tag_values;
mod tag_texts;
mod tag_values;
#[cfg(test)]
mod tests;

pub use columns::{conform_to_schema, times};
pub use deduplicate::{
    DividedPoints, FieldColumns, PointSorter, SortedPoints, deduplicate, deduplicate_with,
};
pub use error::PointsError;
pub use image::{
    ChunkRows, ImageChunk, MAX_LOOKED_UP_SERIES, SelectedSeries, SortedRows, TagFilter, TailImage,
    TailImageBuilder, TailRow,
};
pub use row_deletes::{TableChange, apply_deletes};
pub use search::{gallop, partition_point};
pub use series::SeriesIndex;
pub use sorted_tag_values::SortedTagValues;
