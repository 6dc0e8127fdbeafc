//! The query string of `/api/v3/write_file`.

use axum::http::{HeaderMap, Uri, header::CONTENT_TYPE};
use neap_file_formats::{CsvDialect, Format};
use neap_http::{ApiError, Kind, parse_query};
use neap_rows::{
    columnar::{ColumnMapping, TagColumns, TimeColumn},
    line_protocol::Precision,
};
use neap_write::WriteOptions;

/// The parameters of an upload.
#[derive(Clone, Debug)]
pub(crate) struct UploadParams {
    pub(crate) database: String,
    /// `None`: that of the first bytes.
    pub(crate) format: Option<Format>,
    pub(crate) mapping: ColumnMapping,
    pub(crate) csv: CsvDialect,
    pub(crate) options: WriteOptions,
}

impl UploadParams {
    /// Parses the query string, and the format in the headers if the query string names none.
    ///
    /// # Errors
    /// `Invalid`: a parameter is missing, unknown or malformed.
    pub(crate) fn parse(uri: &Uri, headers: &HeaderMap) -> Result<Self, ApiError> {
        let pairs: Vec<(String, String)> = parse_query(uri)?;
        let mut database = None;
        let mut format = None;
        let mut tags = None;
        let mut table = String::new();
        let mut time = TimeColumn::default();
        let (mut delimiter, mut has_decimal_comma) = (None, false);
        let (mut nulls, mut types) = (Vec::new(), Vec::new());
        let mut options = WriteOptions::default();
        for (name, value) in pairs {
            let malformed = || malformed(&name, &value);
            match name.as_str() {
                "db" => database = Some(value),
                "table" => table = value,
                "tag" => tags.get_or_insert_with(Vec::new).push(value),
                "time_column" => time.name = Some(value),
                "time_format" => {
                    time.format =
                        value.parse().map_err(|error: neap_rows::columnar::MappingError| {
                            invalid(error.to_string())
                        })?;
                }
                "column" => {
                    let column = CsvDialect::parse_column(&value);
                    types.push(column.map_err(|error| invalid(error.to_string()))?);
                }
                "delimiter" => {
                    let parsed = CsvDialect::parse_delimiter(&value);
                    delimiter = Some(parsed.map_err(|error| invalid(error.to_string()))?);
                }
                "decimal_comma" => has_decimal_comma = value.parse().map_err(|_| malformed())?,
                "null" => nulls.push(value),
                "time_zone" => time.zone = Some(value.parse().map_err(|_| malformed())?),
                "format" => format = Some(value.parse().map_err(|()| malformed())?),
                "precision" => {
                    options.precision = parse_precision(&value).ok_or_else(malformed)?;
                }
                "accept_partial" => {
                    options.accept_partial = value.parse().map_err(|_| malformed())?
                }
                "no_sync" => options.no_sync = value.parse().map_err(|_| malformed())?,
                _ => return Err(invalid(format!("unknown query parameter '{name}'"))),
            }
        }
        let database = database.ok_or_else(|| invalid("missing query parameter 'db'"))?;
        Ok(Self {
            database,
            format: format.or_else(|| format_of(headers)),
            mapping: ColumnMapping {
                table,
                tags: tags.map_or(TagColumns::ByType, TagColumns::Named),
                time,
            },
            csv: CsvDialect {
                nulls,
                types,
                ..CsvDialect::new(delimiter, has_decimal_comma)
            },
            options,
        })
    }
}

fn format_of(headers: &HeaderMap) -> Option<Format> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Format::from_content_type(content_type)
}

fn parse_precision(text: &str) -> Option<Precision> {
    Some(match text {
        "auto" => Precision::Auto,
        "s" | "second" => Precision::Second,
        "ms" | "millisecond" => Precision::Millisecond,
        "us" | "u" | "microsecond" => Precision::Microsecond,
        "ns" | "n" | "nanosecond" => Precision::Nanosecond,
        _ => return None,
    })
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::json(Kind::Invalid, message)
}

fn malformed(name: &str, value: &str) -> ApiError {
    invalid(format!("invalid value '{value}' of query parameter '{name}'"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use neap_file_formats::{CellType, DecimalMark};

    use super::*;

    fn parse(query: &str, content_type: Option<&'static str>) -> Result<UploadParams, String> {
        let mut headers = HeaderMap::new();
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let uri = format!("/api/v3/write_file{query}").parse().unwrap();
        UploadParams::parse(&uri, &headers).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn parameters_describe_the_columns() {
        let query = "?db=d&table=cpu&tag=host&tag=rack&time_column=at&time_format=ms&time_zone=Europe%2FBerlin&format=csv&precision=s&accept_partial=false";
        let params = parse(query, Some("application/x-ndjson")).unwrap();
        assert_eq!(params.database, "d");
        assert_eq!(params.format, Some(Format::Csv));
        insta::assert_debug_snapshot!(params.mapping, @r#"
        ColumnMapping {
            table: "cpu",
            tags: Named(
                [
                    "host",
                    "rack",
                ],
            ),
            time: TimeColumn {
                name: Some(
                    "at",
                ),
                format: Unit(
                    Millisecond,
                ),
                zone: Some(
                    Tz(
                        Timezone(
                            Europe/Berlin,
                        ),
                    ),
                ),
            },
        }
        "#);
        assert_eq!(params.options.precision, Precision::Second);
        assert!(!params.options.accept_partial);
    }

    #[test]
    fn csv_has_a_dialect() {
        let query =
            "?db=d&decimal_comma=true&null=NA&null=-&column=celsius%3Dfloat64&column=a%3Db%3Dint64";
        let csv = parse(query, None).unwrap().csv;
        assert_eq!((csv.delimiter, csv.decimal_mark), (b';', DecimalMark::Comma));
        assert_eq!(csv.nulls, ["NA", "-"]);
        let types = [("celsius", CellType::Float), ("a=b", CellType::Integer)];
        assert_eq!(csv.types, types.map(|(name, of)| (name.to_owned(), of)));
        let csv = parse("?db=d&delimiter=%5Ct", None).unwrap().csv;
        assert_eq!((csv.delimiter, csv.decimal_mark), (b'\t', DecimalMark::Point));
    }

    #[test]
    fn the_content_type_is_the_format_if_no_parameter_is() {
        let format = |query, content_type| parse(query, content_type).unwrap().format;
        assert_eq!(format("?db=d", Some("text/csv; charset=utf-8")), Some(Format::Csv));
        assert_eq!(format("?db=d", Some("application/octet-stream")), None);
        assert_eq!(format("?db=d&format=arrow", Some("text/csv")), Some(Format::Arrow));
    }

    #[test]
    fn parameters_that_are_missing_unknown_or_malformed_are_errors() {
        let pairs = "
            ?table=t ==> missing query parameter 'db'
            ?db=d&tags=a ==> unknown query parameter 'tags'
            ?db=d&format=xml ==> invalid value 'xml' of query parameter 'format'
            ?db=d&time_zone=Mars ==> invalid value 'Mars' of query parameter 'time_zone'
            ?db=d&accept_partial=1 ==> invalid value '1' of query parameter 'accept_partial'
            ?db=d&delimiter=ab ==> the delimiter is one ASCII character, and no quote or line break
            ?db=d&column=celsius ==> a column and its type are expected, such as `celsius=float64`
            ?db=d&column=celsius%3Dreal ==> the type of a column is float64, int64, uint64, bool or string
            ?db=d&time_format=iso ==> invalid time format 'iso': use auto, rfc3339, s, ms, us, ns, or a strftime pattern such as '%Y-%m-%d %H:%M:%S'
        ";
        for (query, message) in
            neap_test_inputs::text_pairs(pairs).chain([("", "missing query parameter 'db'")])
        {
            assert_eq!(parse(query, None).unwrap_err(), message, "{query}");
        }
    }
}
