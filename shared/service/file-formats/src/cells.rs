//! Converts texts to typed columns.

use std::{borrow::Cow, str::FromStr, sync::Arc};

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, UInt64Array};

/// The type of the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellType {
    /// Text.
    Text,
    /// Signed integers of 64 bits.
    Integer,
    /// Unsigned integers of 64 bits.
    UInteger,
    /// Floats of 64 bits.
    Float,
    /// `true` and `false`.
    Boolean,
}

impl FromStr for CellType {
    type Err = UnknownCellType;

    fn from_str(text: &str) -> Result<Self, UnknownCellType> {
        Ok(match text {
            "float64" => Self::Float,
            "int64" => Self::Integer,
            "uint64" => Self::UInteger,
            "bool" => Self::Boolean,
            "string" => Self::Text,
            _ => return Err(UnknownCellType),
        })
    }
}

/// A text is not the name of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the type of a column is float64, int64, uint64, bool or string")]
pub struct UnknownCellType;

/// The character before the fraction of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DecimalMark {
    /// `21.5`
    #[default]
    Point,
    /// `21,5`
    Comma,
}

impl DecimalMark {
    /// Returns a number as it is written with a decimal point. With a decimal comma, a point becomes a comma, so that a
    /// text with a point is no number.
    fn with_point(self, cell: &str) -> Cow<'_, str> {
        if self == Self::Point || !cell.contains([',', '.']) {
            return Cow::Borrowed(cell);
        }
        let swapped = cell.chars().map(|char| match char {
            ',' => '.',
            '.' => ',',
            other => other,
        });
        Cow::Owned(swapped.collect())
    }
}

/// Where the type of a column is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TypeOrigin {
    /// The file states it.
    Declared,
    /// It is inferred from the first cells.
    Inferred,
}

/// A cell that is not a value of the type of its column.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidCell {
    pub(crate) row: usize,
    pub(crate) message: String,
}

impl CellType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::UInteger => "unsigned integer",
            Self::Float => "number",
            Self::Boolean => "boolean",
        }
    }

    /// Infers the type of a column; `None` if there are no values. The first value decides between text, numbers and
    /// booleans, and later values that do not fit are invalid. Numbers get the type that has all of them. Digits that are
    /// no plain number, such as `007` and `10.0.0.1`, are identifiers and turn a column of numbers into text.
    pub(crate) fn infer(cells: &StringArray, mark: DecimalMark) -> Option<Self> {
        let mut cells = cells.iter().flatten().map(|cell| mark.with_point(cell.trim()));
        let mut inferred = Self::from_cell(&cells.next()?);
        if !inferred.is_number() {
            return Some(inferred);
        }
        for cell in cells {
            let cell_type = Self::from_cell(&cell);
            if cell_type.is_number() {
                inferred = inferred.union(cell_type);
            } else if is_identifier(&cell) {
                return Some(Self::Text);
            }
        }
        Some(inferred)
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Integer | Self::UInteger | Self::Float)
    }

    fn from_cell(cell: &str) -> Self {
        if parse_boolean(cell).is_some() {
            return Self::Boolean;
        }
        // Words such as `inf` and `nan` are texts.
        let is_number = cell.ends_with(|last: char| last.is_ascii_digit() || last == '.');
        if !is_number || !is_plain_number(cell) {
            return Self::Text;
        }
        if cell.parse::<i64>().is_ok() {
            Self::Integer
        } else if cell.parse::<u64>().is_ok() {
            Self::UInteger
        } else if cell.parse::<f64>().is_ok() {
            Self::Float
        } else {
            Self::Text
        }
    }

    /// Returns the type that has the numbers of both types.
    fn union(self, other: Self) -> Self {
        if self == other {
            self
        } else {
            // Also for integers and large integers: only floats hold negative and large values.
            Self::Float
        }
    }

    /// Converts texts to this type. Invalid cells become null and are returned in their order.
    pub(crate) fn convert(
        self,
        name: &str,
        cells: &StringArray,
        origin: TypeOrigin,
        mark: DecimalMark,
    ) -> (ArrayRef, Vec<InvalidCell>) {
        let mut invalid = Vec::new();
        let is_kept = |cell: &str| origin == TypeOrigin::Declared || is_plain_number(cell);
        let array: ArrayRef = match self {
            Self::Text => Arc::new(cells.clone()),
            Self::Integer => Arc::new(self.parse_all::<i64, Int64Array>(
                name,
                cells,
                mark,
                &mut invalid,
                |cell| cell.parse().ok().filter(|_| is_kept(cell)),
            )),
            Self::UInteger => Arc::new(self.parse_all::<u64, UInt64Array>(
                name,
                cells,
                mark,
                &mut invalid,
                |cell| cell.parse().ok().filter(|_| is_kept(cell)),
            )),
            Self::Float => Arc::new(self.parse_all::<f64, Float64Array>(
                name,
                cells,
                mark,
                &mut invalid,
                |cell| match origin {
                    TypeOrigin::Declared => cell.parse().ok(),
                    TypeOrigin::Inferred => parse_inferred_float(cell),
                },
            )),
            Self::Boolean => Arc::new(self.parse_all::<bool, BooleanArray>(
                name,
                cells,
                mark,
                &mut invalid,
                parse_boolean,
            )),
        };
        (array, invalid)
    }

    fn parse_all<T, A: FromIterator<Option<T>>>(
        self,
        name: &str,
        cells: &StringArray,
        mark: DecimalMark,
        invalid: &mut Vec<InvalidCell>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> A {
        let values = cells.iter().enumerate().map(|(row, cell)| {
            let cell = cell?;
            let value = parse(&mark.with_point(cell.trim()));
            if value.is_none() {
                let shown: String = cell.escape_debug().take(MAX_SHOWN_CHARS).collect();
                invalid.push(InvalidCell {
                    row,
                    message: if self == Self::Float && is_integer(cell.trim()) {
                        inexact_message(name, &shown)
                    } else {
                        format!("value `{shown}` of column '{name}' is not a valid {}", self.name())
                    },
                });
            }
            value
        });
        values.collect()
    }
}

/// Returns the message for an integer in a column of floats that no float represents.
pub(crate) fn inexact_message(name: &str, value: &str) -> String {
    format!("value `{value}` of column '{name}' cannot be stored exactly as a float")
}

/// Returns an integer as a float; `None` if no float represents it.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the result is compared with its origin"
)]
pub(crate) fn to_exact_float(integer: i128) -> Option<f64> {
    let float = integer as f64;
    (float as i128 == integer).then_some(float)
}

/// Parses a number of a column whose type is inferred, so that an integer may be an identifier. An integer beyond 64 bits
/// may also be the shortest text of a float.
fn parse_inferred_float(cell: &str) -> Option<f64> {
    let float: f64 = cell.parse().ok().filter(|_| is_plain_number(cell))?;
    if !is_integer(cell) {
        return Some(float);
    }
    if let Ok(integer) = cell.parse::<i64>() {
        return to_exact_float(i128::from(integer));
    }
    if let Ok(integer) = cell.parse::<u64>() {
        return to_exact_float(i128::from(integer));
    }
    let is_same = float.to_string() == cell || format!("{float:.0}") == cell;
    is_same.then_some(float)
}

fn is_integer(cell: &str) -> bool {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether a text consists of digits and of the signs of identifiers, dates and addresses.
fn is_identifier(cell: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_digit() || b"+-.:/ ".contains(&byte);
    cell.bytes().any(|byte| byte.is_ascii_digit()) && cell.bytes().all(is_part)
}

/// Returns whether a number is written without a plus sign and without leading zeros. Others are often identifiers.
fn is_plain_number(cell: &str) -> bool {
    let digits = cell.strip_prefix('-').unwrap_or(cell).as_bytes();
    !matches!(digits, [b'+', ..] | [b'0', b'0'..=b'9', ..])
}

/// Maximum length of a cell in a message, in characters.
const MAX_SHOWN_CHARS: usize = 64;

fn parse_boolean(cell: &str) -> Option<bool> {
    match cell {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_decides_the_type_and_numbers_widen_it() {
        let infer = |cells: &[&str]| {
            let cells: StringArray =
                cells.iter().map(|cell| (!cell.is_empty()).then_some(*cell)).collect();
            CellType::infer(&cells, DecimalMark::Point)
        };
        for (cells, expected) in [
            (&["1", "-2", ""][..], Some(CellType::Integer)),
            (&["1", "18446744073709551615"], Some(CellType::Float)),
            (&["18446744073709551615"], Some(CellType::UInteger)),
            (&["1", "2.5", "1e3"], Some(CellType::Float)),
            (&["true", "False"], Some(CellType::Boolean)),
            (&["true", "1"], Some(CellType::Boolean)),
            (&["nan"], Some(CellType::Text)),
            (&["1", "x", "2.5"], Some(CellType::Float)),
            (&["1", "-"], Some(CellType::Integer)),
            (&["x", "1"], Some(CellType::Text)),
            (&["10115", "01067"], Some(CellType::Text)),
            (&["1", "10.0.0.1"], Some(CellType::Text)),
            (&["007"], Some(CellType::Text)),
            (&["1", "+2"], Some(CellType::Text)),
            (&["0", "-0.5"], Some(CellType::Float)),
            (&["", ""], None),
        ] {
            assert_eq!(infer(cells), expected, "{cells:?}");
        }
    }

    #[test]
    fn invalid_cells_are_null_and_named() {
        let cells = StringArray::from(vec![Some("1"), None, Some("1.5")]);
        let (values, invalid) =
            CellType::Integer.convert("v", &cells, TypeOrigin::Inferred, DecimalMark::Point);
        assert_eq!(values.null_count(), 2);
        assert_eq!(
            invalid,
            [InvalidCell {
                row: 2,
                message: "value `1.5` of column 'v' is not a valid integer".to_owned()
            }]
        );
    }

    #[test]
    fn a_decimal_comma_is_not_mixed_with_points() {
        let cells = StringArray::from(vec!["21,5", "-3", "1.234", "1.234,5"]);
        let mark = DecimalMark::Comma;
        assert_eq!(CellType::infer(&cells, mark), Some(CellType::Float));
        let (values, invalid) = CellType::Float.convert("v", &cells, TypeOrigin::Inferred, mark);
        assert_eq!(values.null_count(), 2);
        assert_eq!(invalid[0].message, "value `1.234` of column 'v' is not a valid number");
    }

    #[test]
    fn integers_that_no_float_represents_are_refused_in_inferred_columns() {
        let cells = StringArray::from(vec![
            "9007199254740993",
            "9007199254740992",
            "18446744073709551615",
            "123456789012345680000",
        ]);
        let refused = |origin| -> Vec<usize> {
            let (_, invalid) = CellType::Float.convert("v", &cells, origin, DecimalMark::Point);
            invalid.iter().map(|cell| cell.row).collect()
        };
        assert_eq!(refused(TypeOrigin::Inferred), [0, 2]);
        assert_eq!(refused(TypeOrigin::Declared), [0usize; 0]);
    }
}
