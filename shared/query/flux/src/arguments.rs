//! The arguments of a call.

use crate::{
    Constant, FluxDuration, FluxError, Span,
    value::{FunctionValue, Value},
};
use std::sync::Arc;

/// The arguments of a call that are not used yet.
#[derive(Debug)]
pub(crate) struct Arguments {
    function: String,
    pub(crate) span: Span,
    values: Vec<(String, Value, Span)>,
}

impl Arguments {
    /// Creates the arguments of a call of a function.
    pub(crate) fn new(function: String, span: Span) -> Self {
        Self { function, span, values: Vec::new() }
    }

    pub(crate) fn add(&mut self, name: &str, value: Value, span: Span) -> Result<(), FluxError> {
        if self.values.iter().any(|(other, ..)| other == name) {
            let text = format!("the argument \"{name}\" is given twice");
            return Err(FluxError::new(span, text));
        }
        self.values.push((name.to_owned(), value, span));
        Ok(())
    }

    /// Returns an error about the call.
    pub(crate) fn error(&self, message: &str) -> FluxError {
        FluxError::new(self.span, format!("{}(): {message}", self.function))
    }

    /// Refuses arguments that were not used.
    pub(crate) fn check_all_used(&self) -> Result<(), FluxError> {
        match self.values.first() {
            None => Ok(()),
            Some((name, _, span)) => {
                let text = format!(
                    "the argument \"{name}\" of {}() does not exist or is not supported",
                    self.function
                );
                Err(FluxError::new(*span, text))
            }
        }
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<(Value, Span)> {
        let at = self.values.iter().position(|(other, ..)| other == name)?;
        let (_, value, span) = self.values.remove(at);
        Some((value, span))
    }

    /// Takes an argument that must be given.
    pub(crate) fn required_value(&mut self, name: &str) -> Result<Value, FluxError> {
        match self.take(name) {
            Some((value, _)) => Ok(value),
            None => Err(self.missing(name)),
        }
    }

    fn missing(&self, name: &str) -> FluxError {
        self.error(&format!("missing required argument \"{name}\""))
    }

    /// Takes an argument that has a type, if it is given.
    fn typed<T>(
        &mut self,
        name: &str,
        expected: &str,
        convert: impl FnOnce(Value) -> Result<T, Value>,
    ) -> Result<Option<T>, FluxError> {
        let Some((value, span)) = self.take(name) else {
            return Ok(None);
        };
        convert(value).map(Some).map_err(|value| {
            let text = format!(
                "the argument \"{name}\" of {}() must be a {expected}, not a {}",
                self.function,
                value.type_name()
            );
            FluxError::new(span, text)
        })
    }

    /// Takes a string.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, FluxError> {
        self.typed(name, "string", into_text)
    }

    /// Takes a string that must be given.
    pub(crate) fn required_text(&mut self, name: &str) -> Result<String, FluxError> {
        self.text(name)?.ok_or_else(|| self.missing(name))
    }

    /// Takes a list of strings.
    pub(crate) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, FluxError> {
        self.typed(name, "list of strings", |value| match value {
            Value::Array(elements) => elements.into_iter().map(into_text).collect(),
            other => Err(other),
        })
    }

    /// Takes a list of strings that must be given.
    pub(crate) fn required_texts(&mut self, name: &str) -> Result<Vec<String>, FluxError> {
        self.texts(name)?.ok_or_else(|| self.missing(name))
    }

    /// Takes a boolean.
    pub(crate) fn boolean(&mut self, name: &str) -> Result<Option<bool>, FluxError> {
        self.typed(name, "bool", |value| match value {
            Value::Constant(Constant::Boolean(value)) => Ok(value),
            other => Err(other),
        })
    }

    /// Takes a number of rows.
    pub(crate) fn count(&mut self, name: &str) -> Result<Option<u64>, FluxError> {
        let span = self.span;
        let number = self.typed(name, "int", |value| match value {
            Value::Constant(Constant::Integer(number)) => Ok(number),
            other => Err(other),
        })?;
        number
            .map(u64::try_from)
            .transpose()
            .map_err(|_| FluxError::new(span, format!("the argument \"{name}\" is negative")))
    }

    /// Takes a number of rows that must be given.
    pub(crate) fn required_count(&mut self, name: &str) -> Result<u64, FluxError> {
        self.count(name)?.ok_or_else(|| self.missing(name))
    }

    /// Takes a duration.
    pub(crate) fn duration(&mut self, name: &str) -> Result<Option<FluxDuration>, FluxError> {
        self.typed(name, "duration", |value| match value {
            Value::Duration(duration) => Ok(duration),
            other => Err(other),
        })
    }

    /// Takes a duration that must be given.
    pub(crate) fn required_duration(&mut self, name: &str) -> Result<FluxDuration, FluxError> {
        self.duration(name)?.ok_or_else(|| self.missing(name))
    }

    /// Takes a time as [`Self::time`] does, which must be given.
    pub(crate) fn required_time(&mut self, name: &str, now: i64) -> Result<i64, FluxError> {
        self.time(name, now)?.ok_or_else(|| self.missing(name))
    }

    /// Takes a time, in nanoseconds since the Unix epoch: a time, a duration from `now`, or seconds since the Unix epoch.
    pub(crate) fn time(&mut self, name: &str, now: i64) -> Result<Option<i64>, FluxError> {
        let Some((value, span)) = self.take(name) else {
            return Ok(None);
        };
        let nanos = match value {
            Value::Constant(Constant::Time(nanos)) => Some(nanos),
            Value::Duration(duration) => duration.after(now),
            Value::Constant(Constant::Integer(seconds)) => seconds.checked_mul(1_000_000_000),
            Value::Builtin(builtin) if builtin.name == "now" => Some(now),
            other => {
                let text = format!(
                    "the argument \"{name}\" of {}() must be a time or a duration, not a {}",
                    self.function,
                    other.type_name()
                );
                return Err(FluxError::new(span, text));
            }
        };
        let out_of_range = || {
            let text = "the time is out of range: times are in the years 1677 to 2262";
            FluxError::new(span, text)
        };
        nanos.map(Some).ok_or_else(out_of_range)
    }

    /// Takes a function of the query with one parameter.
    pub(crate) fn function(&mut self, name: &str) -> Result<Option<Arc<FunctionValue>>, FluxError> {
        self.typed(name, "function of one parameter", |value| match value {
            Value::Function(function) if function.parameters.len() == 1 => Ok(function),
            other => Err(other),
        })
    }

    /// Takes a function of the query that must be given.
    pub(crate) fn required_function(
        &mut self,
        name: &str,
    ) -> Result<Arc<FunctionValue>, FluxError> {
        self.function(name)?.ok_or_else(|| self.missing(name))
    }
}

fn into_text(value: Value) -> Result<String, Value> {
    match value {
        Value::Constant(Constant::Text(text)) => Ok(text),
        other => Err(other),
    }
}
