//! The interface that the v1 formats share.

use std::{fmt::Debug, ops::Range};

use super::{cell::InfiniteFloatError, rows::AnswerRows};

/// The identity of a series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesKey {
    /// The table.
    pub name: Option<String>,
    /// The tags of `GROUP BY` with their values. The value is empty if the rows lack the tag.
    pub tags: Vec<(String, String)>,
}

/// Encodes answers in one format. Statements come in order, each with its series in order, each with its rows.
pub trait SeriesEncoder: Debug + Send {
    /// Begins the answer of a statement whose rows have these columns.
    fn begin(&mut self, statement: usize, columns: &[String], out: &mut Vec<u8>);

    /// Begins a series and ends the previous one, if any.
    fn series(&mut self, key: &SeriesKey, out: &mut Vec<u8>);

    /// Writes existing rows of the series.
    ///
    /// # Errors
    /// A value can't be encoded. In that case nothing of its row and of later rows is written.
    fn rows(
        &mut self,
        rows: &mut AnswerRows<'_>,
        range: Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), InfiniteFloatError>;

    /// Ends the answer of a statement, with its error, if any.
    fn end(&mut self, error: Option<&str>, out: &mut Vec<u8>);

    /// Ends the answer.
    fn finish(&mut self, out: &mut Vec<u8>);
}
