//! Recognizes statements that would read the whole history of a table.
//!
//! This is a check of the text and not of the plan: it must not cost a request, and its purpose is to make an agent
//! think again. A statement that it lets through is still bounded in time, rows and bytes.

/// Names whose rows do not grow with the history.
const BOUNDED_SOURCES: [&str; 4] =
    ["information_schema.", "system.", "last_cache(", "distinct_cache("];

/// Returns whether a statement reads tables without a condition on time.
pub(crate) fn reads_whole_history(statement: &str) -> bool {
    let text = without_literals(statement).to_ascii_lowercase();
    let words = || text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    let first = words().find(|word| !word.is_empty());
    if matches!(first, None | Some("show" | "explain" | "describe")) {
        return false;
    }
    if !words().any(|word| word == "from") {
        return false;
    }
    if BOUNDED_SOURCES.iter().any(|source| text.contains(source)) {
        return false;
    }
    !has_condition_on_time(&text)
}

/// Returns whether `time` is compared after the first `WHERE`.
fn has_condition_on_time(text: &str) -> bool {
    let Some((_, conditions)) = text.split_once("where") else {
        return false;
    };
    let mut rest = conditions;
    while let Some((before, after)) = rest.split_once("time") {
        let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
        let begins = !before.ends_with(is_word);
        let after_name = after.trim_start_matches(['"', ' ', '\n', '\t', '\r']);
        let is_compared = after_name.starts_with(['<', '>', '=']) || starts_between(after_name);
        let is_right_side = before.trim_end_matches([' ', '"']).ends_with(['<', '>', '=']);
        if begins && !after.starts_with(is_word) && (is_compared || is_right_side) {
            return true;
        }
        rest = after;
    }
    false
}

fn starts_between(text: &str) -> bool {
    text.starts_with("between") || text.starts_with("in ") || text.starts_with("in(")
}

/// Removes string literals and comments.
fn without_literals(statement: &str) -> String {
    let mut text = String::with_capacity(statement.len());
    let mut chars = statement.chars().peekable();
    while let Some(char) = chars.next() {
        match (char, chars.peek()) {
            ('\'', _) => {
                chars.find(|char| *char == '\'');
                text.push(' ');
            }
            ('-', Some('-')) => {
                chars.find(|char| *char == '\n');
                text.push(' ');
            }
            _ => text.push(char),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_without_a_condition_on_time_read_the_whole_history() {
        for statement in [
            "SELECT * FROM cpu",
            "SELECT count(*) FROM cpu WHERE host = 'a'",
            "SELECT * FROM cpu ORDER BY time DESC LIMIT 5",
            "SELECT time FROM cpu WHERE host = 'time > 3'",
            "SELECT * FROM cpu WHERE uptime > 3",
            "SELECT * FROM cpu WHERE time_zone = 3",
            "SELECT * FROM cpu -- WHERE time > 3",
            "WITH a AS (SELECT * FROM cpu) SELECT * FROM a",
            "SELECT mean(v) FROM cpu GROUP BY time(1m)",
        ] {
            assert!(reads_whole_history(statement), "{statement}");
        }
    }

    #[test]
    fn statements_with_a_condition_on_time_or_without_tables_do_not() {
        for statement in [
            "SELECT * FROM cpu WHERE time >= now() - INTERVAL '1 hour'",
            "select v from cpu where host = 'a' and \"time\" > now() - 5m",
            "SELECT * FROM cpu WHERE time BETWEEN '2026-01-01' AND '2026-01-02'",
            "SELECT * FROM cpu WHERE now() - INTERVAL '1 day' < time",
            "SELECT * FROM cpu WHERE cpu.time > now() - INTERVAL '1 day'",
            "SHOW TABLES",
            "EXPLAIN SELECT * FROM cpu",
            "SELECT 1",
            "SELECT * FROM system.queries",
            "SELECT * FROM information_schema.columns",
            "SELECT * FROM last_cache('cpu')",
        ] {
            assert!(!reads_whole_history(statement), "{statement}");
        }
    }
}
