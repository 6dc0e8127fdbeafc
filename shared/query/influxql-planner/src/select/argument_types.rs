//! The types of the arguments that functions take.

use datafusion::common::{Result, plan_err};
use neap_schema::ColumnType;

use super::typed_expr::is_number;

/// Checks the type of a function's argument.
/// Fails with a planning error if the function does not take values of this type.
pub(super) fn check_type(function: &str, kind: ColumnType) -> Result<()> {
    let fits = match function {
        "count" | "first" | "last" | "mode" | "distinct" | "sample" | "elapsed" => true,
        "max" | "min" => is_number(kind) || kind == ColumnType::Boolean,
        _ => is_number(kind),
    };
    if fits {
        Ok(())
    } else {
        let name = match kind {
            ColumnType::String => "string",
            ColumnType::Boolean => "boolean",
            _ => "tag",
        };
        plan_err!("{function}() does not support fields of type {name}")
    }
}
