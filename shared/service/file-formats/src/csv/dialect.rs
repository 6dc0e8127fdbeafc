//! How CSV without annotations is written.

use crate::cells::{CellType, DecimalMark};

/// How CSV without annotations is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvDialect {
    /// The character between the cells of a row.
    pub delimiter: u8,
    /// The character before the fraction of a number.
    pub decimal_mark: DecimalMark,
    /// Texts that stand for absent values, besides the empty one.
    pub nulls: Vec<String>,
    /// The types of columns. Those of other columns are inferred.
    pub types: Vec<(String, CellType)>,
}

impl Default for CsvDialect {
    fn default() -> Self {
        Self {
            delimiter: b',',
            decimal_mark: DecimalMark::default(),
            nulls: Vec::new(),
            types: Vec::new(),
        }
    }
}

impl CsvDialect {
    pub(super) fn declared_type(&self, column: &str) -> Option<CellType> {
        let mut types = self.types.iter();
        types.find(|(name, _)| name == column).map(|(_, cell_type)| *cell_type)
    }

    pub(super) fn is_null(&self, cell: &str) -> bool {
        cell.is_empty() || self.nulls.iter().any(|null| null == cell.trim())
    }
}
