//! A row of a tail.

/// A row of a tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailRow {
    /// The number of the row.
    pub row: u32,
    /// The number of the row's tag set in [`TailImageBuilder::index`](crate::TailImageBuilder::index).
    pub series: u32,
    /// The time of the row, in nanoseconds since the Unix epoch.
    pub time: i64,
}
