//! Lines and rows that were refused: parsing of responses and formatting for users.

use std::fmt;

use neap_rows::line_protocol::LineError;
use reqwest::StatusCode;
use serde::Deserialize;

/// Maximum number of refused lines retained for display.
const MAX_SHOWN: usize = 20;
/// Maximum number of characters of a refused line that are displayed.
const MAX_SHOWN_CHARS: usize = 500;

/// A line that a server refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RefusedLine {
    pub(crate) source_index: usize,
    /// Number of the line or row in the source, from 1.
    pub(crate) line: u64,
    /// Whether the source is a file of rows.
    pub(crate) is_row: bool,
    /// Name of the source; `None` if there is only one source.
    pub(crate) source: Option<String>,
    /// Reason of the refusal.
    pub(crate) message: String,
    /// The line.
    pub(crate) text: String,
}

/// The places of the lines of a request in their source.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LinePositions<'a> {
    /// The lines follow this number of lines.
    After(u64),
    /// Each line is a row of a file with this number.
    Rows(&'a [u64]),
}

impl LinePositions<'_> {
    /// Returns the number of a line or row in the source. `line_number` is its number in the request, from 1.
    fn locate(self, line_number: u64) -> u64 {
        match self {
            Self::After(lines) => lines.saturating_add(line_number),
            Self::Rows(rows) => {
                let index = usize::try_from(line_number.saturating_sub(1)).unwrap_or(usize::MAX);
                rows.get(index).copied().unwrap_or_default()
            }
        }
    }
}

/// The refused lines of a whole upload. [`fmt::Display`] shows the first of them.
#[derive(Debug)]
pub(crate) struct RefusedLines {
    /// `None`: the lines were not sent.
    status: Option<StatusCode>,
    error: String,
    shown: Vec<RefusedLine>,
    count: u64,
}

#[derive(Deserialize)]
struct RefusalBody {
    error: String,
    data: RefusalData,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RefusalData {
    Lines(Vec<RefusalLine>),
    FirstLine(RefusalLine),
}

#[derive(Deserialize)]
struct RefusalLine {
    #[serde(default)]
    original_line: String,
    #[serde(default)]
    line_number: u64,
    error_message: String,
}

impl RefusedLines {
    /// Parses the lines in the refusal of a request and locates them by their batch; `None` if it names no lines.
    pub(crate) fn parse(
        status: StatusCode,
        body: &str,
        source_index: usize,
        source: Option<&str>,
        positions: LinePositions<'_>,
    ) -> Option<Self> {
        let refusal: RefusalBody = serde_json::from_str(body).ok()?;
        let lines = match refusal.data {
            RefusalData::Lines(lines) => lines,
            RefusalData::FirstLine(line) => vec![line],
        };
        let refused = lines.into_iter().map(|line| RefusedLine {
            source_index,
            line: positions.locate(line.line_number),
            is_row: matches!(positions, LinePositions::Rows(_)),
            source: source.map(str::to_owned),
            message: line.error_message,
            text: line.original_line,
        });
        let shown: Vec<_> = refused.collect();
        Some(Self::new(Some(status), refusal.error, shown))
    }

    /// Returns the rows of a file that can't be sent; `None` if there are none.
    pub(crate) fn of_rows(
        source_index: usize,
        source: Option<&str>,
        errors: &[LineError],
    ) -> Option<Self> {
        let refused = errors.iter().map(|error| RefusedLine {
            source_index,
            line: error.line_number as u64,
            is_row: true,
            source: source.map(str::to_owned),
            message: error.error_message.clone(),
            text: error.original_line.clone(),
        });
        let shown: Vec<_> = refused.collect();
        let error = "rows of the input cannot be written".to_owned();
        (!shown.is_empty()).then(|| Self::new(None, error, shown))
    }

    fn new(status: Option<StatusCode>, error: String, shown: Vec<RefusedLine>) -> Self {
        let count = shown.len() as u64;
        let mut lines = Self { status, error, shown, count };
        lines.shorten();
        lines
    }

    /// Adds the lines of another request.
    pub(crate) fn merge(&mut self, other: Self) {
        if self.status.is_none() && other.status.is_some() {
            self.status = other.status;
            self.error = other.error;
        }
        self.count = self.count.saturating_add(other.count);
        self.shown.extend(other.shown);
        self.shorten();
    }

    /// Returns the number of refused lines that the server reported.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    fn shorten(&mut self) {
        self.shown.sort();
        self.shown.truncate(MAX_SHOWN);
    }
}

impl fmt::Display for RefusedLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, error, .. } = self;
        match status {
            Some(status) => write!(f, "server responded with error [{status}]: {error}")?,
            None => f.write_str(error)?,
        }
        for refused in &self.shown {
            let unit = if refused.is_row { "row" } else { "line" };
            write!(f, "\n  {unit} {}", refused.line)?;
            if let Some(source) = &refused.source {
                write!(f, " of {source}")?;
            }
            write!(f, ": {}", refused.message)?;
            if !refused.text.is_empty() {
                let text: String = refused.text.chars().take(MAX_SHOWN_CHARS).collect();
                let cut = if text.len() < refused.text.len() {
                    "…"
                } else {
                    ""
                };
                write!(f, "\n    {text}{cut}")?;
            }
        }
        match self.count.saturating_sub(self.shown.len() as u64) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTIAL: &str = r#"{"error":"partial write of line protocol occurred","data":[
        {"original_line":"cpu v=","line_number":2,"error_message":"No fields were provided"}]}"#;

    fn parse(body: &str, source: Option<&str>, lines_before: u64) -> Option<RefusedLines> {
        let positions = LinePositions::After(lines_before);
        RefusedLines::parse(StatusCode::BAD_REQUEST, body, 0, source, positions)
    }

    #[test]
    fn refused_lines_are_shown_with_their_place_in_the_source() {
        let mut lines = parse(PARTIAL, Some("b.lp"), 100).unwrap();
        lines.merge(parse(PARTIAL, Some("b.lp"), 0).unwrap());
        insta::assert_snapshot!(lines, @r"
        server responded with error [400 Bad Request]: partial write of line protocol occurred
          line 2 of b.lp: No fields were provided
            cpu v=
          line 102 of b.lp: No fields were provided
            cpu v=
        ");
    }

    #[test]
    fn refused_rows_have_the_numbers_of_the_file() {
        let unsent = LineError {
            line_number: 4,
            original_line: "v=x".to_owned(),
            error_message: "value `x` of column 'v' is not a valid integer".to_owned(),
            kind: neap_rows::line_protocol::LineErrorKind::Parse,
            conflict: None,
        };
        let mut rows = RefusedLines::of_rows(0, None, &[unsent]).unwrap();
        insta::assert_snapshot!(rows, @r"
        rows of the input cannot be written
          row 4: value `x` of column 'v' is not a valid integer
            v=x
        ");
        let positions = LinePositions::Rows(&[1, 3]);
        let status = StatusCode::BAD_REQUEST;
        rows.merge(RefusedLines::parse(status, PARTIAL, 0, None, positions).unwrap());
        insta::assert_snapshot!(rows, @r"
        server responded with error [400 Bad Request]: partial write of line protocol occurred
          row 3: No fields were provided
            cpu v=
          row 4: value `x` of column 'v' is not a valid integer
            v=x
        ");
    }

    #[test]
    fn a_refusal_may_name_only_the_first_line() {
        let body = r#"{"error":"parsing failed for write_lp endpoint",
            "data":{"original_line":"x","line_number":1,"error_message":"No fields were provided"}}"#;
        insta::assert_snapshot!(parse(body, None, 0).unwrap(), @r"
        server responded with error [400 Bad Request]: parsing failed for write_lp endpoint
          line 1: No fields were provided
            x
        ");
    }

    #[test]
    fn many_lines_are_counted_and_the_first_shown() {
        let mut lines = parse(PARTIAL, None, 0).unwrap();
        for batch in 1..50 {
            lines.merge(parse(PARTIAL, None, batch * 10).unwrap());
        }
        assert_eq!(lines.count(), 50);
        let text = lines.to_string();
        assert!(text.ends_with("\n  and 30 more"), "{text}");
        assert!(text.contains("line 192:") && !text.contains("line 202:"), "{text}");
    }

    #[test]
    fn other_refusals_name_no_lines() {
        for body in ["serde error: missing field 'db'", r#"{"error":"db name cannot be empty"}"#] {
            assert!(parse(body, None, 0).is_none());
        }
    }
}
