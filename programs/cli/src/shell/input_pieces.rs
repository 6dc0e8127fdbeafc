//! Splits typed text or a file into meta-commands of the shell and statements for the server.

use super::tokens::{QueryLanguage, SyntaxToken, tokens};

/// A command or statement with the preceding space and comments. The concatenated pieces of a text are the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputPiece<'a> {
    /// A meta-command: `\d`, `use db`, `exit`.
    Command(&'a str),
    /// A statement with its terminator.
    Statement(&'a str),
    /// A statement without a terminator.
    Unfinished(&'a str),
    /// Space and comments.
    Blank(&'a str),
}

impl<'a> InputPiece<'a> {
    pub(super) fn text(&self) -> &'a str {
        let (Self::Command(text)
        | Self::Statement(text)
        | Self::Unfinished(text)
        | Self::Blank(text)) = self;
        text
    }
}

/// Returns the first piece of a text and the rest; `None` if the text is empty.
///
/// SQL statements end with `;`, InfluxQL statements with `;` or a line break.
pub(super) fn next_piece(text: &str, language: QueryLanguage) -> Option<(InputPiece<'_>, &str)> {
    if text.is_empty() {
        return None;
    }
    if let Some(end) = command_end(text) {
        let (command, rest) = text.split_at(end);
        return Some((InputPiece::Command(command), rest));
    }
    let mut end = 0;
    let mut has_content = false;
    for token in tokens(text, language) {
        if has_content && let Some(line_end) = line_end(&token, language) {
            let (statement, rest) = text.split_at(end + line_end);
            return Some((InputPiece::Statement(statement), rest));
        }
        end += token.text.len();
        if token.is_symbol(";") {
            let (statement, rest) = text.split_at(end);
            return Some((InputPiece::Statement(statement), rest));
        }
        has_content |= token.is_significant() || !token.closed;
    }
    let piece = if has_content {
        InputPiece::Unfinished(text)
    } else {
        InputPiece::Blank(text)
    };
    Some((piece, ""))
}

/// Splits a text in SQL into its statements, with their terminators. Returns a text with one statement as it is.
pub(crate) fn sql_statements(text: &str) -> Vec<&str> {
    let language = QueryLanguage::Sql;
    let mut statements = Vec::new();
    let mut rest = text;
    while let Some((piece, after)) = next_piece(rest, language) {
        let mut significant = tokens(piece.text(), language).filter(SyntaxToken::is_significant);
        if significant.any(|token| !token.is_symbol(";")) {
            statements.push(piece.text());
        }
        rest = after;
    }
    if statements.len() > 1 {
        statements
    } else {
        vec![text]
    }
}

/// Returns the end of the line within a space or comment token, where an InfluxQL statement ends.
fn line_end(token: &SyntaxToken<'_>, language: QueryLanguage) -> Option<usize> {
    let ends = language == QueryLanguage::Influxql && !token.is_significant() && token.closed;
    ends.then(|| token.text.find('\n').map(|at| at + 1)).flatten()
}

/// Returns the end of the line if a text begins with a meta-command.
fn command_end(text: &str) -> Option<usize> {
    let begin = text.len() - text.trim_start().len();
    let rest = text.get(begin..)?;
    let line = rest.split_inclusive('\n').next()?;
    (line.starts_with('\\') || is_word_command(line)).then(|| begin + line.len())
}

/// Returns whether the line is `exit`, `quit`, `help` or `use NAME`, as in other shells.
fn is_word_command(line: &str) -> bool {
    let line = line.trim().trim_end_matches(';').trim_end();
    let mut words = line.split_whitespace();
    let first = words.next().unwrap_or_default().to_ascii_lowercase();
    match first.as_str() {
        "exit" | "quit" | "help" => words.next().is_none(),
        "use" => words.next().is_some_and(|name| !name.contains(';')),
        _ => false,
    }
}

/// Returns the last piece of a text and its start.
pub(super) fn last_piece(text: &str, language: QueryLanguage) -> Option<(InputPiece<'_>, usize)> {
    let mut last = None;
    let mut rest = text;
    while let Some((piece, after)) = next_piece(rest, language) {
        last = Some((piece, text.len() - rest.len()));
        rest = after;
    }
    last
}

/// Returns whether Enter after this text submits it instead of starting another line.
pub(super) fn is_complete(text: &str, language: QueryLanguage) -> bool {
    match last_piece(text, language) {
        Some((InputPiece::Unfinished(statement), _)) => {
            language == QueryLanguage::Influxql
                && tokens(statement, language).all(|token| token.closed)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(mut text: &str, language: QueryLanguage) -> Vec<InputPiece<'_>> {
        let mut pieces = Vec::new();
        while let Some((piece, rest)) = next_piece(text, language) {
            pieces.push(piece);
            text = rest;
        }
        pieces
    }

    #[test]
    fn statements_end_outside_of_quotes_and_comments() {
        insta::assert_debug_snapshot!(pieces("SELECT ';' -- no;\n, \"a;b\", $$;$$; /* ; */ SELECT\n2 ;\n-- end;\n", QueryLanguage::Sql), @r#"
        [
            Statement(
                "SELECT ';' -- no;\n, \"a;b\", $$;$$;",
            ),
            Statement(
                " /* ; */ SELECT\n2 ;",
            ),
            Blank(
                "\n-- end;\n",
            ),
        ]
        "#);
        assert_eq!(
            pieces("SELECT 'a;\nb", QueryLanguage::Sql),
            [InputPiece::Unfinished("SELECT 'a;\nb")]
        );
        assert_eq!(pieces(";", QueryLanguage::Sql), [InputPiece::Statement(";")]);
    }

    #[test]
    fn a_text_is_split_only_if_it_has_several_statements() {
        for (text, statements) in [
            ("SELECT ';'; -- all\n", vec!["SELECT ';'; -- all\n"]),
            ("SELECT 1;;\n\nSELECT\n2", vec!["SELECT 1;", "\n\nSELECT\n2"]),
            (";", vec![";"]),
        ] {
            assert_eq!(sql_statements(text), statements);
        }
    }

    #[test]
    fn influxql_ends_with_its_line() {
        assert_eq!(
            pieces("\nSHOW DATABASES\nSELECT 'a\nb' FROM c;SELECT 1", QueryLanguage::Influxql),
            [
                InputPiece::Statement("\nSHOW DATABASES\n"),
                InputPiece::Statement("SELECT 'a\nb' FROM c;"),
                InputPiece::Unfinished("SELECT 1"),
            ]
        );
    }

    #[test]
    fn commands_are_lines_at_the_beginning_of_a_statement() {
        assert_eq!(
            pieces("\\d cpu;\nSELECT 1;\n\\x\nuse home;\n SELECT\n\\d;", QueryLanguage::Sql),
            [
                InputPiece::Command("\\d cpu;\n"),
                InputPiece::Statement("SELECT 1;"),
                InputPiece::Command("\n\\x\n"),
                InputPiece::Command("use home;\n"),
                InputPiece::Statement(" SELECT\n\\d;"),
            ]
        );
        for command in ["exit", "QUIT;", "help", "use a b"] {
            assert_eq!(pieces(command, QueryLanguage::Sql), [InputPiece::Command(command)]);
        }
        assert_eq!(pieces("exit 1", QueryLanguage::Sql), [InputPiece::Unfinished("exit 1")]);
    }

    #[test]
    fn enter_sends_what_is_complete() {
        for (text, sql, influxql) in [
            ("", true, true),
            ("SELECT 1", false, true),
            ("SELECT 1;", true, true),
            ("SELECT 1; -- done", true, true),
            ("SELECT ';", false, false),
            ("SELECT 1; SELECT", false, true),
            ("/* open", false, false),
            ("\\d", true, true),
            ("exit", true, true),
        ] {
            assert_eq!(is_complete(text, QueryLanguage::Sql), sql, "{text}");
            assert_eq!(is_complete(text, QueryLanguage::Influxql), influxql, "{text}");
        }
    }

    fn language(influxql: bool) -> QueryLanguage {
        if influxql {
            QueryLanguage::Influxql
        } else {
            QueryLanguage::Sql
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn pieces_together_are_the_text(
            text in r#"([a-eE$'"/*; \n\\é;.-]|\$\$|--|/\*|\*/|\nuse x\n){0,40}"#,
            influxql: bool,
        ) {
            let pieces = pieces(&text, language(influxql));
            let joined: String = pieces.iter().map(InputPiece::text).collect();
            prop_assert_eq!(&joined, &text);
            prop_assert!(pieces.iter().all(|piece| !piece.text().is_empty()));
            let unended = |piece: &InputPiece<'_>| matches!(piece, InputPiece::Unfinished(_) | InputPiece::Blank(_));
            let open = pieces.iter().position(unended);
            prop_assert!(open.is_none_or(|at| at + 1 == pieces.len()));
        }

        #[test]
        fn quotes_are_never_split(
            inside in r"[a-c;\n -]{0,12}",
            quotes in prop_oneof![
                Just(("'", "'")), Just(("\"", "\"")), Just(("/*", "*/")), Just(("$$", "$$")), Just(("$t$", "$t$")),
            ],
            before in "[a-c ]{0,6}",
        ) {
            // A dollar within a word does not start a quoted string.
            let statement = format!("SELECT {before} {}{inside}{} x;", quotes.0, quotes.1);
            let text = format!("{statement}SELECT 2;");
            prop_assert_eq!(
                pieces(&text, QueryLanguage::Sql),
                [InputPiece::Statement(&statement), InputPiece::Statement("SELECT 2;")]
            );
        }
    }
}
