//! Warnings and hints about a query and its samples, in the words of Prometheus.

use std::{collections::BTreeSet, sync::Mutex};

use crate::number::format_float;

/// Maximum number of different warnings, and of different hints, of a query.
const MAX_ANNOTATIONS: usize = 10;

/// Warnings and hints.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    texts: Mutex<Texts>,
}

#[derive(Debug, Default)]
struct Texts {
    warnings: BTreeSet<String>,
    infos: BTreeSet<String>,
}

fn add(texts: &mut BTreeSet<String>, text: String) {
    if texts.len() < MAX_ANNOTATIONS {
        texts.insert(text);
    }
}

impl Annotations {
    /// Adds a doubt about the query or the samples.
    pub(crate) fn warn(&self, text: &str) {
        if let Ok(mut texts) = self.texts.lock() {
            add(&mut texts.warnings, format!("PromQL warning: {text}"));
        }
    }

    /// Adds a hint.
    pub(crate) fn inform(&self, text: &str) {
        if let Ok(mut texts) = self.texts.lock() {
            add(&mut texts.infos, format!("PromQL info: {text}"));
        }
    }

    /// Returns the warnings and the hints.
    pub(crate) fn into_texts(self) -> (Vec<String>, Vec<String>) {
        let texts = self.texts.into_inner().unwrap_or_default();
        (texts.warnings.into_iter().collect(), texts.infos.into_iter().collect())
    }

    pub(crate) fn warn_quantile(&self, quantile: f64) {
        if !(0.0..=1.0).contains(&quantile) {
            let value = format_float(quantile);
            self.warn(&format!("quantile value should be between 0 and 1, got {value}"));
        }
    }

    pub(crate) fn warn_mixed_samples(&self, metric: &str) {
        let text = "encountered a mix of histograms and floats for metric name";
        self.warn(&format!("{text} {metric:?}"));
    }

    pub(crate) fn warn_mixed_schemas(&self, metric: &str) {
        let text = "vector contains a mix of histograms with exponential and custom buckets \
                    schemas for metric name";
        self.warn(&format!("{text} {metric:?}"));
    }

    pub(crate) fn warn_no_counter(&self, metric: &str) {
        self.warn(&format!("this native histogram metric is not a counter: {metric:?}"));
    }

    pub(crate) fn warn_no_gauge(&self, metric: &str) {
        self.warn(&format!("this native histogram metric is not a gauge: {metric:?}"));
    }

    pub(crate) fn inform_reconciled_bounds(&self, operation: &str) {
        self.inform(&format!("mismatched custom buckets were reconciled during {operation}"));
    }

    pub(crate) fn inform_ignored_histogram(&self, aggregation: &str) {
        self.inform(&format!("ignored histogram in {aggregation} aggregation"));
    }

    pub(crate) fn inform_ignored_in_range(&self, metric: &str) {
        let text = "ignored histograms in a range containing both floats and histograms for \
                    metric name";
        self.inform(&format!("{text} {metric:?}"));
    }
}
