//! The memory that the planning of a statement takes, which DataFusion does not count.

use std::sync::Arc;

use datafusion::{
    execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation},
    sql::sqlparser::tokenizer::Token,
};

use crate::{
    QueryError, dialect::tokenize, request::StatementLanguage, statement_size::added_expressions,
};

/// Bytes that a statement reserves for each of its tokens. At the peak of planning, a literal in a list with its comma
/// took 2 kB, a row of `VALUES` 2.7 kB, and a column of a `SELECT` 8 kB (release build, November 2026).
const TOKEN_BYTES: usize = 2 << 10;

/// Tokens that need no reservation: usual statements.
const FREE_TOKENS: usize = 1_000;

/// Reserves the memory for planning a statement, until the reservation is dropped.
/// Fails with `Planning`: the statement is too large. `Execution` with `ResourcesExhausted`: the memory of queries is
/// used up.
pub(crate) fn reserve_planning(
    pool: &Arc<dyn MemoryPool>,
    language: StatementLanguage,
    statement: &str,
) -> Result<MemoryReservation, QueryError> {
    let reservation = MemoryConsumer::new("planning").register(pool);
    if statement.len() > FREE_TOKENS {
        let counted = most_tokens(statement).saturating_mul(size_of::<Token>());
        reservation.try_resize(counted).map_err(QueryError::Execution)?;
    }
    let tokens = count_tokens(statement);
    reserve(&reservation, tokens)?;
    if language == StatementLanguage::Sql {
        // Parses the statement, for which there is memory now.
        let added = added_expressions(statement).map_err(QueryError::Planning)?;
        let all = usize::try_from(added).map_or(usize::MAX, |added| tokens.saturating_add(added));
        reserve(&reservation, all)?;
    }
    Ok(reservation)
}

/// Changes a reservation to that of a statement with a number of tokens.
fn reserve(reservation: &MemoryReservation, tokens: usize) -> Result<(), QueryError> {
    let counted = tokens.saturating_sub(FREE_TOKENS);
    reservation
        .try_resize(counted.saturating_mul(TOKEN_BYTES))
        .map_err(QueryError::Execution)
}

/// Returns a maximum of the number of tokens of a statement: words, and signs outside of words.
fn most_tokens(statement: &str) -> usize {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
    let bytes = statement.as_bytes();
    let before = std::iter::once(b' ').chain(bytes.iter().copied());
    let begins = bytes.iter().zip(before).filter(|(byte, before)| {
        let continues_word = is_word(**byte) && is_word(*before);
        !byte.is_ascii_whitespace() && !continues_word
    });
    begins.count()
}

/// Returns the number of tokens of a statement; 0 if it has too few bytes for more than [`FREE_TOKENS`]. Text that is no SQL, such
/// as a regular expression of InfluxQL, counts with half of its bytes, because tokens have spaces or signs between them.
fn count_tokens(statement: &str) -> usize {
    if statement.len() <= FREE_TOKENS {
        return 0;
    }
    let is_token = |token: &&Token| !matches!(token, Token::Whitespace(_));
    match tokenize(statement) {
        Ok((_, tokens)) => tokens.iter().filter(is_token).count(),
        Err(_) => statement.len() / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_texts_hide_no_tokens() {
        let list = vec!["1"; 2_000].join(",");
        for before in ["", "--'\n", "/*\"*/ ", "SELECT '--', "] {
            let tokens = count_tokens(&format!("{before}{list}"));
            assert!((3_999..4_010).contains(&tokens), "{before}: {tokens}");
            assert!(most_tokens(&format!("{before}{list}")) >= tokens);
        }
        assert_eq!(count_tokens(&format!("'{list}'")), 1);
        assert_eq!(count_tokens("SELECT 1"), 0);
        let unfinished = format!("'{list}");
        assert_eq!(count_tokens(&unfinished), unfinished.len() / 2);
    }
}
