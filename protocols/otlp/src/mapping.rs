//! How data becomes rows: the choices of a request.

use std::str::FromStr;

use thiserror::Error;

/// The tables and columns of metrics, as the prometheus input of Telegraf has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MetricSchema {
    /// A table for each metric.
    #[default]
    PrometheusV1,
    /// One table, `prometheus`, with a field for each metric.
    PrometheusV2,
}

/// The name of a schema is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown schema of metrics '{0}': use prometheus-v1 or prometheus-v2")]
pub(crate) struct UnknownSchema(String);

impl FromStr for MetricSchema {
    type Err = UnknownSchema;

    /// Parses the names in Telegraf, and those in the OpenTelemetry Collector, which begin with `telegraf-`.
    fn from_str(text: &str) -> Result<Self, UnknownSchema> {
        match text.strip_prefix("telegraf-").unwrap_or(text) {
            "prometheus-v1" => Ok(Self::PrometheusV1),
            "prometheus-v2" => Ok(Self::PrometheusV2),
            _ => Err(UnknownSchema(text.to_owned())),
        }
    }
}

/// The choices of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MappingOptions {
    pub(crate) metric_schema: MetricSchema,
    /// The attributes of spans that become tags.
    pub(crate) span_dimensions: Vec<String>,
    /// The attributes of log records that become tags.
    pub(crate) log_record_dimensions: Vec<String>,
}

impl Default for MappingOptions {
    /// The defaults of Telegraf's opentelemetry input.
    fn default() -> Self {
        Self {
            metric_schema: MetricSchema::default(),
            span_dimensions: vec!["service.name".to_owned(), "span.name".to_owned()],
            log_record_dimensions: vec!["service.name".to_owned()],
        }
    }
}
