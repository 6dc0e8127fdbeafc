//! The memory that the planning of a statement takes, which DataFusion does not count.

use std::sync::Arc;

use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};

use crate::QueryError;

/// Bytes that a statement reserves for each of its tokens. At the peak of planning, a literal in a list with its comma
/// took 2 kB, a row of `VALUES` 2.7 kB, and a column of a `SELECT` 8 kB (release build, November 2026).
const TOKEN_BYTES: usize = 2 << 10;

/// Tokens that need no reservation: usual statements.
const FREE_TOKENS: usize = 1_000;

/// Reserves the memory for planning a statement, until the reservation is dropped.
///
/// # Errors
/// `Execution` with `ResourcesExhausted`: the memory of queries is used up.
pub(crate) fn reserve_planning(
    pool: &Arc<dyn MemoryPool>,
    statement: &str,
) -> Result<MemoryReservation, QueryError> {
    let reservation = MemoryConsumer::new("planning").register(pool);
    let tokens = count_tokens(statement).saturating_sub(FREE_TOKENS);
    reservation
        .try_grow(tokens.saturating_mul(TOKEN_BYTES))
        .map_err(QueryError::Execution)?;
    Ok(reservation)
}

/// Returns about how many tokens a statement has: words, numbers, quoted texts and single signs.
fn count_tokens(statement: &str) -> usize {
    let (mut tokens, mut quote, mut is_in_word) = (0, None, false);
    for byte in statement.bytes() {
        if let Some(end) = quote {
            if byte == end {
                quote = None;
            }
            continue;
        }
        let is_of_word = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | 0x80..);
        if !(byte.is_ascii_whitespace() || is_of_word && is_in_word) {
            tokens += 1;
        }
        is_in_word = is_of_word;
        quote = matches!(byte, b'\'' | b'"').then_some(byte);
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_words_numbers_texts_and_signs() {
        for (statement, tokens) in [
            ("", 0),
            (
                "SELECT max(v)\n FROM \"a table\" WHERE host = 'it''s, (a) test'",
                12,
            ),
            ("x IN (1,2.5,-3)", 10),
            ("größe>='ä b' -- c", 7),
            ("'never ends 1 2 3", 1),
        ] {
            assert_eq!(count_tokens(statement), tokens, "{statement}");
        }
    }
}
