//! How much a call makes, from its arguments.

use std::fmt;

use datafusion::common::Result;
use datafusion::logical_expr::ScalarFunctionArgs;

use super::operands::Args;
use super::plan::{CONCATENATION, CONSTANT, PATTERN};
use super::{lists, ranges, texts};

/// How the result of a function grows with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Growth {
    /// `array_repeat(element, n)`.
    ArrayRepeat,
    /// `array_replace(array, from, to)`, and those that replace more than one.
    ArrayReplace,
    /// `array_resize(array, n[, element])`.
    ArrayResize,
    /// `array_to_string(array, separator[, null])`.
    ArrayToString,
    /// `arrays_zip(array…)`: pads all to the longest.
    ArraysZip,
    /// `array_has_all(array, array)` and `array_has_any`: compare every element with every other.
    Compare,
    /// `concat_ws(separator, text…)`.
    ConcatWs,
    /// `encode(bytes, encoding)`: twice the bytes.
    Encode,
    /// `levenshtein(a, b)`: compares every character with every other.
    Levenshtein,
    /// `lpad(text, n[, fill])` and `rpad`.
    Pad,
    /// A function with a pattern for every row, which is this argument.
    Patterns(usize),
    /// `range([from, ]to[, step])`; `generate_series` with `to` itself.
    Range { inclusive: bool },
    /// `regexp_replace(text, pattern, replacement[, flags])`.
    RegexpReplace,
    /// `repeat(text, n)`.
    Repeat,
    /// `replace(text, from, to)`.
    Replace,
    /// `string_to_array(text, separator[, null])`.
    StringToArray,
    /// All arguments together.
    Sum,
    /// `to_char(time, format)`.
    ToChar,
}

impl Growth {
    /// How the function with this name grows; none when its result isn't much larger than its
    /// arguments, however it is nested.
    pub(super) fn of(function: &str) -> Option<Self> {
        Some(match function {
            "array_repeat" => Self::ArrayRepeat,
            "array_replace" | "array_replace_n" | "array_replace_all" => Self::ArrayReplace,
            "array_resize" => Self::ArrayResize,
            "array_to_string" => Self::ArrayToString,
            "arrays_zip" => Self::ArraysZip,
            "array_has_all" | "array_has_any" => Self::Compare,
            "concat_ws" => Self::ConcatWs,
            "encode" => Self::Encode,
            "levenshtein" => Self::Levenshtein,
            "lpad" | "rpad" => Self::Pad,
            "regexp_count" | "regexp_instr" | "regexp_like" | "regexp_match" => Self::Patterns(1),
            PATTERN => Self::Patterns(0),
            "range" => Self::Range { inclusive: false },
            "generate_series" => Self::Range { inclusive: true },
            "regexp_replace" => Self::RegexpReplace,
            "repeat" => Self::Repeat,
            "replace" => Self::Replace,
            "string_to_array" => Self::StringToArray,
            "array_append" | "array_concat" | "array_prepend" | "array_union" | "concat"
            | "make_array" | "map" | "overlay" | CONCATENATION | CONSTANT => Self::Sum,
            "to_char" => Self::ToChar,
            _ => return None,
        })
    }

    /// Whether a call can make far less than what is counted, which is the worst case.
    pub(super) fn is_rough(self) -> bool {
        matches!(
            self,
            Self::ArrayToString | Self::RegexpReplace | Self::StringToArray | Self::ToChar
        )
    }

    /// Whether a call of constants makes no more than the statement has, so that it need not be bounded while planning.
    pub(super) fn is_written_out(function: &str) -> bool {
        function == "make_array"
    }

    /// How much a call makes for all its rows.
    pub(super) fn amount(self, call: &ScalarFunctionArgs) -> Result<Amount> {
        let args = Args::new(call)?;
        let number = match self {
            Self::ArrayRepeat => args.sum(lists::repeat),
            Self::ArrayReplace => args.sum(lists::replace),
            Self::ArrayResize => args.sum(lists::resize),
            Self::ArrayToString => lists::to_string(&args)?,
            Self::ArraysZip => args.sum(lists::zip),
            Self::Compare => args.sum(lists::compare),
            Self::ConcatWs => args.sum(texts::concat_ws),
            Self::Encode => args.sum(texts::encode),
            Self::Levenshtein => args.sum(texts::levenshtein),
            Self::Pad => args.sum(texts::pad),
            Self::Range { inclusive } => ranges::bytes(&args, inclusive)?,
            Self::Patterns(argument) => texts::patterns(&args, argument),
            Self::RegexpReplace => args
                .sum(texts::regexp_replace)
                .saturating_add(texts::patterns(&args, 1)),
            Self::Repeat => args.sum(texts::repeat),
            Self::Replace => texts::replace(&args),
            Self::StringToArray => args.sum(texts::split),
            Self::Sum => args.total(),
            Self::ToChar => args.sum(texts::to_char),
        };
        let unit = match self {
            Self::Compare | Self::Levenshtein => Unit::Comparisons,
            _ => Unit::Bytes,
        };
        Ok(Amount { number, unit })
    }
}

/// How much a call makes.
pub(super) struct Amount {
    pub(super) number: u64,
    pub(super) unit: Unit,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    Comparisons,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Comparisons => "comparisons",
        })
    }
}
