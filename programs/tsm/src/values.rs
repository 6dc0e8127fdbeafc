//! The values of a field.

use std::ops::Range;

use strum::{Display, IntoStaticStr, VariantArray};

use crate::Strings;

/// Type of the values of a field.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Display, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum ValueType {
    /// 64-bit floating point numbers.
    Float,
    /// Signed 64-bit integers.
    Integer,
    /// Booleans.
    Boolean,
    /// Strings.
    String,
    /// Unsigned 64-bit integers.
    Unsigned,
}

impl ValueType {
    /// All types.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Returns the type with this number in TSM files.
    pub fn of_block(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Returns the number of the type in TSM files.
    pub fn block_type(self) -> u8 {
        match self {
            Self::Float => 0,
            Self::Integer => 1,
            Self::Boolean => 2,
            Self::String => 3,
            Self::Unsigned => 4,
        }
    }

    /// Returns the type with this number in the write-ahead log.
    pub(crate) fn of_log(number: u8) -> Option<Self> {
        Self::of_block(number.checked_sub(1)?)
    }

    /// Returns the name of the type in InfluxQL.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A list of values of one type.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Floats.
    Float(Vec<f64>),
    /// Integers.
    Integer(Vec<i64>),
    /// Booleans.
    Boolean(Vec<bool>),
    /// Strings.
    String(Strings),
    /// Unsigned integers.
    Unsigned(Vec<u64>),
}

/// Evaluates an expression for the vector of any type, or another one for strings.
macro_rules! for_each_type {
    ($values:expr, $list:ident => $expression:expr, $strings:ident => $of_strings:expr) => {
        match $values {
            Values::Float($list) => $expression,
            Values::Integer($list) => $expression,
            Values::Boolean($list) => $expression,
            Values::Unsigned($list) => $expression,
            Values::String($strings) => $of_strings,
        }
    };
}

/// Evaluates an expression for two lists of the same type.
macro_rules! for_both {
    ($values:expr, $other:expr, $to:ident, $from:ident => $expression:expr) => {
        match ($values, $other) {
            (Values::Float($to), Values::Float($from)) => $expression,
            (Values::Integer($to), Values::Integer($from)) => $expression,
            (Values::Boolean($to), Values::Boolean($from)) => $expression,
            (Values::Unsigned($to), Values::Unsigned($from)) => $expression,
            (Values::String($to), Values::String($from)) => $expression,
            _ => {}
        }
    };
}

/// A list that copies a range of another one.
trait CopyRange {
    fn copy_range(&mut self, other: &Self, range: Range<usize>);
}

impl<T: Clone> CopyRange for Vec<T> {
    fn copy_range(&mut self, other: &Self, range: Range<usize>) {
        self.extend_from_slice(other.get(range).unwrap_or_default());
    }
}

impl CopyRange for Strings {
    fn copy_range(&mut self, other: &Self, range: Range<usize>) {
        self.extend_from(other, range);
    }
}

impl Values {
    /// Creates an empty list.
    pub fn new(value_type: ValueType) -> Self {
        match value_type {
            ValueType::Float => Self::Float(Vec::new()),
            ValueType::Integer => Self::Integer(Vec::new()),
            ValueType::Boolean => Self::Boolean(Vec::new()),
            ValueType::String => Self::String(Strings::default()),
            ValueType::Unsigned => Self::Unsigned(Vec::new()),
        }
    }

    /// Returns the type of the values.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Float(_) => ValueType::Float,
            Self::Integer(_) => ValueType::Integer,
            Self::Boolean(_) => ValueType::Boolean,
            Self::String(_) => ValueType::String,
            Self::Unsigned(_) => ValueType::Unsigned,
        }
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        for_each_type!(self, list => list.len(), strings => strings.len())
    }

    /// Returns whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the memory of the values in bytes.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Boolean(list) => list.len(),
            Self::String(strings) => strings.text_bytes() + 8 * strings.len(),
            _ => 8 * self.len(),
        }
    }

    /// Removes all values from `len` on.
    pub fn truncate(&mut self, len: usize) {
        for_each_type!(self, list => list.truncate(len), strings => strings.truncate(len));
    }

    /// Appends a range of other values. Values of another type are ignored.
    pub fn extend_from(&mut self, other: &Self, range: Range<usize>) {
        for_both!(self, other, to, from => to.copy_range(from, range));
    }

    /// Appends the default value of the type, for a row without a value.
    pub fn push_default(&mut self, count: usize) {
        match self {
            Self::Float(list) => list.resize(list.len() + count, 0.0),
            Self::Integer(list) => list.resize(list.len() + count, 0),
            Self::Boolean(list) => list.resize(list.len() + count, false),
            Self::Unsigned(list) => list.resize(list.len() + count, 0),
            Self::String(strings) => (0..count).for_each(|_| strings.push("")),
        }
    }
}
