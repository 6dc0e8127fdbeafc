//! The query string of `/imp`.

use axum::http::Uri;
use neap_http::{ApiError, Kind, parse_query};

/// The names of columns that are taken for the time if the request names none.
const TIME_NAMES: [&str; 2] = ["timestamp", "time"];

/// The parameters of an upload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImportParams {
    /// The database; `None`: the default database.
    pub(crate) database: Option<String>,
    /// The table; `None`: the name of the file.
    pub(crate) table: Option<String>,
    /// The column with the times.
    pub(crate) timestamp: Option<String>,
    /// Whether a refused row refuses all rows.
    pub(crate) all_or_nothing: bool,
    /// Whether the answer is JSON; otherwise it is text.
    pub(crate) as_json: bool,
}

impl ImportParams {
    /// Parses the query string. Parameters that only concern QuestDB's storage are ignored.
    ///
    /// # Errors
    /// `Invalid`: a parameter is malformed or not supported.
    pub(crate) fn parse(uri: &Uri) -> Result<Self, ApiError> {
        let pairs: Vec<(String, String)> = parse_query(uri)?;
        let mut params = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "db" => params.database = Some(value),
                "name" => params.table = Some(value),
                "timestamp" => params.timestamp = Some(value),
                "fmt" => params.as_json = value == "json",
                "overwrite" if value == "true" => {
                    return Err(invalid(
                        "'overwrite' is not supported: delete the rows or the table first",
                    ));
                }
                "atomicity" => params.all_or_nothing = parse_atomicity(&value)?,
                "forceHeader" if value == "false" => {}
                "delimiter" if value != "," => {
                    return Err(invalid("'delimiter' is not supported: separate values by commas"));
                }
                _ => {}
            }
        }
        Ok(params)
    }
}

/// Parses the value of `atomicity`, in QuestDB's current and former words. Returns whether a refused row refuses all rows.
///
/// A row is refused whole, even if QuestDB would store it without one of its values (`skipCol`).
fn parse_atomicity(value: &str) -> Result<bool, ApiError> {
    let is_one_of = |names: &[&str]| names.iter().any(|name| value.eq_ignore_ascii_case(name));
    if is_one_of(&["abort", "strict"]) {
        Ok(true)
    } else if is_one_of(&["skipRow", "skipCol", "relaxed"]) {
        Ok(false)
    } else {
        Err(invalid(
            "invalid query parameter 'atomicity': expected 'skipRow', 'skipCol' or 'abort'",
        ))
    }
}

/// Returns the column with the times.
///
/// # Errors
/// `Invalid`: the file has no such column.
pub(crate) fn time_column(requested: Option<String>, names: &[String]) -> Result<String, ApiError> {
    if let Some(name) = requested {
        return if names.contains(&name) {
            Ok(name)
        } else {
            Err(invalid(format!("the file has no column '{name}' for the timestamp")))
        };
    }
    TIME_NAMES
        .iter()
        .find(|name| names.iter().any(|it| it == *name))
        .map(|name| (*name).to_owned())
        .ok_or_else(|| {
            invalid("missing query parameter 'timestamp': the column with the times of the rows")
        })
}

pub(super) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::text(Kind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<ImportParams, String> {
        let uri = format!("/imp{query}").parse().unwrap();
        ImportParams::parse(&uri).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn parameters_of_the_storage_are_ignored() {
        let query = "?db=d&name=t&timestamp=ts&fmt=json&partitionBy=DAY&overwrite=false&atomicity=skipRow&delimiter=,";
        let expected = ImportParams {
            database: Some("d".to_owned()),
            table: Some("t".to_owned()),
            timestamp: Some("ts".to_owned()),
            all_or_nothing: false,
            as_json: true,
        };
        assert_eq!(parse(query), Ok(expected));
        assert_eq!(parse(""), Ok(ImportParams::default()));
    }

    #[test]
    fn the_atomicity_is_one_of_questdbs() {
        for (value, all_or_nothing) in [
            ("abort", true),
            ("Strict", true),
            ("skipRow", false),
            ("skipcol", false),
            ("relaxed", false),
        ] {
            let params = parse(&format!("?atomicity={value}")).unwrap();
            assert_eq!(params.all_or_nothing, all_or_nothing, "{value}");
        }
        assert!(parse("?atomicity=x").unwrap_err().contains("'atomicity'"));
    }

    #[test]
    fn parameters_that_change_the_rows_are_refused() {
        assert!(parse("?overwrite=true").unwrap_err().contains("'overwrite'"));
        assert!(parse("?delimiter=%3B").unwrap_err().contains("'delimiter'"));
    }

    #[test]
    fn the_time_is_the_named_column_or_one_with_the_usual_name() {
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let found = |requested: Option<&str>, header: &[&str]| {
            let found = time_column(requested.map(str::to_owned), &names(header));
            found.map_err(|error| error.message().to_owned())
        };
        assert_eq!(found(Some("at"), &["a", "at"]), Ok("at".to_owned()));
        assert_eq!(found(None, &["time", "timestamp"]), Ok("timestamp".to_owned()));
        assert_eq!(found(None, &["a", "time"]), Ok("time".to_owned()));
        assert!(found(Some("at"), &["a"]).unwrap_err().contains("no column 'at'"));
        assert!(found(None, &["a"]).unwrap_err().contains("'timestamp'"));
    }
}
