//! Functions that return values without tables before them: sources of tables, and constants.

use std::sync::Arc;

use crate::{
    Comparison, Constant, FluxDuration, FluxError, Operation, Pipeline, RowExpr, RowExprKind,
    Source, Span, Step,
    arguments::Arguments,
    evaluator::Evaluator,
    lexer::parse_time,
    value::{BuiltinName, Value},
};

/// The time of which the functions of the package `schema` list names by default, in nanoseconds: 30 days.
const SCHEMA_NANOS: i64 = 30 * DAY_NANOS;

const DAY_NANOS: i64 = 86_400_000_000_000;

impl Evaluator {
    /// Returns the value of a call.
    pub(crate) fn source(
        &mut self,
        name: &BuiltinName,
        arguments: &mut Arguments,
    ) -> Result<Value, FluxError> {
        let tables = |source| Value::Tables(Pipeline { source, steps: Vec::new() });
        let time = |nanos| Value::Constant(Constant::Time(nanos));
        Ok(match name.name.as_str() {
            "from" => {
                let bucket = match arguments.text("bucketID")? {
                    Some(id) => id,
                    None => arguments.required_text("bucket")?,
                };
                tables(Source::Bucket(bucket))
            }
            "buckets" => tables(Source::Buckets),
            "now" => time(self.now),
            "today" => time(self.now - self.now.rem_euclid(DAY_NANOS)),
            "time" => time(converted_time(arguments)?),
            _ => Value::Tables(self.schema(&name.name, arguments)?),
        })
    }

    /// Returns the pipeline of a function of the package `schema`.
    fn schema(&mut self, name: &str, arguments: &mut Arguments) -> Result<Pipeline, FluxError> {
        let span = arguments.span;
        let bucket = arguments.required_text("bucket")?;
        let ago = FluxDuration { months: 0, nanos: -SCHEMA_NANOS };
        let earliest = ago.after(self.now).unwrap_or(i64::MIN);
        let start = arguments.time("start", self.now)?.unwrap_or(earliest);
        let stop = arguments.time("stop", self.now)?.unwrap_or(self.now);
        let mut operations = vec![range(arguments, start, stop)?];
        if name.starts_with("measurement") && name != "measurements" {
            let measurement = arguments.required_text("measurement")?;
            operations.push(Operation::Filter(has_measurement(measurement, span)));
        } else if let Some(predicate) = arguments.function("predicate")? {
            operations.push(Operation::Filter(self.row_function(&predicate)?));
        }
        operations.push(match name {
            "tagKeys" | "measurementTagKeys" => Operation::TagKeys,
            "fieldKeys" | "measurementFieldKeys" => Operation::TagValues("_field".to_owned()),
            "measurements" => Operation::TagValues("_measurement".to_owned()),
            _ => Operation::TagValues(arguments.required_text("tag")?),
        });
        let step = |operation| Arc::new(Step { span, operation });
        Ok(Pipeline {
            source: Source::Bucket(bucket),
            steps: operations.into_iter().map(step).collect(),
        })
    }
}

pub(crate) fn range(arguments: &Arguments, start: i64, stop: i64) -> Result<Operation, FluxError> {
    if start >= stop {
        return Err(arguments.error("cannot query an empty range"));
    }
    Ok(Operation::Range { start, stop })
}

fn has_measurement(measurement: String, span: Span) -> RowExpr {
    let node = |kind| RowExpr { span, kind };
    let column = node(RowExprKind::Column("_measurement".to_owned()));
    let name = node(RowExprKind::Constant(Constant::Text(measurement)));
    node(RowExprKind::Compare(Comparison::Equal, Box::new(column), Box::new(name)))
}

/// Returns the time of `time(v: x)`: that of a string, or of nanoseconds since the Unix epoch.
fn converted_time(arguments: &mut Arguments) -> Result<i64, FluxError> {
    match arguments.required_value("v")? {
        Value::Constant(Constant::Time(nanos) | Constant::Integer(nanos)) => Ok(nanos),
        Value::Constant(Constant::Text(text)) => {
            parse_time(&text).ok_or_else(|| arguments.error(&format!("\"{text}\" is not a time")))
        }
        other => {
            let text = format!("a {} can't be converted to a time", other.type_name());
            Err(arguments.error(&text))
        }
    }
}
