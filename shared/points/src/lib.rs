//! Points: what makes rows of several writes one row.
//!
//! A point is one (table, tag set, time). Each of its fields has the newest value that any write gave it that
//! is not null. This crate finds the rows that are versions of the same point, by giving each tag set a number
//! ([`SeriesIndex`]), and makes one row of them in two ways:
//!
//! * [`fold`] sorts any number of rows by tag set and time and keeps one row of each point: what a flush
//!   writes.
//! * [`TailImage`] takes in one segment after the other and at any time gives the rows without duplicates,
//!   unsorted but without having touched the older rows again: what a query of fresh data reads.
//!
//! Both agree, in whatever portions the rows come: folding is associative in the order of the writes. Row
//! deletes between the writes take out what is older: [`survivors`] before a fold, [`TailImageBuilder::delete`]
//! in an image.

mod columns;
mod error;
mod fold;
mod image;
mod series;
mod sorted;
mod survivors;
#[cfg(test)]
mod tests;

pub use columns::{conform, times};
pub use error::PointsError;
pub use fold::fold;
pub use image::{Chunk, SortedRows, TailImage, TailImageBuilder, TailRow};
pub use series::SeriesIndex;
pub use sorted::SortedValues;
pub use survivors::{Version, survivors};
