//! `LATEST ON time PARTITION BY host`: the latest row of each partition, as in QuestDB.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::sql_tokens::{has_words, sign, words};

/// Returns tokens with `QUALIFY row_number() OVER (PARTITION BY host ORDER BY time DESC) = 1` in the place of `LATEST ON`.
pub(super) fn as_qualify(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut written = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match LatestOnClause::at(tokens, at) {
            Some(latest) => {
                latest.write(&mut written);
                at = latest.end;
            }
            None => {
                written.push(token.clone());
                at += 1;
            }
        }
    }
    written
}

/// The parts of a `LATEST ON`.
struct LatestOnClause<'a> {
    time: &'a [TokenWithSpan],
    partition: &'a [TokenWithSpan],
    /// The position after it.
    end: usize,
}

impl<'a> LatestOnClause<'a> {
    /// Returns `None` if the tokens at a position are something else, such as a table of this name.
    fn at(tokens: &'a [TokenWithSpan], at: usize) -> Option<Self> {
        if !has_words(tokens, at, &["LATEST", "ON"]) {
            return None;
        }
        let time = name(tokens, at + 2)?;
        let by = at + 2 + time.len();
        if !has_words(tokens, by, &["PARTITION", "BY"]) {
            return None;
        }
        let start = by + 2;
        let mut end = start + name(tokens, start)?.len();
        while tokens.get(end).is_some_and(|token| token.token == Token::Comma) {
            end += 1 + name(tokens, end + 1)?.len();
        }
        Some(Self { time, partition: tokens.get(start..end)?, end })
    }

    fn write(&self, written: &mut Vec<TokenWithSpan>) {
        written.extend(words(&["QUALIFY", "row_number"]));
        written.extend([sign(Token::LParen), sign(Token::RParen)]);
        written.extend(words(&["OVER"]));
        written.push(sign(Token::LParen));
        written.extend(words(&["PARTITION", "BY"]));
        written.extend_from_slice(self.partition);
        written.extend(words(&["ORDER", "BY"]));
        written.extend_from_slice(self.time);
        written.extend(words(&["DESC"]));
        written.extend([
            sign(Token::RParen),
            sign(Token::Eq),
            sign(Token::Number("1".to_owned(), false)),
        ]);
    }
}

/// Returns the tokens of a name, such as `host` or `cpu.host`.
fn name(tokens: &[TokenWithSpan], at: usize) -> Option<&[TokenWithSpan]> {
    let is_word = |at: usize| {
        let token = tokens.get(at).map(|token| &token.token);
        matches!(token, Some(Token::Word(_)))
    };
    if !is_word(at) {
        return None;
    }
    let mut end = at + 1;
    while tokens.get(end).is_some_and(|token| token.token == Token::Period) && is_word(end + 1) {
        end += 2;
    }
    tokens.get(at..end)
}
