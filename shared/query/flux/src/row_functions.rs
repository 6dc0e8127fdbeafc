//! Functions of rows: their bodies as expressions over columns.

use crate::{
    Constant, FluxError, MapFunction, RowExpr, RowExprKind, Span, ValueType,
    ast::{BinaryOperator, Expr, ExprKind},
    evaluator::Evaluator,
    value::{FunctionValue, Value},
};

/// The column of an expression over the name of a column.
const NAME: &str = "column";

/// The meaning of the parameter of a function.
#[derive(Clone, Copy, Debug)]
enum Parameter<'a> {
    /// A row, whose columns are its properties.
    Row(&'a str),
    /// The name of a column.
    Name(&'a str),
}

impl Evaluator {
    /// Returns the body of a function of a row.
    pub(crate) fn row_function(&mut self, function: &FunctionValue) -> Result<RowExpr, FluxError> {
        let parameter = Parameter::Row(parameter(function));
        self.row_expr(&function.body, parameter)
    }

    /// Returns the body of a function of the name of a column.
    pub(crate) fn name_function(&mut self, function: &FunctionValue) -> Result<RowExpr, FluxError> {
        let parameter = Parameter::Name(parameter(function));
        self.row_expr(&function.body, parameter)
    }

    /// Returns the record that a function makes of a row.
    pub(crate) fn map_function(
        &mut self,
        function: &FunctionValue,
    ) -> Result<MapFunction, FluxError> {
        let row = parameter(function);
        let body = &function.body;
        let ExprKind::Record { with, properties } = &body.kind else {
            let text = "the function of map() must return a record: (r) => ({r with name: value})";
            return Err(FluxError::new(body.span, text));
        };
        if with.as_ref().is_some_and(|extended| extended != row) {
            let text = "the record must extend the row that the function gets";
            return Err(FluxError::new(body.span, text));
        }
        let columns = properties.iter().map(|(name, value)| {
            let computed = self.row_expr(value, Parameter::Row(row))?;
            Ok((name.clone(), computed))
        });
        Ok(MapFunction {
            columns: columns.collect::<Result<_, FluxError>>()?,
            extends: with.is_some(),
        })
    }

    fn row_expr(&mut self, expr: &Expr, row: Parameter<'_>) -> Result<RowExpr, FluxError> {
        let span = expr.span;
        let kind = match &expr.kind {
            ExprKind::Identifier(name) => match row {
                Parameter::Name(parameter) if name == parameter => {
                    RowExprKind::Column(NAME.to_owned())
                }
                Parameter::Row(parameter) if name == parameter => {
                    let text = "a row is no value; name one of its columns";
                    return Err(FluxError::new(span, text));
                }
                _ => self.constant(expr)?,
            },
            ExprKind::Member { object, name } if is_row(object, row) => {
                RowExprKind::Column(name.clone())
            }
            ExprKind::Exists(operand) => match &operand.kind {
                ExprKind::Member { object, name } if is_row(object, row) => {
                    RowExprKind::Exists(name.clone())
                }
                _ => {
                    let text = "exists is supported for columns of the row only";
                    return Err(FluxError::new(span, text));
                }
            },
            ExprKind::Not(operand) => RowExprKind::Not(Box::new(self.row_expr(operand, row)?)),
            ExprKind::Negate(operand) if !is_number(operand) => {
                RowExprKind::Negate(Box::new(self.row_expr(operand, row)?))
            }
            ExprKind::And(operands) => RowExprKind::And(self.row_exprs(operands, row)?),
            ExprKind::Or(operands) => RowExprKind::Or(self.row_exprs(operands, row)?),
            ExprKind::Binary { operator, left, right } => {
                self.binary(*operator, left, right, row)?
            }
            ExprKind::Conditional { test, then, otherwise } => {
                RowExprKind::Conditional(Box::new([
                    self.row_expr(test, row)?,
                    self.row_expr(then, row)?,
                    self.row_expr(otherwise, row)?,
                ]))
            }
            ExprKind::Call { callee, arguments } => match &callee.kind {
                ExprKind::Identifier(name) => match row_function_name(name) {
                    Some(function) => self.row_call(function, name, arguments, span, row)?,
                    None => self.constant(expr)?,
                },
                _ => self.constant(expr)?,
            },
            _ => self.constant(expr)?,
        };
        Ok(RowExpr { span, kind })
    }

    fn row_exprs(&mut self, exprs: &[Expr], row: Parameter<'_>) -> Result<Vec<RowExpr>, FluxError> {
        exprs.iter().map(|expr| self.row_expr(expr, row)).collect()
    }

    /// Evaluates an expression that has no column.
    fn constant(&mut self, expr: &Expr) -> Result<RowExprKind, FluxError> {
        match self.evaluate(expr)? {
            Value::Constant(constant) => Ok(RowExprKind::Constant(constant)),
            other => {
                let text = format!("a {} can't be a value of a row", other.type_name());
                Err(FluxError::new(expr.span, text))
            }
        }
    }

    fn binary(
        &mut self,
        operator: BinaryOperator,
        left: &Expr,
        right: &Expr,
        row: Parameter<'_>,
    ) -> Result<RowExprKind, FluxError> {
        let value = Box::new(self.row_expr(left, row)?);
        Ok(match operator {
            BinaryOperator::Comparison(comparison) => {
                RowExprKind::Compare(comparison, value, Box::new(self.row_expr(right, row)?))
            }
            BinaryOperator::Arithmetic(arithmetic) => {
                RowExprKind::Arithmetic(arithmetic, value, Box::new(self.row_expr(right, row)?))
            }
            BinaryOperator::Matches | BinaryOperator::NotMatches => RowExprKind::Match {
                value,
                pattern: self.pattern(right)?,
                matches: operator == BinaryOperator::Matches,
            },
        })
    }

    /// Returns the pattern of a valid regular expression.
    fn pattern(&mut self, expr: &Expr) -> Result<String, FluxError> {
        let Value::Regex(pattern) = self.evaluate(expr)? else {
            let text = "expected a regular expression after =~ and !~";
            return Err(FluxError::new(expr.span, text));
        };
        match regex::Regex::new(&pattern) {
            Ok(_) => Ok(pattern),
            Err(error) => {
                let text = error.to_string();
                // The last line of an error of syntax is the reason.
                let reason = text.lines().last().unwrap_or_default();
                let text = format!("invalid regular expression /{pattern}/: {reason}");
                Err(FluxError::new(expr.span, text))
            }
        }
    }

    fn row_call(
        &mut self,
        function: RowFunction,
        name: &str,
        arguments: &[(String, Expr)],
        span: Span,
        row: Parameter<'_>,
    ) -> Result<RowExprKind, FluxError> {
        let named = |wanted: &str| {
            let mut matching = arguments.iter().filter(|(other, _)| other == wanted);
            matching.next().map(|(_, value)| value)
        };
        let wrong = |expected: &str| FluxError::new(span, format!("{name}() takes {expected}"));
        match function {
            RowFunction::Convert(to) => match (named("v"), arguments) {
                (Some(value), [_]) => {
                    Ok(RowExprKind::Convert(to, Box::new(self.row_expr(value, row)?)))
                }
                _ => Err(wrong("one argument, \"v\"")),
            },
            RowFunction::Contains => match (named("value"), named("set"), arguments) {
                (Some(value), Some(set), [_, _]) => {
                    let searched = Box::new(self.row_expr(value, row)?);
                    Ok(RowExprKind::Contains(searched, self.constants(set)?))
                }
                _ => Err(wrong("two arguments, \"value\" and \"set\"")),
            },
        }
    }

    fn constants(&mut self, expr: &Expr) -> Result<Vec<Constant>, FluxError> {
        let error = || FluxError::new(expr.span, "expected a list of constants");
        let Value::Array(elements) = self.evaluate(expr)? else {
            return Err(error());
        };
        let constants = elements.into_iter().map(|element| match element {
            Value::Constant(constant) => Ok(constant),
            _ => Err(error()),
        });
        constants.collect()
    }
}

/// A function of values of a row.
#[derive(Clone, Copy, Debug)]
enum RowFunction {
    Convert(ValueType),
    Contains,
}

fn row_function_name(name: &str) -> Option<RowFunction> {
    Some(match name {
        "contains" => RowFunction::Contains,
        "float" => RowFunction::Convert(ValueType::Float),
        "int" => RowFunction::Convert(ValueType::Integer),
        "string" => RowFunction::Convert(ValueType::Text),
        "uint" => RowFunction::Convert(ValueType::Unsigned),
        _ => return None,
    })
}

/// Returns the name of the only parameter of a function.
fn parameter(function: &FunctionValue) -> &str {
    function.parameters.first().map(String::as_str).unwrap_or_default()
}

fn is_row(object: &Expr, row: Parameter<'_>) -> bool {
    match (&object.kind, row) {
        (ExprKind::Identifier(name), Parameter::Row(parameter)) => name == parameter,
        _ => false,
    }
}

/// Whether an expression is a number, which is negated at once.
fn is_number(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Integer(_) | ExprKind::Float(_))
}
