//! How CSV without annotations is written.

use crate::cells::{CellType, DecimalMark, UnknownCellType};

/// An option of CSV is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvOptionError {
    /// A column has no type.
    #[error("a column and its type are expected, such as `celsius=float64`")]
    NoType,
    /// The type of a column is unknown.
    #[error(transparent)]
    UnknownType(#[from] UnknownCellType),
    /// The delimiter is not one character.
    #[error("the delimiter is one ASCII character, and no quote or line break")]
    Delimiter,
}

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
    /// Parses a column with its type, such as `celsius=float64`.
    ///
    /// # Errors
    /// [`CsvOptionError::NoType`], [`CsvOptionError::UnknownType`].
    pub fn parse_column(text: &str) -> Result<(String, CellType), CsvOptionError> {
        let (name, cell_type) = text.rsplit_once('=').ok_or(CsvOptionError::NoType)?;
        Ok((name.to_owned(), cell_type.parse()?))
    }

    /// Parses a delimiter; `\t` is a tab.
    ///
    /// # Errors
    /// [`CsvOptionError::Delimiter`].
    pub fn parse_delimiter(text: &str) -> Result<u8, CsvOptionError> {
        match text.as_bytes() {
            b"\\t" => Ok(b'\t'),
            [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(*byte),
            _ => Err(CsvOptionError::Delimiter),
        }
    }

    /// Creates a dialect. Without a delimiter, it is `;` with a decimal comma, and `,` otherwise.
    pub fn new(delimiter: Option<u8>, has_decimal_comma: bool) -> Self {
        let (usual_delimiter, decimal_mark) = if has_decimal_comma {
            (b';', DecimalMark::Comma)
        } else {
            (b',', DecimalMark::Point)
        };
        Self {
            delimiter: delimiter.unwrap_or(usual_delimiter),
            decimal_mark,
            ..Self::default()
        }
    }

    pub(super) fn declared_type(&self, column: &str) -> Option<CellType> {
        let mut types = self.types.iter();
        types.find(|(name, _)| name == column).map(|(_, cell_type)| *cell_type)
    }

    pub(super) fn is_null(&self, cell: &str) -> bool {
        cell.is_empty() || self.nulls.iter().any(|null| null == cell.trim())
    }
}
