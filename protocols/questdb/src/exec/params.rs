//! The query string of `/exec`.

use axum::http::Uri;
use neap_http::{ApiError, Kind, parse_query};

/// The parameters of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExecParams {
    /// The statement.
    pub(crate) query: String,
    /// The database; `None`: the default database.
    pub(crate) database: Option<String>,
    /// The number of rows before the first one to return.
    pub(crate) skip: u64,
    /// The number of the last row to return.
    pub(crate) stop: Option<u64>,
    /// Whether `count` is the number of all rows, not only of those up to the last returned one.
    pub(crate) counts_all: bool,
    /// Whether the answer has no query and no columns.
    pub(crate) without_metadata: bool,
    /// Whether the answer has timings.
    pub(crate) with_timings: bool,
    /// Whether large integers are strings.
    pub(crate) quotes_large_numbers: bool,
}

impl ExecParams {
    /// Parses the query string. Unknown parameters are ignored, as in QuestDB.
    ///
    /// # Errors
    /// `Invalid`: a parameter is malformed or not supported.
    pub(crate) fn parse(uri: &Uri) -> Result<Self, ApiError> {
        let pairs: Vec<(String, String)> = parse_query(uri)?;
        let mut params = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "query" => params.query = value,
                "db" => params.database = Some(value),
                "limit" => (params.skip, params.stop) = parse_limit(&value)?,
                "count" => params.counts_all = value == "true",
                "nm" => params.without_metadata = value == "true",
                "timings" => params.with_timings = value == "true",
                "quoteLargeNum" => params.quotes_large_numbers = value == "true",
                "src" => params.quotes_large_numbers |= value == "con",
                "cols" if !value.is_empty() => {
                    let text = "the parameter 'cols' is not supported: select the columns";
                    return Err(ApiError::text(Kind::Invalid, text));
                }
                _ => {}
            }
        }
        Ok(params)
    }
}

/// Parses `LAST` or `FIRST,LAST`, numbers of rows from 1. Returns the number of skipped rows and the last row.
fn parse_limit(text: &str) -> Result<(u64, Option<u64>), ApiError> {
    let malformed = || {
        let text = format!("invalid value '{text}' of 'limit': expected LAST or FIRST,LAST");
        ApiError::text(Kind::Invalid, text)
    };
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| malformed());
    match text.split_once(',') {
        None => Ok((0, Some(number(text)?))),
        Some((first, "")) => Ok((number(first)?.saturating_sub(1), None)),
        Some((first, last)) => Ok((number(first)?.saturating_sub(1), Some(number(last)?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<ExecParams, String> {
        let uri = format!("/exec{query}").parse().unwrap();
        ExecParams::parse(&uri).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn parameters_are_those_of_questdb() {
        let query = "?query=select%201&db=d&limit=3,7&count=true&nm=true&timings=true&quoteLargeNum=true&version=2";
        let expected = ExecParams {
            query: "select 1".to_owned(),
            database: Some("d".to_owned()),
            skip: 2,
            stop: Some(7),
            counts_all: true,
            without_metadata: true,
            with_timings: true,
            quotes_large_numbers: true,
        };
        assert_eq!(parse(query), Ok(expected));
        assert_eq!(parse(""), Ok(ExecParams::default()));
        let limits = |text: &str| parse(&format!("?limit={text}")).map(|it| (it.skip, it.stop));
        assert_eq!(limits("5"), Ok((0, Some(5))));
        assert_eq!(limits("2,"), Ok((1, None)));
        assert_eq!(limits("0,1"), Ok((0, Some(1))));
    }

    #[test]
    fn malformed_parameters_are_errors() {
        for limit in ["", "x", "-3", "1,x", "1,2,3", ",", ",1"] {
            let message =
                format!("invalid value '{limit}' of 'limit': expected LAST or FIRST,LAST");
            assert_eq!(parse(&format!("?limit={limit}")), Err(message));
        }
        assert!(parse("?cols=a").is_err());
    }
}
