//! Tokens of SQL statements.

use datafusion::sql::sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan},
};

/// Returns the text of a word that is not in quotes.
pub(crate) fn plain_word(token: Option<&TokenWithSpan>) -> Option<&str> {
    match &token?.token {
        Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
        _ => None,
    }
}

/// Returns the keyword of a token, `NoKeyword` if it is none.
pub(crate) fn keyword(token: Option<&TokenWithSpan>) -> Keyword {
    match token.map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

/// Whether these words, in any case, follow each other from a position on.
pub(crate) fn has_words(tokens: &[TokenWithSpan], at: usize, words: &[&str]) -> bool {
    words.iter().enumerate().all(|(offset, expected)| {
        let word = plain_word(tokens.get(at + offset));
        word.is_some_and(|word| word.eq_ignore_ascii_case(expected))
    })
}

pub(crate) fn words<'a>(texts: &'a [&'a str]) -> impl Iterator<Item = TokenWithSpan> + 'a {
    texts.iter().map(|text| TokenWithSpan::wrap(Token::make_word(text, None)))
}

/// Returns a text in quotes as a token.
pub(crate) fn text(text: impl Into<String>) -> TokenWithSpan {
    TokenWithSpan::wrap(Token::SingleQuotedString(text.into()))
}

pub(crate) fn sign(token: Token) -> TokenWithSpan {
    TokenWithSpan::wrap(token)
}

/// Returns the duration of a number and one of QuestDB's units, such as `15m`, as the text of an interval.
pub(crate) fn duration(tokens: &[TokenWithSpan], at: usize) -> Option<String> {
    let Token::Number(number, _) = &tokens.get(at)?.token else {
        return None;
    };
    let unit = match plain_word(tokens.get(at + 1))? {
        "n" => "nanoseconds",
        "U" => "microseconds",
        "T" => "milliseconds",
        "s" => "seconds",
        "m" => "minutes",
        "h" | "H" => "hours",
        "d" => "days",
        "w" => "weeks",
        "M" => "months",
        "y" => "years",
        _ => return None,
    };
    Some(format!("{number} {unit}"))
}
