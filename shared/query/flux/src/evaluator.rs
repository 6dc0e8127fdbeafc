//! The evaluator: statements to the pipelines of the results.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Constant, FluxError, Pipeline, Span,
    arguments::Arguments,
    ast::{Expr, ExprKind, Statement},
    extern_file,
    functions::{self, FunctionKind, unsupported},
    parser,
    value::{BuiltinName, FunctionValue, Value},
};

/// The maximum length of a query in bytes. The syntax tree of a query is some hundred times as large.
pub const MAX_TEXT_BYTES: usize = 256 << 10;

/// The maximum number of elements of values that variables stand for, counted at each use.
const MAX_ELEMENTS: usize = 100_000;

/// The maximum number of results, because each one is a query.
const MAX_RESULTS: usize = 100;

/// The name of a result that the query does not name.
const DEFAULT_RESULT: &str = "_result";

/// The values that a query has from its request.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The time of `now()`, in nanoseconds since the Unix epoch.
    pub now: i64,
    /// A syntax tree in InfluxDB's JSON, whose statements come before those of the query.
    pub extern_file: Option<serde_json::Value>,
    /// The record `params`.
    pub params: BTreeMap<String, serde_json::Value>,
}

/// The results of a query, in their order. There is at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// The results. Their names differ.
    pub results: Vec<ResultTables>,
}

/// A result of a query.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultTables {
    /// The name.
    pub name: String,
    /// The pipeline of its tables.
    pub pipeline: Pipeline,
}

/// Compiles a query.
///
/// # Errors
/// The query is no Flux, is outside of the subset, or exceeds a limit.
///
/// # Examples
///
/// ```
/// use neap_flux::{Environment, compile};
///
/// let text = r#"from(bucket: "home") |> range(start: -1h) |> filter(fn: (r) => r._field == "temp") |> mean()"#;
/// let program = compile(text, Environment::default())?;
/// assert_eq!(program.results[0].name, "_result");
/// assert_eq!(program.results[0].pipeline.steps.len(), 3);
///
/// let error = compile("from(bucket: \"home\") |> derivative(unit: 1s)", Environment::default()).unwrap_err();
/// assert!(error.to_string().starts_with("error @1:25-1:35: derivative() is not supported"));
/// # Ok::<(), neap_flux::FluxError>(())
/// ```
pub fn compile(text: &str, environment: Environment) -> Result<Program, FluxError> {
    if text.len() > MAX_TEXT_BYTES {
        let text = format!("the query has more than {MAX_TEXT_BYTES} bytes");
        return Err(FluxError::new(Span::default(), text));
    }
    let mut evaluator = Evaluator {
        now: environment.now,
        variables: BTreeMap::new(),
        results: Vec::new(),
        elements: 0,
    };
    if let Some(file) = &environment.extern_file {
        evaluator.run(extern_file::statements(file)?)?;
    }
    if !environment.params.is_empty() {
        let params = extern_file::record(environment.params)?;
        evaluator.variables.insert("params".to_owned(), params);
    }
    evaluator.run(parser::parse(text)?)?;
    if evaluator.results.is_empty() {
        let text = "this Flux script returns no streaming data. Consider adding a \"yield\" or invoking \
                    streaming functions directly, without performing an assignment";
        return Err(FluxError::new(Span::default(), text));
    }
    Ok(Program { results: evaluator.results })
}

/// The state of a query whose statements are evaluated.
#[derive(Debug)]
pub(crate) struct Evaluator {
    /// The time of `now()`.
    pub(crate) now: i64,
    variables: BTreeMap<String, Value>,
    results: Vec<ResultTables>,
    /// The number of elements of all values so far.
    elements: usize,
}

impl Evaluator {
    fn run(&mut self, statements: Vec<Statement>) -> Result<(), FluxError> {
        statements.into_iter().try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: Statement) -> Result<(), FluxError> {
        match statement {
            Statement::Import { alias, path, span } => {
                let last = path.rsplit('/').next().unwrap_or_default();
                let name = alias.unwrap_or_else(|| last.to_owned());
                if name.is_empty() {
                    return Err(FluxError::new(span, "the path of the package is empty"));
                }
                self.variables.insert(name, Value::Package(path));
            }
            Statement::Option { name, value } => self.option(name, &value)?,
            Statement::Assignment { name, value } => {
                let evaluated = self.evaluate(&value)?;
                self.variables.insert(name, evaluated);
            }
            Statement::Expression(expr) => {
                let value = self.evaluate(&expr)?;
                let is_named = is_yield(&expr);
                if let Value::Tables(pipeline) = value
                    && !is_named
                {
                    self.add_result(expr.span, DEFAULT_RESULT.to_owned(), pipeline)?;
                }
            }
        }
        Ok(())
    }

    fn option(&mut self, name: String, value: &Expr) -> Result<(), FluxError> {
        match name.as_str() {
            "now" => {
                let time = match self.evaluate(value)? {
                    Value::Function(function) if function.parameters.is_empty() => {
                        self.evaluate(&function.body)?
                    }
                    other => other,
                };
                match time {
                    Value::Constant(Constant::Time(nanos)) => self.now = nanos,
                    Value::Builtin(name) if name.name == "now" => {}
                    _ => {
                        let text = "the option now must be a function of a time: () => 2024-01-01T00:00:00Z";
                        return Err(FluxError::new(value.span, text));
                    }
                }
            }
            "location" => {
                let text = "the option location is not supported: windows are in UTC; in SQL: \
                            date_bin_wallclock(INTERVAL '1 day', tz(time, 'Europe/Paris'))";
                return Err(FluxError::new(value.span, text));
            }
            _ => {
                let evaluated = self.evaluate(value)?;
                self.variables.insert(name, evaluated);
            }
        }
        Ok(())
    }

    pub(crate) fn add_result(
        &mut self,
        span: Span,
        name: String,
        pipeline: Pipeline,
    ) -> Result<(), FluxError> {
        if self.results.iter().any(|result| result.name == name) {
            let text = format!(
                "tried to produce more than one result with the name \"{name}\"; name each one by yield()"
            );
            return Err(FluxError::new(span, text));
        }
        if self.results.len() >= MAX_RESULTS {
            let text = format!("the query has more than {MAX_RESULTS} results");
            return Err(FluxError::new(span, text));
        }
        self.results.push(ResultTables { name, pipeline });
        Ok(())
    }

    /// Evaluates an expression outside of a row.
    pub(crate) fn evaluate(&mut self, expr: &Expr) -> Result<Value, FluxError> {
        let value = match &expr.kind {
            ExprKind::Identifier(name) => self.variable(name, expr.span)?,
            ExprKind::Boolean(value) => Value::Constant(Constant::Boolean(*value)),
            ExprKind::Integer(number) => Value::Constant(Constant::Integer(*number)),
            ExprKind::Float(number) => Value::Constant(Constant::Float(*number)),
            ExprKind::Text(text) => Value::Constant(Constant::Text(text.clone())),
            ExprKind::Time(nanos) => Value::Constant(Constant::Time(*nanos)),
            ExprKind::Duration(duration) => Value::Duration(*duration),
            ExprKind::Regex(pattern) => Value::Regex(pattern.clone()),
            ExprKind::Array(elements) => {
                let values = elements.iter().map(|element| self.evaluate(element));
                Value::Array(values.collect::<Result<_, _>>()?)
            }
            ExprKind::Record { with, properties } => {
                if with.is_some() {
                    let text = "records outside of map() can't extend others";
                    return Err(FluxError::new(expr.span, text));
                }
                let values = properties.iter().map(|(name, value)| {
                    let evaluated = self.evaluate(value)?;
                    Ok((name.clone(), evaluated))
                });
                Value::Record(values.collect::<Result<_, FluxError>>()?)
            }
            ExprKind::Function { parameters, body } => Value::Function(Arc::new(FunctionValue {
                parameters: parameters.clone(),
                body: Expr::clone(body),
            })),
            ExprKind::Member { object, name } => self.member(object, name, expr.span)?,
            ExprKind::Call { callee, arguments } => {
                self.call(callee, arguments, None, expr.span)?
            }
            ExprKind::Pipe { source, calls } => self.pipe(source, calls)?,
            ExprKind::Negate(operand) => self.negated(operand, expr.span)?,
            ExprKind::Not(_)
            | ExprKind::Exists(_)
            | ExprKind::And(_)
            | ExprKind::Or(_)
            | ExprKind::Binary { .. }
            | ExprKind::Conditional { .. } => {
                let text = "operators are supported in filter() and map() only";
                return Err(FluxError::new(expr.span, text));
            }
        };
        self.elements += value.size();
        if self.elements > MAX_ELEMENTS {
            let text = format!("the values of the query have more than {MAX_ELEMENTS} elements");
            return Err(FluxError::new(expr.span, text));
        }
        Ok(value)
    }

    fn variable(&self, name: &str, span: Span) -> Result<Value, FluxError> {
        if let Some(value) = self.variables.get(name) {
            return Ok(value.clone());
        }
        let builtin = BuiltinName { package: String::new(), name: name.to_owned() };
        if functions::kind(&builtin).is_some() {
            return Ok(Value::Builtin(builtin));
        }
        Err(unsupported(&builtin, span))
    }

    fn member(&mut self, object: &Expr, name: &str, span: Span) -> Result<Value, FluxError> {
        match self.evaluate(object)? {
            Value::Package(package) => {
                Ok(Value::Builtin(BuiltinName { package, name: name.to_owned() }))
            }
            Value::Record(properties) => {
                let property = properties.into_iter().find(|(other, _)| other == name);
                property.map(|(_, value)| value).ok_or_else(|| {
                    FluxError::new(span, format!("the record has no property \"{name}\""))
                })
            }
            other => {
                let text = format!("a {} has no property \"{name}\"", other.type_name());
                Err(FluxError::new(span, text))
            }
        }
    }

    fn negated(&mut self, operand: &Expr, span: Span) -> Result<Value, FluxError> {
        let out_of_range = || FluxError::new(span, "the value is out of range");
        match self.evaluate(operand)? {
            Value::Duration(duration) => {
                duration.checked_neg().map(Value::Duration).ok_or_else(out_of_range)
            }
            Value::Constant(Constant::Integer(number)) => {
                let negated = number.checked_neg().map(Constant::Integer);
                negated.map(Value::Constant).ok_or_else(out_of_range)
            }
            Value::Constant(Constant::Float(number)) => {
                Ok(Value::Constant(Constant::Float(-number)))
            }
            other => {
                let text = format!("a {} can't be negated", other.type_name());
                Err(FluxError::new(span, text))
            }
        }
    }

    fn pipe(&mut self, source: &Expr, calls: &[Expr]) -> Result<Value, FluxError> {
        let mut value = self.evaluate(source)?;
        for call in calls {
            if let ExprKind::Call { callee, arguments } = &call.kind {
                value = self.call(callee, arguments, Some(value), call.span)?;
            }
        }
        Ok(value)
    }

    /// Calls a function, with the value before the pipe operator.
    fn call(
        &mut self,
        callee: &Expr,
        arguments: &[(String, Expr)],
        piped: Option<Value>,
        span: Span,
    ) -> Result<Value, FluxError> {
        let name = match self.evaluate(callee)? {
            Value::Builtin(name) => name,
            Value::Function(_) => {
                let text = "calls of functions that the query defines are not supported";
                return Err(FluxError::new(callee.span, text));
            }
            other => {
                let text = format!("a {} can't be called", other.type_name());
                return Err(FluxError::new(callee.span, text));
            }
        };
        let Some(kind) = functions::kind(&name) else {
            return Err(unsupported(&name, callee.span));
        };
        let mut evaluated = Arguments::new(name.shown(), span);
        for (label, argument) in arguments {
            let value = self.evaluate(argument)?;
            evaluated.add(label, value, argument.span)?;
        }
        let value = match kind {
            FunctionKind::Source if piped.is_some() => {
                let text = format!("{}() takes no tables", name.shown());
                return Err(FluxError::new(span, text));
            }
            FunctionKind::Source => self.source(&name, &mut evaluated)?,
            FunctionKind::Transformation => {
                let tables = match piped {
                    Some(tables) => tables,
                    None => evaluated.required_value("tables")?,
                };
                let Value::Tables(pipeline) = tables else {
                    let text = format!("{}() takes tables: write it after |>", name.shown());
                    return Err(FluxError::new(span, text));
                };
                Value::Tables(self.transformed(&name, pipeline, &mut evaluated)?)
            }
        };
        evaluated.check_all_used()?;
        Ok(value)
    }
}

/// Returns whether an expression ends with a call that names its result.
fn is_yield(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Pipe { calls, .. } => calls.last().is_some_and(is_yield),
        ExprKind::Call { callee, .. } => {
            matches!(&callee.kind, ExprKind::Identifier(name) if name == "yield")
        }
        _ => false,
    }
}
