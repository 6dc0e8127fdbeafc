//! A tokenizer for SQL and InfluxQL that is sufficient to find the end of a statement and the context of the cursor. It
//! accepts any text, and the concatenated tokens are the text.

use clap::ValueEnum;

/// Query languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryLanguage {
    /// SQL, much like PostgreSQL's.
    Sql,
    /// InfluxQL.
    Influxql,
}

/// Kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// White space.
    Space,
    /// `-- …` without its line break, or `/* … */`.
    Comment,
    /// `'…'`, `$tag$…$tag$`, or a regular expression of InfluxQL.
    Text,
    /// `"…"`, in SQL `` `…` `` as well.
    Name,
    /// A keyword, an identifier or a number.
    Word,
    /// Any other character.
    Symbol,
}

/// A token of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SyntaxToken<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// Whether the token is complete: no following text could extend it.
    pub(super) closed: bool,
}

impl SyntaxToken<'_> {
    /// Returns whether the token is neither space nor a comment.
    pub(super) fn is_significant(&self) -> bool {
        !matches!(self.kind, Kind::Space | Kind::Comment)
    }

    /// Returns whether the token is this keyword.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Returns whether the token is this symbol.
    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }
}

/// Words after which a `/` starts an InfluxQL regular expression instead of a division.
const BEFORE_REGEX: [&str; 9] =
    ["and", "by", "distinct", "from", "in", "key", "or", "select", "where"];

/// Iterator over the tokens of a text.
#[derive(Clone, Debug)]
pub(super) struct TokenIter<'a> {
    rest: &'a str,
    language: QueryLanguage,
    /// Whether the last significant token is an operand, so that `/` is a division.
    after_operand: bool,
}

/// Splits a text into tokens.
pub(super) fn tokens(text: &str, language: QueryLanguage) -> TokenIter<'_> {
    TokenIter { rest: text, language, after_operand: false }
}

impl<'a> Iterator for TokenIter<'a> {
    type Item = SyntaxToken<'a>;

    fn next(&mut self) -> Option<SyntaxToken<'a>> {
        let first = self.rest.chars().next()?;
        let (kind, end) = self.measure(first);
        let (text, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        let token = SyntaxToken { kind, text, closed: end.is_some() };
        match kind {
            Kind::Space | Kind::Comment => {}
            Kind::Text | Kind::Name => self.after_operand = true,
            Kind::Symbol => self.after_operand = text == ")",
            Kind::Word => {
                let mut keywords = BEFORE_REGEX.iter();
                self.after_operand = !keywords.any(|keyword| token.is_word(keyword));
            }
        }
        Some(token)
    }
}

impl TokenIter<'_> {
    /// Returns the kind and the length of the next token; the length is `None` if the token is unterminated.
    fn measure(&self, first: char) -> (Kind, Option<usize>) {
        let text = self.rest;
        let escapes = self.language == QueryLanguage::Influxql;
        match first {
            _ if first.is_whitespace() => {
                let end = text.find(|next: char| !next.is_whitespace());
                (Kind::Space, Some(end.unwrap_or(text.len())))
            }
            '-' if text.starts_with("--") => {
                let end = text.find('\n').unwrap_or(text.len());
                (Kind::Comment, Some(end))
            }
            '/' if text.starts_with("/*") => (Kind::Comment, comment_end(text, self.language)),
            '/' if escapes && !self.after_operand => (Kind::Text, quoted_end(text, 1, '/', true)),
            '\'' => (Kind::Text, quoted_end(text, 1, '\'', escapes)),
            '"' => (Kind::Name, quoted_end(text, 1, '"', escapes)),
            '`' if !escapes => (Kind::Name, quoted_end(text, 1, '`', false)),
            '$' if self.language == QueryLanguage::Sql => dollar_end(text),
            'e' | 'E' if !escapes && text.get(1..2) == Some("'") => {
                (Kind::Text, quoted_end(text, 2, '\'', true))
            }
            _ if is_word(first) => (Kind::Word, Some(word_end(text))),
            _ => (Kind::Symbol, Some(first.len_utf8())),
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Returns the end of the word at the start. A `$` within it does not start a quoted string.
fn word_end(text: &str) -> usize {
    let end = text.find(|next: char| !is_word(next) && next != '$');
    end.unwrap_or(text.len())
}

/// Returns the end of the quoted text whose contents start at `begin`. A doubled quote ends one text and starts
/// another, which has the same effect.
fn quoted_end(text: &str, begin: usize, quote: char, escapes: bool) -> Option<usize> {
    let mut characters = text.get(begin..)?.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if escapes => {
                characters.next();
            }
            _ if character == quote => return Some(begin + at + quote.len_utf8()),
            _ => {}
        }
    }
    None
}

/// Returns the end of a comment that starts with `/*`. SQL comments nest.
fn comment_end(text: &str, language: QueryLanguage) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        if rest.starts_with("/*") && (depth == 0 || language == QueryLanguage::Sql) {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest.chars().next()?.len_utf8();
        }
    }
}

/// Measures `$tag$…$tag$`, or a parameter such as `$name`.
fn dollar_end(text: &str) -> (Kind, Option<usize>) {
    let after = text.get(1..).unwrap_or_default();
    let tag_end = 1 + after.find(|next| !is_word(next)).unwrap_or(after.len());
    let Some(tag) = text.get(..tag_end + 1).filter(|tag| tag.ends_with('$')) else {
        return match tag_end {
            1 => (Kind::Symbol, Some(1)),
            _ => (Kind::Word, Some(tag_end)),
        };
    };
    let contents = text.get(tag.len()..).unwrap_or_default();
    let end = contents.find(tag).map(|at| tag.len() + at + tag.len());
    (Kind::Text, end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str, language: QueryLanguage) -> String {
        let shown = tokens(text, language).filter(SyntaxToken::is_significant).map(|token| {
            let open = if token.closed { "" } else { "…" };
            format!("{:?}({}{open})", token.kind, token.text)
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sql_is_read_as_postgresql_does() {
        let shown = |text| shown(text, QueryLanguage::Sql);
        insta::assert_snapshot!(shown("SELECT a.b FROM \"x;y\""), @r#"Word(SELECT) Word(a) Symbol(.) Word(b) Word(FROM) Name("x;y")"#);
        insta::assert_snapshot!(shown("'it''s' 'a\\' E'b\\'c' 'open"), @r"Text('it') Text('s') Text('a\') Text(E'b\'c') Text('open…)");
        insta::assert_snapshot!(shown("$$a;$b$$ $t$ $$ $t$ $name a$b$ $"), @"Text($$a;$b$$) Text($t$ $$ $t$) Word($name) Word(a$b$) Symbol($)");
        insta::assert_snapshot!(shown("1 /* a /* b */ ; */ 2 -- c\n/ 3"), @"Word(1) Word(2) Symbol(/) Word(3)");
    }

    #[test]
    fn influxql_has_escapes_and_regular_expressions() {
        let shown = |text| shown(text, QueryLanguage::Influxql);
        insta::assert_snapshot!(shown(r#"'a\'b' "c\"d""#), @r#"Text('a\'b') Name("c\"d")"#);
        insta::assert_snapshot!(shown(r"FROM /a;\/b/ WHERE c =~ /d/ AND e / 2 > (f)/g"), @r"Word(FROM) Text(/a;\/b/) Word(WHERE) Word(c) Symbol(=) Symbol(~) Text(/d/) Word(AND) Word(e) Symbol(/) Word(2) Symbol(>) Symbol(() Word(f) Symbol()) Symbol(/) Word(g)");
        insta::assert_snapshot!(shown("/* a /* b */ c"), @"Word(c)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn tokens_together_are_the_text(
            text in r#"([a-eE$'"/*; \n\\é;.-]|\$\$|--|/\*|\*/|FROM ){0,40}"#,
            influxql: bool,
        ) {
            let language = if influxql { QueryLanguage::Influxql } else { QueryLanguage::Sql };
            let all: Vec<_> = tokens(&text, language).collect();
            let joined: String = all.iter().map(|token| token.text).collect();
            prop_assert_eq!(&joined, &text);
            prop_assert!(all.iter().all(|token| !token.text.is_empty()));
            let open = all.iter().position(|token| !token.closed);
            prop_assert!(open.is_none_or(|at| at + 1 == all.len()));
        }
    }
}
