//! Converts texts to typed columns.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, UInt64Array};

/// The type of the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellType {
    Text,
    Integer,
    UInteger,
    Float,
    Boolean,
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

    /// Infers the type that all values of a column have; `None` if there are no values.
    pub(crate) fn infer(cells: &StringArray) -> Option<Self> {
        let mut cells = cells.iter().flatten();
        let mut inferred = Self::of(cells.next()?);
        for cell in cells {
            if inferred == Self::Text {
                break;
            }
            inferred = inferred.union(Self::of(cell));
        }
        Some(inferred)
    }

    fn of(cell: &str) -> Self {
        let cell = cell.trim();
        if parse_boolean(cell).is_some() {
            return Self::Boolean;
        }
        // Words such as `inf` and `nan` are texts.
        if !cell.ends_with(|last: char| last.is_ascii_digit() || last == '.') {
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

    /// Returns the type that has the values of both types.
    fn union(self, other: Self) -> Self {
        match (self, other) {
            (left, right) if left == right => left,
            (Self::Text | Self::Boolean, _) | (_, Self::Text | Self::Boolean) => Self::Text,
            // Both integers and large integers: only floats hold negative and large values.
            _ => Self::Float,
        }
    }

    /// Converts texts to this type. Invalid cells become null and are returned in their order.
    pub(crate) fn convert(self, name: &str, cells: &StringArray) -> (ArrayRef, Vec<InvalidCell>) {
        let mut invalid = Vec::new();
        let array: ArrayRef = match self {
            Self::Text => Arc::new(cells.clone()),
            Self::Integer => Arc::new(self.parse_all::<i64, Int64Array>(
                name,
                cells,
                &mut invalid,
                |cell| cell.parse().ok(),
            )),
            Self::UInteger => Arc::new(self.parse_all::<u64, UInt64Array>(
                name,
                cells,
                &mut invalid,
                |cell| cell.parse().ok(),
            )),
            Self::Float => Arc::new(self.parse_all::<f64, Float64Array>(
                name,
                cells,
                &mut invalid,
                |cell| cell.parse().ok(),
            )),
            Self::Boolean => Arc::new(self.parse_all::<bool, BooleanArray>(
                name,
                cells,
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
        invalid: &mut Vec<InvalidCell>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> A {
        let values = cells.iter().enumerate().map(|(row, cell)| {
            let cell = cell?;
            let value = parse(cell.trim());
            if value.is_none() {
                invalid.push(InvalidCell {
                    row,
                    message: format!(
                        "value `{}` of column '{name}' is not a valid {}",
                        cell.escape_debug()
                            .take(MAX_SHOWN_CHARS)
                            .collect::<String>(),
                        self.name()
                    ),
                });
            }
            value
        });
        values.collect()
    }
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
    fn a_type_is_inferred_that_all_values_have() {
        let infer = |cells: &[&str]| {
            let cells: StringArray = cells
                .iter()
                .map(|cell| (!cell.is_empty()).then_some(*cell))
                .collect();
            CellType::infer(&cells)
        };
        for (cells, expected) in [
            (&["1", "-2", ""][..], Some(CellType::Integer)),
            (&["1", "18446744073709551615"], Some(CellType::Float)),
            (&["18446744073709551615"], Some(CellType::UInteger)),
            (&["1", "2.5", "1e3"], Some(CellType::Float)),
            (&["true", "False"], Some(CellType::Boolean)),
            (&["true", "1"], Some(CellType::Text)),
            (&["nan"], Some(CellType::Text)),
            (&["1", "x"], Some(CellType::Text)),
            (&["", ""], None),
        ] {
            assert_eq!(infer(cells), expected, "{cells:?}");
        }
    }

    #[test]
    fn invalid_cells_are_null_and_named() {
        let cells = StringArray::from(vec![Some("1"), None, Some("1.5")]);
        let (values, invalid) = CellType::Integer.convert("v", &cells);
        assert_eq!(values.null_count(), 2);
        assert_eq!(
            invalid,
            [InvalidCell {
                row: 2,
                message: "value `1.5` of column 'v' is not a valid integer".to_owned()
            }]
        );
    }
}
