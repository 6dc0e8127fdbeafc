//! The messages of `/write` and `/api/v2/write` about refused lines of requests whose other lines are stored.
//!
//! Clients of InfluxDB 1 look for `partial write`, `field type conflict` and `unable to parse`, and do not send the lines
//! again. The number of refused lines is at the end, as in InfluxDB 1.

use neap_http::text_prefix;
use neap_rows::line_protocol::{LineError, LineErrorKind};

/// About the maximum length of a message, in bytes.
const MAX_MESSAGE_BYTES: usize = 8 << 10;

/// Maximum length of the reason why one line is refused, in bytes.
const MAX_REASON_BYTES: usize = 1 << 10;

/// Maximum length of a line in a reason, in bytes.
const MAX_LINE_BYTES: usize = 256;

/// Returns the message of `/write`: InfluxDB 1's for conflicts of field types and for lines that can't be parsed.
pub(super) fn v1_message(errors: &[LineError], refused: usize) -> String {
    message(errors.iter().map(v1_reason), refused)
}

/// Returns the message of `/api/v2/write`, which names each line by its number.
pub(super) fn v2_message(errors: &[LineError], refused: usize) -> String {
    let reasons = errors.iter().map(|error| {
        let reason = field_conflict(error).unwrap_or_else(|| error.error_message.clone());
        format!("line {}: {reason}", error.line_number)
    });
    message(reasons, refused)
}

fn v1_reason(error: &LineError) -> String {
    let reason = &error.error_message;
    match (field_conflict(error), error.kind) {
        (Some(conflict), _) => conflict,
        (None, LineErrorKind::Limit) => reason.clone(),
        (None, LineErrorKind::Parse | LineErrorKind::Schema) => {
            let line = text_prefix(&error.original_line, MAX_LINE_BYTES);
            format!("unable to parse '{line}': {reason}")
        }
    }
}

/// Returns InfluxDB 1's text for a field with another type than its column.
fn field_conflict(error: &LineError) -> Option<String> {
    let conflict = error.conflict.as_ref()?;
    Some(format!(
        "field type conflict: input field \"{}\" on measurement \"{}\" is type {}, already exists as type {}",
        conflict.field,
        conflict.table,
        conflict.input.influxql_name(),
        conflict.existing.influxql_name(),
    ))
}

/// Returns the reasons, each on a line, and the number of refused lines. Equal reasons of successive lines are shown once.
fn message(reasons: impl Iterator<Item = String>, refused: usize) -> String {
    let mut message = "partial write: ".to_owned();
    let mut last = String::new();
    let mut shown = 0;
    for reason in reasons {
        if message.len() > MAX_MESSAGE_BYTES {
            break;
        }
        if reason != last {
            if shown > 0 {
                message.push('\n');
            }
            message.push_str(text_prefix(&reason, MAX_REASON_BYTES));
            last = reason;
        }
        shown += 1;
    }
    if shown < refused {
        message.push_str(&format!("\nand {} more lines", refused - shown));
    }
    message.push_str(&format!(" dropped={refused}"));
    message
}

#[cfg(test)]
mod tests {
    use neap_rows::line_protocol::{Options, parse};

    use super::*;
    use crate::schema::CatalogView;

    fn errors(body: &str) -> Vec<LineError> {
        let catalog = neap_catalog::DatabaseCatalog::default();
        let parsed = parse(body.as_bytes(), &CatalogView(&catalog), &Options::default());
        parsed.unwrap().errors
    }

    #[test]
    fn conflicts_of_field_types_have_the_text_of_influxdb_1() {
        for (value, name) in
            [("1", "float"), ("1i", "integer"), ("1u", "unsigned"), ("true", "boolean")]
        {
            let errors = errors(&format!("m name=\"web\" 1\nm name={value} 2"));
            let conflict = format!(
                r#"field type conflict: input field "name" on measurement "m" is type {name}, already exists as type string"#
            );
            assert_eq!(v1_message(&errors, 1), format!("partial write: {conflict} dropped=1"));
            assert_eq!(
                v2_message(&errors, 1),
                format!("partial write: line 2: {conflict} dropped=1")
            );
        }
    }

    #[test]
    fn all_refused_lines_are_named() {
        let errors = errors("m,v=x a=1 1\nbad\nm v=1 2\nm time=3 3");
        insta::assert_snapshot!(v1_message(&errors, 3), @"
        partial write: unable to parse 'bad': Expected at least one space character, got end of input
        unable to parse 'm v=1 2': invalid column type for column 'v', expected iox::column_type::tag, got iox::column_type::field::float
        unable to parse 'm time=3 3': invalid column type for column 'time', expected iox::column_type::timestamp, got iox::column_type::field::float dropped=3
        ");
        insta::assert_snapshot!(v2_message(&errors, 3), @"
        partial write: line 2: Expected at least one space character, got end of input
        line 3: invalid column type for column 'v', expected iox::column_type::tag, got iox::column_type::field::float
        line 4: invalid column type for column 'time', expected iox::column_type::timestamp, got iox::column_type::field::float dropped=3
        ");
    }

    #[test]
    fn messages_are_short() {
        let body: String = (0..2_000).map(|n| format!("m{n} {}\n", "é".repeat(2_000))).collect();
        let errors = errors(&body);
        assert_eq!(errors.len(), 2_000);
        for message in [v1_message(&errors, 5_000), v2_message(&errors, 5_000)] {
            assert!(message.len() < MAX_MESSAGE_BYTES + 2 * MAX_REASON_BYTES);
            assert!(message.ends_with(" more lines dropped=5000"), "{message}");
        }
        let mut same = errors;
        for error in &mut same {
            error.kind = LineErrorKind::Limit;
        }
        assert_eq!(v1_message(&same, 2_000), "partial write: No fields were provided dropped=2000");
    }
}
