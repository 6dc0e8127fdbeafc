//! The query strings of the three write endpoints, with the names and error texts of InfluxDB 3.

use http::Uri;
use neap_catalog::RootCatalog;
use neap_http::{ApiError, Kind, parse_query};
use neap_rows::line_protocol::{Dialect, Precision};
use serde::{Deserialize, Deserializer, de::IntoDeserializer};

use crate::WriteOptions;

/// A precision of `/api/v3/write_lp`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
enum V3Precision {
    #[default]
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "s", alias = "second")]
    Second,
    #[serde(rename = "ms", alias = "millisecond")]
    Millisecond,
    #[serde(rename = "us", alias = "u", alias = "microsecond")]
    Microsecond,
    #[serde(rename = "ns", alias = "n", alias = "nanosecond")]
    Nanosecond,
}

impl From<V3Precision> for Precision {
    fn from(precision: V3Precision) -> Self {
        match precision {
            V3Precision::Auto => Self::Auto,
            V3Precision::Second => Self::Second,
            V3Precision::Millisecond => Self::Millisecond,
            V3Precision::Microsecond => Self::Microsecond,
            V3Precision::Nanosecond => Self::Nanosecond,
        }
    }
}

/// A precision of `/write`: the precisions of `/api/v2/write` and those specific to InfluxDB 1.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
enum V1Precision {
    #[serde(rename = "h")]
    Hour,
    #[serde(rename = "m")]
    Minute,
    #[serde(rename = "s", alias = "second")]
    Second,
    #[serde(rename = "ms", alias = "millisecond")]
    Millisecond,
    #[serde(rename = "us", alias = "u", alias = "µ", alias = "microsecond")]
    Microsecond,
    #[default]
    #[serde(rename = "ns", alias = "n", alias = "nanosecond")]
    Nanosecond,
}

impl From<V1Precision> for Precision {
    fn from(precision: V1Precision) -> Self {
        match precision {
            V1Precision::Hour => Self::Hour,
            V1Precision::Minute => Self::Minute,
            V1Precision::Second => Self::Second,
            V1Precision::Millisecond => Self::Millisecond,
            V1Precision::Microsecond => Self::Microsecond,
            V1Precision::Nanosecond => Self::Nanosecond,
        }
    }
}

/// A precision of `/api/v2/write`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
enum V2Precision {
    #[serde(rename = "s", alias = "second")]
    Second,
    #[serde(rename = "ms", alias = "millisecond")]
    Millisecond,
    #[serde(rename = "us", alias = "u", alias = "microsecond")]
    Microsecond,
    #[default]
    #[serde(rename = "ns", alias = "n", alias = "nanosecond")]
    Nanosecond,
}

impl From<V2Precision> for Precision {
    fn from(precision: V2Precision) -> Self {
        match precision {
            V2Precision::Second => Self::Second,
            V2Precision::Millisecond => Self::Millisecond,
            V2Precision::Microsecond => Self::Microsecond,
            V2Precision::Nanosecond => Self::Nanosecond,
        }
    }
}

/// Returns the options of the v1 and v2 endpoints.
fn legacy_options(precision: impl Into<Precision>, accept_partial: bool) -> WriteOptions {
    WriteOptions {
        dialect: Dialect::LegacyInfluxDb,
        precision: precision.into(),
        accept_partial,
        ..WriteOptions::default()
    }
}

/// Deserializes a parameter that may be empty, which InfluxDB 1 and 2 treat as absent.
fn empty_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        Ok(T::default())
    } else {
        T::deserialize(text.into_deserializer())
    }
}

#[derive(Debug, Deserialize)]
struct WriteV3Params {
    db: String,
    #[serde(default)]
    precision: V3Precision,
    #[serde(default = "default_true")]
    accept_partial: bool,
    #[serde(default)]
    no_sync: bool,
}

fn default_true() -> bool {
    true
}

/// Parses the database and the options in a query string of `/api/v3/write_lp`.
pub(super) fn v3(uri: &Uri) -> Result<(String, WriteOptions), ApiError> {
    if uri.query().is_none() {
        return Err(ApiError::text(Kind::Invalid, "missing query parameter 'db'"));
    }
    let params: WriteV3Params = parse_query(uri)?;
    let options = WriteOptions {
        precision: params.precision.into(),
        accept_partial: params.accept_partial,
        no_sync: params.no_sync,
        ..WriteOptions::default()
    };
    Ok((params.db, options))
}

#[derive(Debug, Deserialize)]
struct WriteV2Params {
    #[serde(default)]
    bucket: String,
    #[serde(default, deserialize_with = "empty_as_default")]
    precision: V2Precision,
    #[serde(default = "default_true")]
    accept_partial: bool,
}

/// Parses the database and the options in a query string of `/api/v2/write`.
pub(super) fn v2(uri: &Uri) -> Result<(String, WriteOptions), ApiError> {
    let refused = |message: String| ApiError::v2(Kind::Invalid, message);
    let query = uri.query().unwrap_or_default();
    let params: WriteV2Params = serde_urlencoded::from_str(query).map_err(|error| {
        refused(format!("failed to deserialize org/bucket/precision in request: {error}"))
    })?;
    if params.bucket.is_empty() {
        return Err(refused("missing bucket value".to_owned()));
    }
    let options = legacy_options(params.precision, params.accept_partial);
    Ok((params.bucket, options))
}

#[derive(Debug, Deserialize)]
struct WriteV1Params {
    db: Option<String>,
    rp: Option<String>,
    #[serde(default, deserialize_with = "empty_as_default")]
    precision: V1Precision,
    #[serde(default = "default_true")]
    accept_partial: bool,
}

/// Parses the database and the options in a query string of `/write`. A retention policy is a database of its own, `db/rp`.
/// Without one, it is the default policy in `root`. A request without a database is treated as a QuestDB client's if there is
/// a default database for such requests.
pub(super) fn v1(
    uri: &Uri,
    default: Option<&str>,
    root: &RootCatalog,
) -> Result<(String, WriteOptions), ApiError> {
    let refused = |message: String| ApiError::json(Kind::Invalid, message);
    let query = match (uri.query(), default) {
        (Some(query), _) => query,
        (None, Some(_)) => "",
        (None, None) => return Err(refused("no db destination provided".to_owned())),
    };
    let undecipherable = |error: serde_urlencoded::de::Error| {
        refused(format!("failed to deserialize db/rp/precision in request: {error}"))
    };
    let params: WriteV1Params = serde_urlencoded::from_str(query).map_err(undecipherable)?;
    let options = legacy_options(params.precision, params.accept_partial);
    match (params.db, default) {
        (Some(db), _) => Ok((root.policy_database(&db, params.rp.as_deref()), options)),
        (None, Some(default)) => {
            let options =
                WriteOptions { dialect: Dialect::QuestDb, accept_partial: false, ..options };
            Ok((default.to_owned(), options))
        }
        (None, None) => Err(undecipherable(serde::de::Error::missing_field("db"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v1(uri: &Uri, default: Option<&str>) -> Result<(String, WriteOptions), ApiError> {
        super::v1(uri, default, &RootCatalog::default())
    }

    #[test]
    fn a_retention_policy_is_part_of_the_database() {
        for (query, database) in [
            ("db=d", "d"),
            ("db=d&rp=", "d"),
            ("db=d&rp=%27%27", "d"),
            ("db=d&rp=autogen", "d"),
            ("db=d&rp=Default", "d"),
            ("db=d&rp=Weekly", "d/weekly"),
            ("db=d&rp=weekly&u=user&p=pass", "d/weekly"),
        ] {
            let uri = format!("/write?{query}").parse().unwrap();
            assert_eq!(v1(&uri, None).unwrap().0, database, "{query}");
            assert_eq!(v1(&uri, Some("other")), v1(&uri, None), "{query}");
        }
    }

    #[test]
    fn requests_without_a_database_are_from_questdb_clients() {
        for (query, precision) in [
            ("/write", Precision::Nanosecond),
            ("/write?precision=n", Precision::Nanosecond),
            ("/write?precision=u&rp=weekly", Precision::Microsecond),
        ] {
            let uri: Uri = query.parse().unwrap();
            let (database, options) = v1(&uri, Some("quest")).unwrap();
            assert_eq!(database, "quest");
            assert_eq!(options.dialect, Dialect::QuestDb);
            assert_eq!(options.precision, precision);
            assert!(!options.accept_partial);
        }
        for (query, message) in [
            ("/write", "no db destination provided"),
            (
                "/write?precision=n",
                "failed to deserialize db/rp/precision in request: missing field `db`",
            ),
        ] {
            let refused = v1(&query.parse().unwrap(), None).unwrap_err();
            assert_eq!(refused, ApiError::json(Kind::Invalid, message));
        }
    }

    #[test]
    fn precisions_have_short_and_long_names() {
        for (name, precision) in [
            ("s", Precision::Second),
            ("second", Precision::Second),
            ("ms", Precision::Millisecond),
            ("millisecond", Precision::Millisecond),
            ("u", Precision::Microsecond),
            ("us", Precision::Microsecond),
            ("microsecond", Precision::Microsecond),
            ("n", Precision::Nanosecond),
            ("ns", Precision::Nanosecond),
            ("nanosecond", Precision::Nanosecond),
        ] {
            let uri: Uri = format!("/?db=d&bucket=d&precision={name}").parse().unwrap();
            for parsed in [v1(&uri, None), v2(&uri), v3(&uri)] {
                assert_eq!(parsed.unwrap().1.precision, precision, "{name}");
            }
        }
        for (name, precision) in [
            ("m", Precision::Minute),
            ("h", Precision::Hour),
            ("%C2%B5", Precision::Microsecond),
        ] {
            let uri: Uri = format!("/?db=d&bucket=d&precision={name}").parse().unwrap();
            assert_eq!(v1(&uri, None).unwrap().1.precision, precision);
            assert!(v2(&uri).is_err() && v3(&uri).is_err());
        }
        // As in InfluxDB 1 and 2, no name means nanoseconds.
        let uri = "/?db=d&bucket=d&precision=".parse().unwrap();
        for parsed in [v1(&uri, None), v2(&uri)] {
            assert_eq!(parsed.unwrap().1.precision, Precision::Nanosecond);
        }
        assert!(v3(&uri).is_err());
        let uri = "/?db=d&precision=auto".parse().unwrap();
        assert_eq!(v3(&uri).unwrap().1.precision, Precision::Auto);
        assert!(v1(&uri, None).is_err());
    }

    #[test]
    fn v1_and_v2_writes_are_partial_in_nanoseconds() {
        for (query, accept_partial) in [
            ("no_sync=true", true),
            ("no_sync=true&accept_partial=true", true),
            ("no_sync=true&accept_partial=false&precision=", false),
        ] {
            let uri: Uri = format!("/?db=d&bucket=d&{query}").parse().unwrap();
            for parsed in [v1(&uri, None), v2(&uri)] {
                let options = parsed.unwrap().1;
                assert_eq!(options.dialect, Dialect::LegacyInfluxDb);
                assert_eq!(options.precision, Precision::Nanosecond);
                assert_eq!(options.accept_partial, accept_partial, "{query}");
                assert!(!options.no_sync);
            }
        }
        let uri: Uri = "/?db=d&no_sync=true".parse().unwrap();
        let options = v3(&uri).unwrap().1;
        assert_eq!(options.dialect, Dialect::InfluxDb);
        assert!(options.accept_partial && options.no_sync);
    }

    #[test]
    fn v1_microseconds_may_be_a_greek_letter() {
        let uri: Uri = "/?db=d&bucket=d&precision=%C2%B5".parse().unwrap();
        assert_eq!(v1(&uri, None).unwrap().1.precision, Precision::Microsecond);
        assert!(v2(&uri).is_err() && v3(&uri).is_err());
    }
}
