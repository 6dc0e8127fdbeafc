//! The functions, with the same result types for tags and fields.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, new_empty_array, new_null_array};
use arrow::compute::{is_null, nullif};
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion_functions_json::udfs;

/// `json_get_json`: the JSON text of a value. The operator `->`.
pub(super) static GET: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| JsonFunction::udf(udfs::json_get_json_udf(), DataType::Utf8, &["json_get"]));

/// `json_as_text`: a string without quotes, or the JSON text of another value. The operator `->>`.
pub(super) static AS_TEXT: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| JsonFunction::udf(udfs::json_as_text_udf(), DataType::Utf8, &[]));

/// `json_contains`: whether there is a value. The operator `?`.
pub(super) static CONTAINS: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| JsonFunction::udf(udfs::json_contains_udf(), DataType::Boolean, &[]));

/// `json_get_bool`.
pub(super) static GET_BOOL: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| JsonFunction::udf(udfs::json_get_bool_udf(), DataType::Boolean, &[]));

/// `json_get_float`.
pub(super) static GET_FLOAT: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| JsonFunction::udf(udfs::json_get_float_udf(), DataType::Float64, &[]));

/// `json_get_int`.
pub(super) static GET_INT: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| JsonFunction::udf(udfs::json_get_int_udf(), DataType::Int64, &[]));

pub(crate) fn json_functions() -> Vec<Arc<ScalarUDF>> {
    let texts = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let others = [
        (udfs::json_get_str_udf(), DataType::Utf8),
        (udfs::json_get_array_udf(), texts.clone()),
        (udfs::json_length_udf(), DataType::UInt64),
        (udfs::json_object_keys_udf(), texts),
    ];
    let mut functions: Vec<Arc<ScalarUDF>> = vec![
        Arc::clone(&GET),
        Arc::clone(&AS_TEXT),
        Arc::clone(&CONTAINS),
        Arc::clone(&GET_BOOL),
        Arc::clone(&GET_FLOAT),
        Arc::clone(&GET_INT),
    ];
    functions.extend(others.map(|(inner, result)| JsonFunction::udf(inner, result, &[])));
    functions
}

/// A function whose result is no dictionary, and has no metadata. Without it, tags would have other types than fields.
#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonFunction {
    inner: Arc<ScalarUDF>,
    result: DataType,
    aliases: Vec<String>,
}

impl JsonFunction {
    /// Returns a function with additional names.
    fn udf(inner: Arc<ScalarUDF>, result: DataType, names: &[&str]) -> Arc<ScalarUDF> {
        let names = names.iter().map(|name| (*name).to_owned());
        Arc::new(ScalarUDF::from(Self {
            aliases: inner.aliases().iter().cloned().chain(names).collect(),
            inner,
            result,
        }))
    }
}

impl ScalarUDFImpl for JsonFunction {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        // The type of a placeholder without a value is null.
        let text_of_null = |given: &DataType| {
            if given.is_null() {
                DataType::Utf8
            } else {
                given.clone()
            }
        };
        let types: Vec<DataType> = types.iter().map(text_of_null).collect();
        self.inner.return_type(&types)?;
        Ok(self.result.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if args.number_rows == 0 {
            return Ok(ColumnarValue::Array(new_empty_array(&self.result)));
        }
        let values: Vec<ColumnarValue> = args.args.into_iter().map(with_text_of_null).collect();
        // Without a document, the other functions have no value. This one returns false, except for tags.
        let is_contains = self.name() == "json_contains";
        let document = values.first().filter(|_| is_contains).cloned();
        // The wrapper of the implementation would compare its result with the type of this function.
        let value = self
            .inner
            .inner()
            .invoke_with_args(ScalarFunctionArgs { args: values, ..args })?;
        let result = match value {
            ColumnarValue::Scalar(ScalarValue::Dictionary(_, value)) => {
                ColumnarValue::Scalar(*value).cast_to(&self.result, None)
            }
            value => value.cast_to(&self.result, None),
        }?;
        match document {
            Some(document) => with_nulls_of(&document, result),
            None => Ok(result),
        }
    }
}

/// Returns booleans that are null where the documents are.
fn with_nulls_of(documents: &ColumnarValue, booleans: ColumnarValue) -> Result<ColumnarValue> {
    match (documents, booleans) {
        (ColumnarValue::Scalar(document), _) if document.is_null() => {
            Ok(ColumnarValue::Scalar(ScalarValue::Boolean(None)))
        }
        (ColumnarValue::Array(documents), ColumnarValue::Array(booleans))
            if documents.logical_null_count() > 0 =>
        {
            let is_missing = is_null(documents.as_ref())?;
            Ok(ColumnarValue::Array(nullif(booleans.as_ref(), &is_missing)?))
        }
        (_, booleans) => Ok(booleans),
    }
}

/// Gives nulls without a type the type of text.
fn with_text_of_null(value: ColumnarValue) -> ColumnarValue {
    match value {
        ColumnarValue::Scalar(ScalarValue::Null) => ColumnarValue::Scalar(ScalarValue::Utf8(None)),
        ColumnarValue::Array(array) if array.data_type().is_null() => {
            ColumnarValue::Array(new_null_array(&DataType::Utf8, array.len()))
        }
        value => value,
    }
}
