//! Lines that a server refused: parsing of responses and formatting for users.

use std::fmt;

use reqwest::StatusCode;
use serde::Deserialize;

/// Maximum number of refused lines retained for display.
const MAX_SHOWN: usize = 20;
/// Maximum number of characters of a refused line that are displayed.
const MAX_SHOWN_CHARS: usize = 500;

/// A line that a server refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusedLine {
    /// Index of the source.
    pub source_index: usize,
    /// Line number in the source, from 1.
    pub line: u64,
    /// Name of the source; `None` if there is only one source.
    pub source: Option<String>,
    /// Reason of the refusal.
    pub message: String,
    /// The line.
    pub text: String,
}

/// The refused lines of a whole upload. [`fmt::Display`] shows the first of them.
#[derive(Debug)]
pub struct RefusedLines {
    status: StatusCode,
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
    pub fn parse(
        status: StatusCode,
        body: &str,
        source_index: usize,
        source: Option<&str>,
        lines_before: u64,
    ) -> Option<Self> {
        let refusal: RefusalBody = serde_json::from_str(body).ok()?;
        let lines = match refusal.data {
            RefusalData::Lines(lines) => lines,
            RefusalData::FirstLine(line) => vec![line],
        };
        let refused = lines.into_iter().map(|line| RefusedLine {
            source_index,
            line: lines_before.saturating_add(line.line_number),
            source: source.map(str::to_owned),
            message: line.error_message,
            text: line.original_line,
        });
        let shown: Vec<_> = refused.collect();
        let count = shown.len() as u64;
        let mut lines = Self {
            status,
            error: refusal.error,
            shown,
            count,
        };
        lines.shorten();
        Some(lines)
    }

    /// Adds the lines of another request.
    pub fn merge(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.shown.extend(other.shown);
        self.shorten();
    }

    /// Returns the number of refused lines that the server reported.
    pub fn count(&self) -> u64 {
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
        write!(f, "server responded with error [{status}]: {error}")?;
        for refused in &self.shown {
            write!(f, "\n  line {}", refused.line)?;
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
        RefusedLines::parse(StatusCode::BAD_REQUEST, body, 0, source, lines_before)
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
        assert!(
            text.contains("line 192:") && !text.contains("line 202:"),
            "{text}"
        );
    }

    #[test]
    fn other_refusals_name_no_lines() {
        for body in [
            "serde error: missing field 'db'",
            r#"{"error":"db name cannot be empty"}"#,
        ] {
            assert!(parse(body, None, 0).is_none());
        }
    }
}
