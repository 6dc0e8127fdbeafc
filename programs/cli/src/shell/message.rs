//! Messages of the shell besides results: errors, and summaries of results.

use std::time::Duration;

use neap_server::terminal;
use reqwest::StatusCode;

use super::tokens::{QueryLanguage, SyntaxToken, tokens};
use crate::client::{ClientError, refusal_message};

/// Style of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MessageStyle {
    /// Errors are red.
    pub(super) has_colors: bool,
}

impl MessageStyle {
    /// Formats an error line.
    pub(super) fn error(self, text: &str) -> String {
        if self.has_colors {
            format!("\u{1b}[31m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Formats the error of a failed request. For a refusal, only the server's message.
pub(super) fn of_client(error: &ClientError) -> String {
    match error {
        ClientError::Refused { status, body, .. } => {
            let reason = reason(body).unwrap_or_else(|| status.to_string());
            if *status == StatusCode::UNAUTHORIZED {
                format!("{reason}: pass a valid token with --token")
            } else {
                reason
            }
        }
        other => other.to_string(),
    }
}

/// Returns the message of a response; `None` if it is empty.
fn reason(body: &str) -> Option<String> {
    let message = refusal_message(body);
    let text = message.trim();
    (!text.is_empty()).then(|| terminal::shown(text))
}

/// Formats the summary of a result: `2 rows (12 ms)`.
pub(super) fn summary(rows: u64, time: Option<Duration>) -> String {
    let rows = match rows {
        1 => "1 row".to_owned(),
        rows => format!("{rows} rows"),
    };
    with_time(rows, time)
}

/// Adds the duration of a statement to a message.
pub(super) fn with_time(text: String, time: Option<Duration>) -> String {
    match time {
        None => text,
        Some(time) if time < Duration::from_secs(1) => {
            format!("{text} ({} ms)", time.as_millis())
        }
        Some(time) => format!("{text} ({:.2} s)", time.as_secs_f64()),
    }
}

/// The first words of statements that change something.
const CHANGE_WORDS: [&str; 16] = [
    "alter",
    "column",
    "continuous",
    "create",
    "database",
    "delete",
    "drop",
    "grant",
    "insert",
    "materialized",
    "policy",
    "query",
    "retention",
    "revoke",
    "table",
    "view",
];

/// Formats the message of a statement whose result has no columns, such as `CREATE MATERIALIZED VIEW succeeded`. Returns
/// `None` for a query, whose result has no columns at servers that leave them out of a table without rows.
pub(crate) fn success(statement: &str, language: QueryLanguage) -> Option<String> {
    let words: Vec<_> = tokens(statement, language)
        .filter(SyntaxToken::is_significant)
        .take_while(|token| CHANGE_WORDS.iter().any(|word| token.is_word(word)))
        .map(|token| token.text.to_uppercase())
        .collect();
    (!words.is_empty()).then(|| format!("{} succeeded", words.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_show_the_server_message() {
        let shown = |status: u16, body: &str| {
            of_client(&ClientError::Refused {
                status: StatusCode::from_u16(status).unwrap(),
                body: body.to_owned(),
                retry_after: None,
            })
        };
        insta::assert_snapshot!(shown(400, "Error during planning: no"), @"Error during planning: no");
        insta::assert_snapshot!(shown(404, r#"{"error":"database not found: x"}"#), @"database not found: x");
        insta::assert_snapshot!(shown(400, "no column \u{1b}[2J"), @r"no column \x1b[2J");
        insta::assert_snapshot!(shown(503, " "), @"503 Service Unavailable");
        insta::assert_snapshot!(shown(401, r#"{"error":"the request was not authenticated"}"#), @"the request was not authenticated: pass a valid token with --token");
    }

    #[test]
    fn summaries_have_rows_and_time() {
        assert_eq!(summary(1, None), "1 row");
        assert_eq!(summary(0, Some(Duration::from_millis(12))), "0 rows (12 ms)");
        assert_eq!(summary(2, Some(Duration::from_millis(1250))), "2 rows (1.25 s)");
    }

    #[test]
    fn statements_without_a_result_are_named() {
        for (statement, message) in [
            (
                "-- hourly\ncreate materialized view if not exists t AS SELECT 1",
                Some("CREATE MATERIALIZED VIEW succeeded"),
            ),
            ("ALTER TABLE a RENAME TO b;", Some("ALTER TABLE succeeded")),
            ("SELECT 1 WHERE false", None),
        ] {
            assert_eq!(success(statement, QueryLanguage::Sql).as_deref(), message);
        }
    }

    #[test]
    fn only_colored_errors_have_escapes() {
        assert_eq!(MessageStyle { has_colors: false }.error("x"), "x");
        assert_eq!(MessageStyle { has_colors: true }.error("x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
