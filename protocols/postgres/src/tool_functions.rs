//! The functions of PostgreSQL that tools call, besides those of `datafusion-pg-catalog`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::{
    common::{Result, ScalarValue, exec_err, scalar::ScalarStructBuilder},
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        TypeSignature, Volatility, create_udf,
        simplify::{ExprSimplifyResult, SimplifyContext},
    },
};
use neap_query::QueryEngine;

use crate::{format_function::FormatFunction, variables::SessionVariables};

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
/// functions of users, indexes, sequences, locks of clients and triggers.
pub(crate) fn connection_functions(
    database: &str,
    user: &str,
    variables: SessionVariables,
) -> Vec<ScalarUDF> {
    let [schema, ..] = QueryEngine::SCHEMAS;
    let (no_text, no_id) = (ScalarValue::Utf8(None), ScalarValue::Int32(None));
    let (yes, no) = (ScalarValue::from(true), ScalarValue::from(false));
    let numbered = ["x", "n"].map(|name| Field::new(name, DataType::Int32, true));
    let no_element = ScalarStructBuilder::new_null(numbered.to_vec());
    let answers = [
        ("_pg_expandarray", no_element),
        ("current_database", ScalarValue::from(database)),
        ("current_schema", ScalarValue::from(schema)),
        ("session_user", ScalarValue::from(user)),
        ("version", ScalarValue::from(VERSION_TEXT)),
        ("generate_subscripts", no_id.clone()),
        ("pg_advisory_unlock_all", ScalarValue::from("")),
        ("pg_is_in_recovery", no),
        ("pg_collation_is_visible", yes.clone()),
        ("pg_function_is_visible", yes.clone()),
        ("pg_type_is_visible", yes),
        ("pg_get_constraintdef", no_text.clone()),
        ("pg_get_function_arguments", no_text.clone()),
        ("pg_get_function_identity_arguments", no_text.clone()),
        ("pg_get_function_result", no_text.clone()),
        ("pg_get_functiondef", no_text.clone()),
        ("pg_get_indexdef", no_text.clone()),
        ("pg_get_serial_sequence", no_text.clone()),
        ("pg_get_triggerdef", no_text.clone()),
        ("pg_get_viewdef", no_text.clone()),
        ("pg_tablespace_location", no_text.clone()),
        ("obj_description", no_text.clone()),
        ("shobj_description", no_text.clone()),
        ("col_description", no_text),
        ("to_regclass", no_id.clone()),
        ("to_regtype", no_id),
    ];
    let constants =
        answers.into_iter().map(|(name, answer)| ConstantFunction::create(name, answer));
    let format = ScalarUDF::from(FormatFunction::default());
    let others = [current_schemas(schema), current_setting(variables), format];
    constants.chain(others).collect()
}

/// A function with the same answer for all arguments, of any number and type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ConstantFunction {
    name: &'static str,
    signature: Signature,
    answer: ScalarValue,
}

impl ConstantFunction {
    fn create(name: &'static str, answer: ScalarValue) -> ScalarUDF {
        let arguments = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
        ScalarUDF::from(Self {
            name,
            signature: Signature::one_of(arguments, Volatility::Stable),
            answer,
        })
    }
}

impl ScalarUDFImpl for ConstantFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.answer.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.answer.clone()))
    }

    /// Drops the arguments, which may be conversions that fail: names of tables are no object ids. An answer that is not
    /// null would change whether the expression may be null.
    fn simplify(&self, arguments: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(if self.answer.is_null() {
            ExprSimplifyResult::Simplified(Expr::Literal(self.answer.clone(), None))
        } else {
            ExprSimplifyResult::Original(arguments)
        })
    }
}

/// Returns the function that lists the schemas in which names are looked up, if its argument is true with that of the catalog.
fn current_schemas(schema: &str) -> ScalarUDF {
    let list = |names: &[&str]| {
        let values: Vec<ScalarValue> = names.iter().map(|name| ScalarValue::from(*name)).collect();
        ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Utf8))
    };
    let (all, own) = (list(&["pg_catalog", schema]), list(&[schema]));
    let data_type = all.data_type();
    let function = move |arguments: &[ColumnarValue]| {
        let with_catalog =
            matches!(arguments, [ColumnarValue::Scalar(ScalarValue::Boolean(Some(true)))]);
        let schemas = if with_catalog { &all } else { &own };
        Ok(ColumnarValue::Scalar(schemas.clone()))
    };
    create_udf(
        "current_schemas",
        vec![DataType::Boolean],
        data_type,
        Volatility::Stable,
        Arc::new(function),
    )
}

/// Returns the function that reads a variable of the session.
fn current_setting(variables: SessionVariables) -> ScalarUDF {
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
