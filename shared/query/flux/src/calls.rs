//! Functions of tables: calls to operations.

use std::sync::Arc;

use crate::{
    Aggregate, ColumnChoice, Constant, FluxDuration, FluxError, GroupMode, Operation, Pipeline,
    Pivot, Selector, Step, TimeSource, WindowFunction, WindowedAggregate,
    arguments::Arguments,
    evaluator::Evaluator,
    sources::range,
    value::{BuiltinName, Value},
};

/// The maximum number of operations in a pipeline.
const MAX_STEPS: usize = 100;

const VALUE: &str = "_value";

impl Evaluator {
    /// Adds the operations of a call to a pipeline.
    pub(crate) fn transformed(
        &mut self,
        name: &BuiltinName,
        mut pipeline: Pipeline,
        arguments: &mut Arguments,
    ) -> Result<Pipeline, FluxError> {
        let span = arguments.span;
        if name.name == "yield" {
            let result = arguments.text("name")?.unwrap_or_else(|| "_result".to_owned());
            self.add_result(span, result, pipeline.clone())?;
            return Ok(pipeline);
        }
        for operation in self.operations(&name.name, arguments)? {
            pipeline.steps.push(Arc::new(Step { span, operation }));
        }
        if pipeline.steps.len() > MAX_STEPS {
            let text = format!("the pipeline has more than {MAX_STEPS} operations");
            return Err(FluxError::new(span, text));
        }
        Ok(pipeline)
    }

    fn operations(
        &mut self,
        name: &str,
        arguments: &mut Arguments,
    ) -> Result<Vec<Operation>, FluxError> {
        let operation = match name {
            "range" => {
                let start = arguments.required_time("start", self.now)?;
                let stop = arguments.time("stop", self.now)?.unwrap_or(self.now);
                range(arguments, start, stop)?
            }
            "filter" => {
                let function = arguments.required_function("fn")?;
                match arguments.text("onEmpty")?.as_deref() {
                    None | Some("drop") => {}
                    Some(_) => return Err(arguments.error("only onEmpty: \"drop\" is supported")),
                }
                Operation::Filter(self.row_function(&function)?)
            }
            "group" => group(arguments)?,
            "sort" => Operation::Sort {
                columns: arguments.texts("columns")?.unwrap_or_else(|| vec![VALUE.to_owned()]),
                descending: arguments.boolean("desc")?.unwrap_or(false),
            },
            "limit" => Operation::Limit {
                rows: arguments.required_count("n")?,
                offset: arguments.count("offset")?.unwrap_or(0),
            },
            "tail" => Operation::Tail {
                rows: arguments.required_count("n")?,
                offset: arguments.count("offset")?.unwrap_or(0),
            },
            "top" | "bottom" => {
                let columns = arguments.texts("columns")?;
                let sort = Operation::Sort {
                    columns: columns.unwrap_or_else(|| vec![VALUE.to_owned()]),
                    descending: name == "top",
                };
                let rows = arguments.required_count("n")?;
                return Ok(vec![sort, Operation::Limit { rows, offset: 0 }]);
            }
            "keep" => Operation::Keep(self.columns(arguments)?),
            "drop" => Operation::Drop(self.columns(arguments)?),
            "rename" => rename(arguments)?,
            "map" => {
                let function = arguments.required_function("fn")?;
                Operation::Map(self.map_function(&function)?)
            }
            "pivot" => pivot(arguments)?,
            "fieldsAsCols" => Operation::Pivot(Pivot {
                row_key: vec!["_time".to_owned()],
                column_key: "_field".to_owned(),
                value_column: VALUE.to_owned(),
            }),
            "distinct" => Operation::Distinct(column(arguments)?),
            "aggregateWindow" => Operation::Window(window(arguments)?),
            other => match window_function(other) {
                Some(WindowFunction::Aggregate(function)) => {
                    Operation::Aggregate { function, column: column(arguments)? }
                }
                Some(WindowFunction::Select(selector)) => {
                    Operation::Select { selector, column: column(arguments)? }
                }
                None => return Err(arguments.error("the function is not supported")),
            },
        };
        Ok(vec![operation])
    }

    /// Returns the columns of `keep()` and `drop()`.
    fn columns(&mut self, arguments: &mut Arguments) -> Result<ColumnChoice, FluxError> {
        if let Some(names) = arguments.texts("columns")? {
            return Ok(ColumnChoice::Names(names));
        }
        let function = arguments.required_function("fn")?;
        Ok(ColumnChoice::Condition(self.name_function(&function)?))
    }
}

/// Returns the column that a function is of.
fn column(arguments: &mut Arguments) -> Result<String, FluxError> {
    Ok(arguments.text("column")?.unwrap_or_else(|| VALUE.to_owned()))
}

fn group(arguments: &mut Arguments) -> Result<Operation, FluxError> {
    let columns = arguments.texts("columns")?.unwrap_or_default();
    let mode = match arguments.text("mode")?.as_deref() {
        None | Some("by") => GroupMode::By,
        Some("except") => GroupMode::Except,
        Some(_) => return Err(arguments.error("the mode must be \"by\" or \"except\"")),
    };
    Ok(Operation::Group { columns, mode })
}

fn rename(arguments: &mut Arguments) -> Result<Operation, FluxError> {
    let Value::Record(properties) = arguments.required_value("columns")? else {
        return Err(arguments.error("only columns: {former: \"new\"} is supported"));
    };
    let names = properties.into_iter().map(|(former, new)| match new {
        Value::Constant(Constant::Text(new)) => Ok((former, new)),
        _ => Err(arguments.error("the new name of a column must be a string")),
    });
    Ok(Operation::Rename(names.collect::<Result<_, _>>()?))
}

fn pivot(arguments: &mut Arguments) -> Result<Operation, FluxError> {
    let row_key = arguments.required_texts("rowKey")?;
    let column_keys = arguments.required_texts("columnKey")?;
    let value_column = arguments.required_text("valueColumn")?;
    let column_key = match <[String; 1]>::try_from(column_keys) {
        Ok([only]) if only == "_field" => only,
        _ => {
            let text = "only columnKey: [\"_field\"] is supported; in SQL: max(value) FILTER (WHERE tag = 'a') \
                        AS a, … GROUP BY time";
            return Err(arguments.error(text));
        }
    };
    if row_key.is_empty() {
        return Err(arguments.error("the argument \"rowKey\" is empty"));
    }
    if row_key.contains(&column_key) {
        return Err(arguments.error("column name found in both rowKey and columnKey: _field"));
    }
    Ok(Operation::Pivot(Pivot { row_key, column_key, value_column }))
}

fn window(arguments: &mut Arguments) -> Result<WindowedAggregate, FluxError> {
    let every = arguments.required_duration("every")?;
    if !every.is_interval() {
        let text = "the argument \"every\" must be longer than nothing, and have either months or shorter units";
        return Err(arguments.error(text));
    }
    if arguments
        .duration("period")?
        .is_some_and(|period| period != every && period != FluxDuration::default())
    {
        return Err(arguments.error("only periods as long as \"every\" are supported"));
    }
    let offset = arguments.duration("offset")?.unwrap_or_default();
    if offset.months != 0 {
        return Err(arguments.error("offsets with months are not supported"));
    }
    let named = match arguments.required_value("fn")? {
        Value::Builtin(name) if name.package.is_empty() => window_function(&name.name),
        _ => None,
    };
    let function = named.ok_or_else(|| {
        arguments
            .error("the argument \"fn\" must be one of count, first, last, max, mean, min, sum")
    })?;
    let time_source = match arguments.text("timeSrc")?.as_deref() {
        None | Some("_stop") => TimeSource::Stop,
        Some("_start") => TimeSource::Start,
        Some(_) => {
            return Err(arguments.error("only timeSrc \"_start\" and \"_stop\" are supported"));
        }
    };
    if arguments.text("timeDst")?.is_some_and(|column| column != "_time") {
        return Err(arguments.error("only timeDst \"_time\" is supported"));
    }
    Ok(WindowedAggregate {
        every,
        offset: offset.nanos,
        function,
        column: column(arguments)?,
        time_source,
        creates_empty: arguments.boolean("createEmpty")?.unwrap_or(true),
    })
}

fn window_function(name: &str) -> Option<WindowFunction> {
    Some(match name {
        "count" => WindowFunction::Aggregate(Aggregate::Count),
        "mean" => WindowFunction::Aggregate(Aggregate::Mean),
        "sum" => WindowFunction::Aggregate(Aggregate::Sum),
        "first" => WindowFunction::Select(Selector::First),
        "last" => WindowFunction::Select(Selector::Last),
        "max" => WindowFunction::Select(Selector::Max),
        "min" => WindowFunction::Select(Selector::Min),
        _ => return None,
    })
}
