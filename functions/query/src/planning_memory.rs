//! The memory that the planning of a statement takes, which DataFusion does not count.

use std::sync::Arc;

use datafusion::{
    execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation},
    sql::sqlparser::{
        dialect::GenericDialect,
        tokenizer::{Token, Tokenizer},
    },
};

use crate::{QueryError, statement_size::added_expressions};

/// Bytes that a statement reserves for each of its tokens. At the peak of planning, a literal in a list with its comma
/// took 2 kB, a row of `VALUES` 2.7 kB, and a column of a `SELECT` 8 kB (release build, November 2026).
const TOKEN_BYTES: usize = 2 << 10;

/// Tokens that need no reservation: usual statements.
const FREE_TOKENS: usize = 1_000;

/// Reserves the memory for planning a statement, until the reservation is dropped.
///
/// # Errors
/// `Planning`: the statement is too large. `Execution` with `ResourcesExhausted`: the memory of queries is used up.
pub(crate) fn reserve_planning(
    pool: &Arc<dyn MemoryPool>,
    statement: &str,
) -> Result<MemoryReservation, QueryError> {
    let reservation = MemoryConsumer::new("planning").register(pool);
    let added = added_expressions(statement).map_err(QueryError::Planning)?;
    let added = usize::try_from(added).unwrap_or(usize::MAX);
    let tokens = count_tokens(statement).saturating_add(added);
    let reserved = tokens.saturating_sub(FREE_TOKENS);
    reservation
        .try_grow(reserved.saturating_mul(TOKEN_BYTES))
        .map_err(QueryError::Execution)?;
    Ok(reservation)
}

/// Returns the number of tokens of a statement; 0 if it has too few bytes for more than [`FREE_TOKENS`]. Text that is no SQL, such
/// as a regular expression of InfluxQL, counts with half of its bytes, because tokens have spaces or signs between them.
fn count_tokens(statement: &str) -> usize {
    if statement.len() <= FREE_TOKENS {
        return 0;
    }
    let is_token = |token: &&Token| !matches!(token, Token::Whitespace(_));
    match Tokenizer::new(&GenericDialect {}, statement).tokenize() {
        Ok(tokens) => tokens.iter().filter(is_token).count(),
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
        }
        assert_eq!(count_tokens(&format!("'{list}'")), 1);
        assert_eq!(count_tokens("SELECT 1"), 0);
        let unfinished = format!("'{list}");
        assert_eq!(count_tokens(&unfinished), unfinished.len() / 2);
    }
}
