//! Sorts few rows by times and tags.
//!
//! ```text
//!   RankSortExec                  the sorted rows of all partitions
//!     SortPreservingMergeExec       say what is sorted, and are not executed
//!       SortExec
//!         filter                      rows
//! ```
//!
//! DataFusion's operators compare rows column by column, encode the keys of each row, and merge the partitions row by row. For
//! the ten tags of a table, this takes longer than the filter below. Here the tags of a row are one number, the rank of
//! these tags among those of all rows, and a row is compared by its rank and its time. Rows that exceed the limits of the operator
//! are sorted by copies of the operators below it, which use all processors and the disk.

mod exec;
mod input;
mod keys;

pub use exec::RankSortExec;

#[cfg(test)]
mod tests;
