//! `influx_regex_match` and `influx_regex_not_match`: the operators `~` and `!~` as functions.

use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
    binary_expr,
};

/// `influx_regex_match` or `influx_regex_not_match`. The optimizer replaces it with its operator.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct RegexMatch {
    negated: bool,
    signature: Signature,
}

impl RegexMatch {
    pub(crate) fn new(negated: bool) -> Self {
        Self {
            negated,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for RegexMatch {
    fn name(&self) -> &str {
        if self.negated {
            "influx_regex_not_match"
        } else {
            "influx_regex_match"
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types.len() {
            2 => Ok(vec![DataType::Utf8; 2]),
            n => plan_err!("{} takes a string and a pattern, not {n} arguments", self.name()),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let operator = if self.negated {
            Operator::RegexNotMatch
        } else {
            Operator::RegexMatch
        };
        match <[Expr; 2]>::try_from(args) {
            Ok([text, pattern]) => {
                Ok(ExprSimplifyResult::Simplified(binary_expr(text, operator, pattern)))
            }
            Err(args) => Ok(ExprSimplifyResult::Original(args)),
        }
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{} must be replaced by an operator before it is executed", self.name())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{session, table};

    #[tokio::test]
    async fn functions_are_the_operators() {
        insta::assert_snapshot!(table(&session(), "
            SELECT DISTINCT room, influx_regex_match(room, '^K') AS k, influx_regex_not_match(room, 'n$') AS not_n
            FROM home ORDER BY room").await, @r"
        | room        | k     | not_n |
        | Kitchen     | true  | false |
        | Living Room | false | true  |
        ");
    }
}
