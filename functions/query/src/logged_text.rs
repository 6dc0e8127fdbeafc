//! The texts of queries in the query log: of bounded length, and without secrets.

/// The maximum length of a text, in bytes.
const MAX_TEXT_BYTES: usize = 16 << 10;

/// The prefix of tokens. A query should contain no token; if it does by mistake, the log redacts it.
const TOKEN_PREFIX: &str = "apiv3_";

/// Prepares a text for the log: truncates it, and redacts tokens and passwords. Blanks around it, such as those that stand for the
/// other parts of a statement, are left out.
pub(crate) fn logged_text(text: &str) -> String {
    let trimmed = text.trim();
    let (first, rest) = trimmed.split_at(trimmed.floor_char_boundary(MAX_TEXT_BYTES));
    let mut shown = without_passwords(&without_tokens(first));
    if !rest.is_empty() || shown.len() > MAX_TEXT_BYTES {
        shown.truncate(shown.floor_char_boundary(MAX_TEXT_BYTES));
        shown.push('…');
    }
    shown.shrink_to_fit();
    shown
}

fn without_tokens(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(place) = rest.find(TOKEN_PREFIX) {
        let (before, token) = rest.split_at(place + TOKEN_PREFIX.len());
        let is_of_token = |char: char| {
            char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '+' | '/' | '=')
        };
        shown.push_str(before);
        shown.push('…');
        rest = token.trim_start_matches(is_of_token);
    }
    shown.push_str(rest);
    shown
}

/// Redacts strings after the words `PASSWORD` and `PASSWORD FOR user =`, with which statements set passwords.
fn without_passwords(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut shown = String::new();
    let mut copied = 0;
    for (place, word) in lower.match_indices("password") {
        let after = place + word.len();
        let rest = lower.get(after..).unwrap_or_default();
        // The name of a user may have quotes.
        let is_of_user = rest.trim_start().starts_with("for");
        let from = rest.find('=').filter(|_| is_of_user).unwrap_or(0);
        let Some(quote) = rest.get(from..).and_then(|rest| rest.find('\'')) else {
            break;
        };
        let between = rest.get(..from + quote).unwrap_or_default();
        let between_words = between.trim();
        let is_assigned = between_words.starts_with("for") && between_words.ends_with('=');
        if place < copied || !(between_words.is_empty() || is_assigned) {
            continue;
        }
        let start = after + between.len() + 1;
        shown.push_str(text.get(copied..start).unwrap_or_default());
        shown.push_str("[REDACTED]'");
        copied = string_end(text, start);
    }
    shown.push_str(text.get(copied..).unwrap_or_default());
    shown
}

/// Returns the place after a string, from the place after its first quote.
fn string_end(text: &str, start: usize) -> usize {
    let mut chars = text.char_indices().skip_while(|(place, _)| *place < start).peekable();
    while let Some((place, char)) = chars.next() {
        if char == '\\' {
            chars.next();
        } else if char == '\'' && chars.next_if(|(_, next)| *next == '\'').is_none() {
            return place + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_truncated_and_tokens_redacted() {
        for long in ["é".repeat(MAX_TEXT_BYTES), "password''".repeat(2_000)] {
            let shown = logged_text(&long);
            assert!(shown.len() <= MAX_TEXT_BYTES + '…'.len_utf8());
            assert!(shown.ends_with('…'));
        }
        assert_eq!(logged_text("SELECT 1"), "SELECT 1");
        assert_eq!(logged_text("\n     VALUES (1)\n"), "VALUES (1)");
        assert_eq!(
            logged_text("SELECT 'apiv3_ab+/=_-Z9' AS a, 'apiv3_x'"),
            "SELECT 'apiv3_…' AS a, 'apiv3_…'"
        );
    }

    #[test]
    fn passwords_are_redacted() {
        let pairs = r#"
            CREATE USER é WITH PASSWORD 'secret' WITH ALL PRIVILEGES ==> CREATE USER é WITH PASSWORD '[REDACTED]' WITH ALL PRIVILEGES
            create user a with password'it\'s a ''secret''';set Password for "b c"='secret' ==> create user a with password'[REDACTED]';set Password for "b c"='[REDACTED]'
            CREATE USER a WITH PASSWORD 'password ''secret ==> CREATE USER a WITH PASSWORD '[REDACTED]'
            SET PASSWORD FOR "o'neil" = 'secret' ==> SET PASSWORD FOR "o'neil" = '[REDACTED]'
            SELECT password FROM t WHERE host = 'a' ==> SELECT password FROM t WHERE host = 'a'
            SELECT password ==> SELECT password
        "#;
        for (text, shown) in neap_test_inputs::text_pairs(pairs) {
            assert_eq!(logged_text(text), shown);
        }
    }
}
