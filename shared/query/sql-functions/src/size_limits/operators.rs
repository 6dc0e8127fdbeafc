//! The functions that stand for operators and constants in a plan for execution.

use std::sync::Arc;

use arrow::compute::kernels::concat_elements::concat_elements_dyn;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::common::utils::take_function_args;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl,
    Signature, Volatility,
};

/// The name of [`ConcatOperator`].
pub(super) const CONCATENATION: &str = "||";

/// The name of the function that checks the size of a large constant.
pub(super) const CONSTANT: &str = "constant";

/// The name of the function that checks the patterns of an operator.
pub(super) const PATTERN: &str = "pattern";

/// The operator `||` on strings, as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ConcatOperator {
    signature: Signature,
}

impl ConcatOperator {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ConcatOperator {
    fn name(&self) -> &str {
        CONCATENATION
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let [left, right] = take_function_args(CONCATENATION, args)?;
        let [left, right] = [left.clone(), right.clone()].map(Box::new);
        let operator = BinaryExpr::new(left, Operator::StringConcat, right);
        Ok(Expr::BinaryExpr(operator).schema_name().to_string())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [left, right] = take_function_args(CONCATENATION, types)?;
        BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_result_type()
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types = args.arg_fields.iter().map(|field| field.data_type().clone());
        let result = self.return_type(&types.collect::<Vec<_>>())?;
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(CONCATENATION, result, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = take_function_args(CONCATENATION, args.args)?;
        let left = left.into_array(args.number_rows)?;
        let right = right.into_array(args.number_rows)?;
        Ok(ColumnarValue::Array(concat_elements_dyn(&left, &right)?))
    }
}

/// Returns its argument unchanged. The wrapper around it checks the argument's size for every batch.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct PassThroughExpr {
    name: &'static str,
    signature: Signature,
}

impl PassThroughExpr {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for PassThroughExpr {
    fn name(&self) -> &str {
        self.name
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let [value] = take_function_args(self.name, args)?;
        Ok(value.schema_name().to_string())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [value] = take_function_args(self.name, types)?;
        Ok(value.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let [value] = take_function_args(self.name, args.arg_fields)?;
        Ok(Arc::clone(value))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = take_function_args(self.name, args.args)?;
        Ok(value)
    }
}
