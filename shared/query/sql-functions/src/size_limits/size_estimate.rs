//! Estimates the size of a call's result from its arguments.

use std::fmt;

use datafusion::common::Result;
use datafusion::logical_expr::ScalarFunctionArgs;

use super::arguments::CallArguments;
use super::operators::{CONCATENATION, CONSTANT, PATTERN};
use super::{lists, ranges, texts};

/// The rule that computes the size of a function's result from its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SizeEstimator {
    /// `array_repeat(element, n)`.
    ArrayRepeat,
    /// `array_replace(array, from, to)`, and its variants that replace several occurrences.
    ArrayReplace,
    /// `array_resize(array, n[, element])`.
    ArrayResize,
    /// `array_to_string(array, separator[, null])`.
    ArrayToString,
    /// `array_values(text)` and `array_shape(text)`: the elements of an array that is stored as text.
    ArrayText,
    /// `arrays_zip(array…)`: pads all arrays to the longest.
    ArraysZip,
    /// `array_has_all(array, array)` and `array_has_any`: compare each element with each element of the other array.
    Compare,
    /// `concat_ws(separator, text…)`.
    ConcatWs,
    /// `encode(bytes, encoding)`: twice the bytes.
    Encode,
    /// `levenshtein(a, b)`: compares each character with each character of the other text.
    Levenshtein,
    /// `lpad(text, n[, fill])` and `rpad`.
    Pad,
    /// A function with a pattern per row. The number is the index of the pattern argument.
    Patterns(usize),
    /// `range([from, ]to[, step])`, which excludes `to`, and `generate_series`, which includes it.
    Range { inclusive: bool },
    /// `regexp_replace(text, pattern, replacement[, flags])`.
    RegexpReplace,
    /// `repeat(text, n)`.
    Repeat,
    /// `replace(text, from, to)`.
    Replace,
    /// `string_to_array(text, separator[, null])`.
    StringToArray,
    /// The total size of all arguments.
    Sum,
    /// `to_char(time, format)`.
    ToChar,
}

impl SizeEstimator {
    /// Returns the rule for a function name, or `None` if the result is not much larger than the arguments, even
    /// with nested calls.
    pub(super) fn for_function(function: &str) -> Option<Self> {
        Some(match function {
            "array_repeat" => Self::ArrayRepeat,
            "array_replace" | "array_replace_n" | "array_replace_all" => Self::ArrayReplace,
            "array_resize" => Self::ArrayResize,
            "array_to_string" => Self::ArrayToString,
            "array_values" | "array_shape" => Self::ArrayText,
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
            // Not larger than their arguments. Without a limit, errors of their arguments would be internal errors of DataFusion.
            "array_slice" | "to_local_time" => Self::Sum,
            _ => return None,
        })
    }

    /// Returns whether the estimate is a worst case that the actual result can be far below.
    pub(super) fn is_worst_case(self) -> bool {
        matches!(
            self,
            Self::ArrayText
                | Self::ArrayToString
                | Self::RegexpReplace
                | Self::StringToArray
                | Self::ToChar
        )
    }

    /// Returns whether a call over constants is no larger than the statement text. Such calls need no limit in
    /// planning.
    pub(super) fn is_list_literal(function: &str) -> bool {
        function == "make_array"
    }

    /// Estimates the total size of the results of a call for all its rows.
    pub(super) fn amount(self, call: &ScalarFunctionArgs) -> Result<CostEstimate> {
        let args = CallArguments::new(call)?;
        let number = match self {
            Self::ArrayRepeat => args.sum(lists::repeat),
            Self::ArrayReplace => args.sum(lists::replace),
            Self::ArrayResize => args.sum(lists::resize),
            Self::ArrayToString => lists::to_string(&args)?,
            Self::ArrayText => args.sum(texts::array_elements),
            Self::ArraysZip => args.sum(lists::zip),
            Self::Compare => args.sum(lists::compare),
            Self::ConcatWs => args.sum(texts::concat_ws),
            Self::Encode => args.sum(texts::encode),
            Self::Levenshtein => args.sum(texts::levenshtein),
            Self::Pad => args.sum(texts::pad),
            Self::Range { inclusive } => ranges::bytes(&args, inclusive)?,
            Self::Patterns(argument) => texts::patterns(&args, argument),
            Self::RegexpReplace => {
                args.sum(texts::regexp_replace).saturating_add(texts::patterns(&args, 1))
            }
            Self::Repeat => args.sum(texts::repeat),
            Self::Replace => texts::replace(&args),
            Self::StringToArray => args.sum(texts::split),
            Self::Sum => args.total(),
            Self::ToChar => args.sum(texts::to_char),
        };
        let unit = match self {
            Self::Compare | Self::Levenshtein => CostUnit::Comparisons,
            _ => CostUnit::Bytes,
        };
        Ok(CostEstimate { number, unit })
    }
}

/// An estimated amount of work.
pub(super) struct CostEstimate {
    pub(super) number: u64,
    pub(super) unit: CostUnit,
}

/// The unit of an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CostUnit {
    Bytes,
    Comparisons,
}

impl fmt::Display for CostUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Comparisons => "comparisons",
        })
    }
}
