//! `neap query --language promql`: sends an expression, and prints the series of its result.

use std::{fmt::Write, path::Path};

use clap::{Args, error::ErrorKind};
use neap_query::AS_OF_HEADER;
use neap_server::console::Console;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{CommandError, CommandResult, options::OutputFormat, output};
use crate::{client::Client, times::time_for_server};

/// The times of an expression.
#[derive(Debug, Args)]
#[command(next_help_heading = "PromQL")]
pub(super) struct PromqlTimes {
    /// The time of the expression, such as 2026-01-31T12:00:00Z, or seconds since 1970. The default is the present.
    #[arg(long, value_name = "TIME", value_parser = time_of_expression, conflicts_with = "start")]
    time: Option<String>,

    /// The first time of a range, at which the expression is evaluated in steps.
    #[arg(long, value_name = "TIME", value_parser = time_of_expression, requires_all = ["end", "step"])]
    start: Option<String>,

    /// The last time of a range.
    #[arg(long, value_name = "TIME", value_parser = time_of_expression, requires = "start")]
    end: Option<String>,

    /// The time between the steps of a range, such as 1m, or seconds.
    #[arg(long, value_name = "DURATION", requires = "start")]
    step: Option<String>,
}

/// An expression for a server.
#[derive(Debug)]
pub(super) struct Expression<'a> {
    pub(super) database: &'a str,
    pub(super) text: &'a str,
    pub(super) times: &'a PromqlTimes,
    /// Time or stamp as of which the query is answered.
    pub(super) as_of: Option<&'a str>,
}

/// The answer of a server.
#[derive(Debug, Deserialize)]
struct PromqlAnswer {
    data: PromqlData,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct PromqlData {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}

impl PromqlTimes {
    /// Refuses times of a statement of another language.
    ///
    /// # Errors
    ///
    /// [`CommandError::Usage`].
    pub(super) fn check_unused(&self) -> CommandResult {
        if self.time.is_some() || self.start.is_some() {
            return Err(usage("--time, --start, --end and --step require --language promql"));
        }
        Ok(())
    }
}

impl Expression<'_> {
    /// Sends the expression, and prints its result or writes it into a file.
    pub(super) async fn run(
        &self,
        client: &Client,
        format: OutputFormat,
        output: Option<&Path>,
        console: &mut Console,
    ) -> CommandResult {
        let is_json = match format {
            OutputFormat::Pretty => false,
            OutputFormat::Json => true,
            OutputFormat::Jsonl | OutputFormat::Csv | OutputFormat::Parquet => {
                return Err(usage("the formats of PromQL are pretty and json"));
            }
        };
        let times = self.times;
        let path = if times.start.is_some() {
            "/api/v1/query_range"
        } else {
            "/api/v1/query"
        };
        let optional = [
            ("time", &times.time),
            ("start", &times.start),
            ("end", &times.end),
            ("step", &times.step),
        ];
        let mut form = vec![("db", self.database), ("query", self.text)];
        form.extend(optional.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
        let mut request = client.request(Method::POST, path).form(&form);
        if let Some(as_of) = self.as_of {
            request = request.header(AS_OF_HEADER, as_of);
        }
        let response = client.send(request).await?;
        if is_json {
            return output::deliver(client, response, format, output, console).await;
        }
        let answer: PromqlAnswer = client.read_json(response).await?;
        for note in answer.warnings.iter().chain(&answer.infos) {
            console.report_text(note);
        }
        let text = answer.data.text();
        match output {
            None if text.is_empty() => Ok(()),
            None => console.print_text(text.trim_end()).map_err(CommandError::Output),
            Some(path) => {
                std::fs::write(path, text).map_err(|error| CommandError::of_file(path, error))
            }
        }
    }
}

impl PromqlData {
    /// Returns the result as text: a line for each sample.
    fn text(&self) -> String {
        let mut text = String::new();
        let items = match (&*self.kind, &self.result) {
            ("vector" | "matrix", Value::Array(items)) => items.as_slice(),
            (kind, sample) => {
                push(&mut text, format_args!("{kind}: {}\n", sample_text(sample)));
                &[]
            }
        };
        for item in items {
            let name = series_name(item.get("metric").and_then(Value::as_object));
            for sample in ["value", "histogram"].iter().filter_map(|key| item.get(key)) {
                push(&mut text, format_args!("{name} => {}\n", sample_text(sample)));
            }
            let lists = ["values", "histograms"].iter().filter_map(|key| item.get(key));
            let mut samples = lists.filter_map(Value::as_array).flatten().peekable();
            if samples.peek().is_some() {
                push(&mut text, format_args!("{name} =>\n"));
            }
            for sample in samples {
                push(&mut text, format_args!("{}\n", sample_text(sample)));
            }
        }
        text
    }
}

/// Appends to a text, which does not fail.
fn push(text: &mut String, appended: std::fmt::Arguments<'_>) {
    text.write_fmt(appended).ok();
}

/// Returns the selector of a series: `up{instance="a:80"}`.
fn series_name(labels: Option<&Map<String, Value>>) -> String {
    let labels = labels.into_iter().flatten();
    let mut name = "";
    let mut matchers = Vec::new();
    for (label, value) in labels {
        if label == "__name__" {
            name = value.as_str().unwrap_or_default();
        } else {
            matchers.push(format!("{label}={value}"));
        }
    }
    if matchers.is_empty() && !name.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", matchers.join(", "))
    }
}

/// Returns a sample, a list of time and value: `1 @[1435781430.781]`.
fn sample_text(sample: &Value) -> String {
    let (time, value) = (sample.get(0), sample.get(1));
    let time = time.map(Value::to_string).unwrap_or_default();
    match value {
        Some(Value::String(value)) => format!("{value} @[{time}]"),
        Some(histogram) => format!("{histogram} @[{time}]"),
        None => String::new(),
    }
}

/// Returns a time as a server reads it: a date, a time, or seconds since 1970.
fn time_of_expression(text: &str) -> Result<String, String> {
    if text.parse::<f64>().is_ok() {
        return Ok(text.to_owned());
    }
    time_for_server(text).map_err(|expected| format!("{expected}, or seconds since 1970"))
}

fn usage(text: &str) -> CommandError {
    CommandError::Usage(clap::Error::raw(ErrorKind::ArgumentConflict, format!("{text}\n")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(kind: &str, result: Value) -> String {
        let data = PromqlData { kind: kind.to_owned(), result };
        data.text()
    }

    #[test]
    fn samples_have_a_line_each() {
        let up = json!({"__name__": "up", "instance": "a:80", "job": "api"});
        let vector = json!([
            {"metric": up, "value": [1.5, "1"]},
            {"metric": {"__name__": "load"}, "value": [1.5, "NaN"]},
            {"metric": {}, "histogram": [1.5, {"count": "1", "sum": "2"}]},
        ]);
        insta::assert_snapshot!(text("vector", vector), @r#"
        up{instance="a:80", job="api"} => 1 @[1.5]
        load => NaN @[1.5]
        {} => {"count":"1","sum":"2"} @[1.5]
        "#);
        let matrix = json!([{"metric": {"a": "b"}, "values": [[1, "1"], [2, "+Inf"]]}]);
        insta::assert_snapshot!(text("matrix", matrix), @r#"
        {a="b"} =>
        1 @[1]
        +Inf @[2]
        "#);
        assert_eq!(text("scalar", json!([1, "5"])), "scalar: 5 @[1]\n");
        assert_eq!(text("vector", json!([])), "");
    }
}
