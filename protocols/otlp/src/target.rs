//! What the headers and the query string of a request choose: the database, and how data becomes rows.

use http::{HeaderMap, HeaderName, Uri};
use neap_catalog::{CatalogError, validate_database_name};
use neap_http::{
    ApiError, Caller, Kind, last_parameter, named_database, parse_query, requested_order,
    requested_stamp,
};
use neap_rows::line_protocol::Precision;
use neap_write::{WriteOptions, WriteService, authorize_write};

use crate::mapping::MappingOptions;

/// The query parameters that name the database.
const DATABASE_PARAMETERS: [&str; 3] = ["db", "bucket", "database"];

/// The choices of the mapping, as query parameters and as headers.
const METRICS_SCHEMA: (&str, HeaderName) =
    ("metrics_schema", HeaderName::from_static("x-neap-metrics-schema"));
const SPAN_DIMENSIONS: (&str, HeaderName) =
    ("span_dimensions", HeaderName::from_static("x-neap-span-dimensions"));
const LOG_RECORD_DIMENSIONS: (&str, HeaderName) =
    ("log_record_dimensions", HeaderName::from_static("x-neap-log-record-dimensions"));

/// Maximum number of dimensions.
const MAX_DIMENSIONS: usize = 64;

/// Where a request is stored, and how.
#[derive(Clone, Debug)]
pub(crate) struct ExportTarget {
    pub(crate) database: String,
    pub(crate) mapping: MappingOptions,
    pub(crate) options: WriteOptions,
}

impl ExportTarget {
    /// Resolves the choices of a request, and checks the permission of its sender.
    ///
    /// # Errors
    /// A choice is malformed, no database is named, or the sender lacks the permission.
    pub(crate) async fn resolve(
        service: &WriteService,
        caller: &Caller,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<Self, ApiError> {
        let default = service.settings().default_database.as_deref();
        let choices = RequestChoices { headers, parameters: parse_query(uri)? };
        let database = choices.database(default)?;
        validate_database_name(&database).map_err(CatalogError::from)?;
        let options = WriteOptions {
            precision: Precision::Nanosecond,
            accept_partial: true,
            after: requested_stamp(headers)?,
            order: requested_order(headers)?,
            only: authorize_write(service, caller, &database).await?,
            ..WriteOptions::default()
        };
        Ok(Self { mapping: choices.mapping()?, database, options })
    }
}

/// The headers and the query parameters of a request.
struct RequestChoices<'a> {
    headers: &'a HeaderMap,
    parameters: Vec<(String, String)>,
}

impl RequestChoices<'_> {
    fn database(&self, default: Option<&str>) -> Result<String, ApiError> {
        let parameters = self
            .parameters
            .iter()
            .filter(|(name, _)| DATABASE_PARAMETERS.contains(&name.as_str()));
        let values = parameters.map(|(_, value)| value.as_str());
        let named = named_database(self.headers, values)?;
        named.or(default).map(str::to_owned).ok_or_else(|| {
            invalid(
                "no database: name one with the header 'database' or the query parameter 'db', or start the server with \
                 --default-database",
            )
        })
    }

    fn mapping(&self) -> Result<MappingOptions, ApiError> {
        let mut mapping = MappingOptions::default();
        if let Some(schema) = self.choice(&METRICS_SCHEMA)? {
            let schema = schema.parse();
            mapping.metric_schema = schema
                .map_err(|error: crate::mapping::UnknownSchema| invalid(error.to_string()))?;
        }
        if let Some(names) = self.choice(&SPAN_DIMENSIONS)? {
            mapping.span_dimensions = dimensions(names)?;
        }
        if let Some(names) = self.choice(&LOG_RECORD_DIMENSIONS)? {
            mapping.log_record_dimensions = dimensions(names)?;
        }
        Ok(mapping)
    }

    /// Returns the query parameter or the header of a choice.
    fn choice(&self, (parameter, header): &(&str, HeaderName)) -> Result<Option<&str>, ApiError> {
        if let Some(value) = last_parameter(&self.parameters, parameter) {
            return Ok(Some(value));
        }
        self.headers
            .get(header)
            .map(|value| text(header.as_str(), value.as_bytes()))
            .transpose()
    }
}

/// Parses names of attributes that are separated by commas.
fn dimensions(text: &str) -> Result<Vec<String>, ApiError> {
    let mut names: Vec<String> = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if names.len() == MAX_DIMENSIONS {
            return Err(invalid(format!(
                "more than {MAX_DIMENSIONS} attributes are chosen as tags"
            )));
        }
        if names.iter().any(|other| other == name) {
            return Err(invalid(format!("the attribute '{name}' is chosen twice")));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn text<'a>(header: &str, value: &'a [u8]) -> Result<&'a str, ApiError> {
    std::str::from_utf8(value).map_err(|_| invalid(format!("header {header} is not a text")))
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::text(Kind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::mapping::MetricSchema;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        HeaderMap::from_iter(pairs)
    }

    fn database(
        pairs: &[(&'static str, &'static str)],
        query: &str,
        default: Option<&str>,
    ) -> Result<String, String> {
        let choices = RequestChoices {
            headers: &headers(pairs),
            parameters: parse_query(&format!("/v1/logs{query}").parse().unwrap()).unwrap(),
        };
        let database = choices.database(default);
        database.map_err(|error| error.message().to_owned())
    }

    fn mapping(
        pairs: &[(&'static str, &'static str)],
        query: &str,
    ) -> Result<MappingOptions, String> {
        let choices = RequestChoices {
            headers: &headers(pairs),
            parameters: parse_query(&format!("/v1/logs{query}").parse().unwrap()).unwrap(),
        };
        choices.mapping().map_err(|error| error.message().to_owned())
    }

    #[test]
    fn headers_and_parameters_name_the_database() {
        assert_eq!(database(&[("bucket-name", "a")], "", Some("d")), Ok("a".to_owned()));
        for name in DATABASE_PARAMETERS {
            assert_eq!(database(&[], &format!("?{name}=a%20b"), None), Ok("a b".to_owned()));
        }
        assert_eq!(database(&[], "?org=x", Some("d")), Ok("d".to_owned()));
        assert_eq!(database(&[("db", "")], "?db=", Some("d")), Ok("d".to_owned()));
        assert!(database(&[], "", None).unwrap_err().contains("no database"));
        assert_eq!(database(&[("bucket", "a")], "?db=a", None), Ok("a".to_owned()));
        let several = database(&[("bucket", "a")], "?db=b", None);
        assert_eq!(several.unwrap_err(), "the request names several databases");
    }

    #[test]
    fn parameters_override_headers_of_the_mapping() {
        assert_eq!(mapping(&[], "").unwrap(), MappingOptions::default());
        let chosen = mapping(
            &[
                ("x-neap-metrics-schema", "telegraf-prometheus-v2"),
                ("x-neap-span-dimensions", "a, b,"),
                ("x-neap-log-record-dimensions", "a"),
            ],
            "?log_record_dimensions=",
        )
        .unwrap();
        assert_eq!(chosen.metric_schema, MetricSchema::PrometheusV2);
        assert_eq!(chosen.span_dimensions, ["a", "b"]);
        assert!(chosen.log_record_dimensions.is_empty());
    }

    #[test]
    fn malformed_choices_are_refused() {
        let unknown = mapping(&[], "?metrics_schema=otel-v1").unwrap_err();
        insta::assert_snapshot!(unknown, @"unknown schema of metrics 'otel-v1': use prometheus-v1 or prometheus-v2");
        let twice = mapping(&[], "?span_dimensions=a,b,a").unwrap_err();
        assert_eq!(twice, "the attribute 'a' is chosen twice");
        let many: Vec<String> = (0..65).map(|n| n.to_string()).collect();
        assert!(mapping(&[], &format!("?span_dimensions={}", many.join(","))).is_err());
    }
}
