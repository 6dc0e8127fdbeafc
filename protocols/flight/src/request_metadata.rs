//! The metadata of a gRPC request: headers that choose the database, the language, the snapshot, and a deadline.

use std::time::Duration;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use neap_bucket::World;
use neap_catalog::origin;
use neap_http::{ApiError, Caller, DATABASE_HEADERS, Kind, named_database};
use neap_query::{ClientQuery, Language, QueryRequest, query_request};
use tonic::{Request, Status, metadata::MetadataMap};

use crate::status;

/// The header with the language of statements: `sql` or `influxql`.
const LANGUAGE_HEADER: HeaderName = HeaderName::from_static("x-influxdata-query-language");

/// The header with the type of tables in lists: `BASE TABLE` or `TABLE`.
const TABLE_TYPE_HEADER: HeaderName = HeaderName::from_static("x-influxdata-base-table-type");

/// The header with the maximum time of a request, such as `1500m`.
const TIMEOUT_HEADER: HeaderName = HeaderName::from_static("grpc-timeout");

#[derive(Clone, Debug)]
pub(crate) struct RequestMetadata {
    headers: HeaderMap,
    caller: Caller,
    /// Options of queries, without a statement.
    query: QueryRequest,
}

impl RequestMetadata {
    /// Reads the metadata of a request that the layers of `neap-http` admitted.
    ///
    /// # Errors
    /// `Unauthenticated` if the request has no caller, `InvalidArgument` if a header is malformed.
    pub(crate) fn from_request<T>(request: &Request<T>, world: &World) -> Result<Self, Status> {
        Self::from_parts(request.metadata(), request.extensions(), world)
    }

    fn from_parts(
        metadata: &MetadataMap,
        extensions: &Extensions,
        world: &World,
    ) -> Result<Self, Status> {
        let headers: &HeaderMap = metadata.as_ref();
        let caller = extensions
            .get::<Caller>()
            .cloned()
            .ok_or_else(|| Status::unauthenticated("Unauthenticated"))?;
        let mut query =
            query_request(headers, extensions).map_err(|error| status::of_api(&error))?;
        if let Some(timeout) = grpc_timeout(headers)? {
            let ends = world.clock.monotonic().saturating_add(timeout);
            query.ends = Some(query.ends.map_or(ends, |other| other.min(ends)));
        }
        Ok(Self { headers: headers.clone(), caller, query })
    }

    /// Returns the metadata with another database.
    ///
    /// # Errors
    /// `InvalidArgument`: the name can't be a header.
    pub(crate) fn with_database(&self, name: &str) -> Result<Self, Status> {
        let value = HeaderValue::from_str(name)
            .map_err(|_| Status::invalid_argument("the database name is not a text"))?;
        let mut changed = self.clone();
        for header in DATABASE_HEADERS {
            changed.headers.remove(header);
        }
        changed.headers.insert(DATABASE_HEADERS[0], value);
        Ok(changed)
    }

    /// The sender of the request.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The headers of the request.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The options of queries, without a statement.
    pub(crate) fn query_options(&self) -> &QueryRequest {
        &self.query
    }

    /// Returns the database that the headers name; `None` if they name none.
    ///
    /// # Errors
    /// `InvalidArgument`: the headers name several databases, or one that is not a text.
    pub(crate) fn database(&self) -> Result<Option<String>, Status> {
        let named = named_database(&self.headers, []).map_err(|error| status::of_api(&error))?;
        Ok(named.map(str::to_owned))
    }

    /// Returns the database that the headers name.
    ///
    /// # Errors
    /// `InvalidArgument`: the headers don't name one database.
    pub(crate) fn required_database(&self) -> Result<String, Status> {
        let database = self.database()?;
        database.ok_or_else(|| Status::invalid_argument("no 'database' header in request"))
    }

    /// Returns the value of a header; `None` if it is absent.
    ///
    /// # Errors
    /// `InvalidArgument`: the value is not a text.
    pub(crate) fn text(&self, name: &HeaderName) -> Result<Option<&str>, Status> {
        self.headers
            .get(name)
            .map(|value| std::str::from_utf8(value.as_bytes()))
            .transpose()
            .map_err(|_| Status::invalid_argument(format!("header {name} is not a text")))
    }

    /// Returns the language of statements.
    ///
    /// # Errors
    /// `InvalidArgument`: the language is unknown.
    pub(crate) fn language(&self) -> Result<Language, Status> {
        let value = self.headers.get(LANGUAGE_HEADER);
        match value.map(|value| value.as_bytes().to_ascii_lowercase()).as_deref() {
            None | Some(b"sql") => Ok(Language::Sql),
            Some(b"influxql") => Ok(Language::InfluxQl),
            Some(_) => Err(Status::invalid_argument(format!(
                "header {LANGUAGE_HEADER} is neither sql nor influxql"
            ))),
        }
    }

    /// Returns the type of tables in lists.
    ///
    /// # Errors
    /// `InvalidArgument`: the type is unknown.
    pub(crate) fn table_type(&self) -> Result<&'static str, Status> {
        match self.headers.get(TABLE_TYPE_HEADER).map(|value| value.as_bytes()) {
            None | Some(b"BASE TABLE") => Ok("BASE TABLE"),
            Some(b"TABLE") => Ok("TABLE"),
            Some(_) => Err(Status::invalid_argument(format!(
                "header {TABLE_TYPE_HEADER} is neither BASE TABLE nor TABLE"
            ))),
        }
    }

    /// Returns a statement of the sender.
    pub(crate) fn client_query(
        &self,
        database: String,
        language: Language,
        request: QueryRequest,
    ) -> ClientQuery {
        ClientQuery {
            caller: self.caller.clone(),
            origin: origin::current(),
            database: Some(database),
            language,
            request,
        }
    }
}

/// Returns the timeout of a request, by the gRPC specification: up to 8 digits and a unit.
fn grpc_timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(TIMEOUT_HEADER) else {
        return Ok(None);
    };
    let malformed = || {
        let text = format!(
            "header {TIMEOUT_HEADER} is not a number with one of the units H, M, S, m, u, n"
        );
        status::of_api(&ApiError::text(Kind::Invalid, text))
    };
    let text = value.to_str().map_err(|_| malformed())?;
    let (digits, unit) =
        text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(malformed)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| is_number).ok_or_else(malformed)?;
    let timeout = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return Err(malformed()),
    };
    Ok(Some(timeout))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(headers: &[(&'static str, &'static str)]) -> Result<RequestMetadata, Status> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let mut extensions = Extensions::new();
        extensions.insert(Caller::unrestricted());
        RequestMetadata::from_parts(&MetadataMap::from_headers(map), &extensions, &World::system())
    }

    #[test]
    fn the_headers_of_a_database_must_agree() {
        for name in DATABASE_HEADERS {
            let found = metadata(&[(name, "d")]).unwrap().required_database();
            assert_eq!(found.unwrap(), "d");
        }
        let agreed = metadata(&[("database", "d"), ("bucket", "d")]).unwrap();
        assert_eq!(agreed.database().unwrap().as_deref(), Some("d"));
        let several = metadata(&[("database", "d"), ("bucket", "e")]).unwrap();
        assert!(several.database().is_err());
        let missing = metadata(&[]).unwrap().required_database().unwrap_err();
        assert_eq!(missing.message(), "no 'database' header in request");
    }

    #[test]
    fn languages_and_table_types_have_defaults() {
        let plain = metadata(&[]).unwrap();
        assert_eq!(plain.language().unwrap(), Language::Sql);
        assert_eq!(plain.table_type().unwrap(), "BASE TABLE");
        let chosen = metadata(&[
            ("x-influxdata-query-language", "InfluxQL"),
            ("x-influxdata-base-table-type", "TABLE"),
        ])
        .unwrap();
        assert_eq!(chosen.language().unwrap(), Language::InfluxQl);
        assert_eq!(chosen.table_type().unwrap(), "TABLE");
        let unknown = metadata(&[
            ("x-influxdata-query-language", "flux"),
            ("x-influxdata-base-table-type", "VIEW"),
        ])
        .unwrap();
        assert!(unknown.language().is_err() && unknown.table_type().is_err());
    }

    #[test]
    fn timeouts_have_the_units_of_grpc() {
        let timeout = |text: &'static str| {
            let headers = HeaderMap::from_iter([(TIMEOUT_HEADER, text.parse().unwrap())]);
            grpc_timeout(&headers)
        };
        for (text, expected) in [
            ("2H", Duration::from_secs(7_200)),
            ("99999999M", Duration::from_secs(99_999_999 * 60)),
            ("3S", Duration::from_secs(3)),
            ("1500m", Duration::from_millis(1_500)),
            ("7u", Duration::from_micros(7)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(timeout(text).unwrap(), Some(expected), "{text}");
        }
        for malformed in ["", "S", "1", "1s", "-1S", "+1S", "100000000S", "1 S"] {
            assert!(timeout(malformed).is_err(), "{malformed}");
        }
    }

    #[test]
    fn a_request_without_a_caller_is_refused() {
        let refused =
            RequestMetadata::from_parts(&MetadataMap::new(), &Extensions::new(), &World::system());
        assert_eq!(refused.unwrap_err().code(), tonic::Code::Unauthenticated);
    }
}
