//! The text format of Prometheus.

use std::fmt::{Display, Write};

/// Writes the samples of one metric.
#[derive(Debug)]
pub struct SampleWriter<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl<'a> SampleWriter<'a> {
    pub(crate) fn new(text: &'a mut String, name: &'static str) -> Self {
        Self { text, name }
    }

    /// Adds a sample with these labels and their values.
    pub fn add(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.add_part("", labels, value);
    }

    /// Adds a sample under the name of the metric with a suffix.
    pub(crate) fn add_part(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let mut separator = '{';
        for (label, value) in labels {
            self.text.push(separator);
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(self.text, value);
            self.text.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        // Writing to a string does not fail.
        writeln!(self.text, " {value}").ok();
    }
}

fn escape(text: &mut String, value: &str) {
    for char in value.chars() {
        match char {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            char => text.push(char),
        }
    }
}

/// Writes the `HELP` and `TYPE` lines of a metric.
pub(crate) fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    // Writing to a string does not fail.
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}").ok();
}
