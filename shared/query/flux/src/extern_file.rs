//! Values that a request has beside the text: a syntax tree in InfluxDB's JSON, in which clients send variables, and parameters.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::{
    Constant, FluxDuration, FluxError, Span,
    ast::{Expr, ExprKind, Statement},
    lexer::parse_time,
    value::Value,
};

fn error(message: impl Into<String>) -> FluxError {
    FluxError::new(Span::default(), message)
}

/// Returns the statements of a file, which all set variables.
pub(crate) fn statements(file: &Json) -> Result<Vec<Statement>, FluxError> {
    let statements = file.get("body").and_then(Json::as_array);
    let mut options = Vec::new();
    for statement in statements.into_iter().flatten() {
        let assignment = statement.get("assignment").unwrap_or(statement);
        // Options of packages, such as `profiler.enabledProfilers`, have no meaning here.
        if kind(assignment) == Some("MemberAssignment") {
            continue;
        }
        let option = option(assignment);
        let text = "extern may only set variables to constants";
        options.push(option.ok_or_else(|| error(text))?);
    }
    Ok(options)
}

fn kind(node: &Json) -> Option<&str> {
    node.get("type")?.as_str()
}

fn option(assignment: &Json) -> Option<Statement> {
    if kind(assignment)? != "VariableAssignment" {
        return None;
    }
    Some(Statement::Option {
        name: assignment.get("id")?.get("name")?.as_str()?.to_owned(),
        value: expr(assignment.get("init")?)?,
    })
}

/// Returns an expression; `None` if clients do not send such an expression. Integers and times are strings.
fn expr(node: &Json) -> Option<Expr> {
    let value = || node.get("value");
    let text = || value()?.as_str();
    let list = |name: &str| node.get(name)?.as_array();
    let read = match kind(node)? {
        "ArrayExpression" => {
            ExprKind::Array(list("elements")?.iter().map(expr).collect::<Option<_>>()?)
        }
        "BooleanLiteral" => ExprKind::Boolean(value()?.as_bool()?),
        "CallExpression" => ExprKind::Call {
            callee: Box::new(expr(node.get("callee")?)?),
            arguments: Vec::new(),
        },
        "DateTimeLiteral" => ExprKind::Time(parse_time(text()?)?),
        "DurationLiteral" => {
            let mut total = FluxDuration::default();
            for part in list("values")? {
                let unit = part.get("unit")?.as_str()?;
                let length = FluxDuration::from_unit(part.get("magnitude")?.as_i64()?, unit)?;
                total = total.checked_add(length)?;
            }
            ExprKind::Duration(total)
        }
        "FloatLiteral" => ExprKind::Float(value()?.as_f64()?),
        "Identifier" => ExprKind::Identifier(node.get("name")?.as_str()?.to_owned()),
        "IntegerLiteral" => ExprKind::Integer(text()?.parse().ok()?),
        "ObjectExpression" => {
            let properties = list("properties")?.iter().map(|property| {
                let key = property.get("key")?;
                let name = key.get("name").or_else(|| key.get("value"))?.as_str()?;
                Some((name.to_owned(), expr(property.get("value")?)?))
            });
            ExprKind::Record { with: None, properties: properties.collect::<Option<_>>()? }
        }
        "StringLiteral" => ExprKind::Text(text()?.to_owned()),
        "UnaryExpression" if node.get("operator")?.as_str()? == "-" => {
            ExprKind::Negate(Box::new(expr(node.get("argument")?)?))
        }
        _ => return None,
    };
    Expr::new(Span::default(), read).ok()
}

/// Returns the record of parameters.
pub(crate) fn record(params: BTreeMap<String, Json>) -> Result<Value, FluxError> {
    let properties = params.into_iter().map(|(name, value)| {
        let known = match &value {
            Json::Bool(value) => Some(Constant::Boolean(*value)),
            Json::String(text) => Some(Constant::Text(text.clone())),
            Json::Number(number) => {
                let integer = number.as_i64().map(Constant::Integer);
                integer.or_else(|| number.as_f64().map(Constant::Float))
            }
            _ => None,
        };
        match known {
            Some(constant) => Ok((name, Value::Constant(constant))),
            None => Err(error(format!(
                "the parameter \"{name}\" is neither a boolean, a number nor a string"
            ))),
        }
    });
    Ok(Value::Record(properties.collect::<Result<_, FluxError>>()?))
}
