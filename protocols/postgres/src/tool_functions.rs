//! The functions of PostgreSQL that tools call, besides those of `datafusion-pg-catalog`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::{ScalarValue, exec_err},
    logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf},
};
use neap_query::QueryEngine;

use crate::variables::Variables;

/// Functions and types of PostgreSQL whose names do not begin with `pg_`.
pub(crate) const FUNCTION_NAMES: [&str; 24] = [
    "array_lower",
    "array_upper",
    "col_description",
    "current_catalog",
    "current_database",
    "current_role",
    "current_schema",
    "current_schemas",
    "current_setting",
    "current_user",
    "format_type",
    "has_any_column_privilege",
    "has_database_privilege",
    "has_schema_privilege",
    "has_table_privilege",
    "obj_description",
    "quote_ident",
    "regclass",
    "regtype",
    "session_user",
    "shobj_description",
    "to_regclass",
    "to_regtype",
    "version",
];

/// The answer of `version()`. Clients look for the name and the number.
const VERSION_TEXT: &str = concat!("PostgreSQL 16.6 (Neap ", env!("CARGO_PKG_VERSION"), ")");

/// Returns the functions whose answers depend on the connection, or are the same for all arguments: Neap has no comments,
/// functions of users, indexes and triggers.
pub(crate) fn connection_functions(
    database: &str,
    user: &str,
    variables: Variables,
) -> Vec<ScalarUDF> {
    let [schema, ..] = QueryEngine::SCHEMAS;
    let schemas = ScalarValue::new_list_nullable(&[ScalarValue::from(schema)], &DataType::Utf8);
    let (no_text, no_id) = (ScalarValue::Utf8(None), ScalarValue::Int32(None));
    let (yes, no) = (ScalarValue::from(true), ScalarValue::from(false));
    let (id, text) = (DataType::Int32, DataType::Utf8);
    let answers: [(&str, &[&DataType], ScalarValue); 20] = [
        ("current_database", &[], ScalarValue::from(database)),
        ("current_schema", &[], ScalarValue::from(schema)),
        (
            "current_schemas",
            &[&DataType::Boolean],
            ScalarValue::List(schemas),
        ),
        ("session_user", &[], ScalarValue::from(user)),
        ("version", &[], ScalarValue::from(VERSION_TEXT)),
        ("pg_is_in_recovery", &[], no),
        ("pg_function_is_visible", &[&id], yes.clone()),
        ("pg_type_is_visible", &[&id], yes),
        ("pg_get_function_arguments", &[&id], no_text.clone()),
        (
            "pg_get_function_identity_arguments",
            &[&id],
            no_text.clone(),
        ),
        ("pg_get_function_result", &[&id], no_text.clone()),
        ("pg_get_functiondef", &[&id], no_text.clone()),
        ("pg_get_indexdef", &[&id], no_text.clone()),
        ("pg_get_triggerdef", &[&id], no_text.clone()),
        ("pg_get_viewdef", &[&id], no_text.clone()),
        ("obj_description", &[&id, &text], no_text.clone()),
        ("shobj_description", &[&id, &text], no_text.clone()),
        ("col_description", &[&id, &id], no_text),
        ("to_regclass", &[&text], no_id.clone()),
        ("to_regtype", &[&text], no_id),
    ];
    let constants = answers.into_iter().map(|(name, arguments, answer)| {
        let types = arguments.iter().map(|data_type| (*data_type).clone());
        constant(name, types.collect(), answer)
    });
    constants.chain([current_setting(variables)]).collect()
}

/// Returns a function with the same answer for all arguments.
fn constant(name: &str, arguments: Vec<DataType>, answer: ScalarValue) -> ScalarUDF {
    let data_type = answer.data_type();
    let function = move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(answer.clone()));
    create_udf(
        name,
        arguments,
        data_type,
        Volatility::Stable,
        Arc::new(function),
    )
}

/// Returns the function that reads a variable of the session.
fn current_setting(variables: Variables) -> ScalarUDF {
    let function = move |arguments: &[ColumnarValue]| {
        let [ColumnarValue::Scalar(ScalarValue::Utf8(Some(name)))] = arguments else {
            return exec_err!("current_setting needs the name of a variable as a text");
        };
        match variables.get(name) {
            Ok(value) => Ok(ColumnarValue::Scalar(ScalarValue::from(value))),
            Err(error) => exec_err!("{error}"),
        }
    };
    create_udf(
        "current_setting",
        vec![DataType::Utf8],
        DataType::Utf8,
        Volatility::Stable,
        Arc::new(function),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variables::SERVER_VERSION;

    #[test]
    fn the_version_is_that_of_the_variable() {
        assert!(VERSION_TEXT.contains(SERVER_VERSION));
    }
}
