//! Rejects SQL statements that Neap does not support, with an error that names the alternative.

use datafusion::{
    common::{Result, plan_err},
    sql::sqlparser::{keywords::Keyword, tokenizer::Token},
};

/// How to write rows.
const HOW_TO_WRITE: &str = "line protocol such as `TABLE,TAG=VALUE FIELD=1.5`, with POST /api/v3/write_lp?db=DATABASE \
                            or `neap write --database DATABASE \'LINES\'`";

/// How to execute statements that change something. Functions on AWS Lambda don't.
const HOW_TO_EXECUTE: &str = "POST /api/v3/execute_sql of `neap serve`";

/// Rejects a statement that begins like one that writes rows or changes tables or databases. The error names the
/// alternative. Only the first words are examined, because no valid statement begins with them.
pub(crate) fn check(tokens: &[Token]) -> Result<()> {
    let mut words = tokens.iter().filter_map(|token| match token {
        Token::Whitespace(_) => None,
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => Some(Keyword::NoKeyword),
    });
    let is_prefix =
        |word: &Keyword| matches!(word, Keyword::EXPLAIN | Keyword::ANALYZE | Keyword::VERBOSE);
    let mut is_explained = false;
    let first = words.find(|word| {
        let is_prefix = is_prefix(word);
        is_explained |= is_prefix;
        !is_prefix
    });
    let Some(first) = first else {
        return Ok(());
    };
    match first {
        Keyword::INSERT | Keyword::REPLACE | Keyword::MERGE => {
            plan_err!(
                "{first:?} is not supported in queries: {HOW_TO_EXECUTE} executes INSERT. Rows are also written as {HOW_TO_WRITE}"
            )
        }
        Keyword::UPDATE => plan_err!(
            "UPDATE is not supported: a row is changed by writing it once more, with the same tags and time and the \
             new fields, as {HOW_TO_WRITE}"
        ),
        Keyword::COPY if is_explained => {
            plan_err!("EXPLAIN COPY is not supported: EXPLAIN the query of the statement")
        }
        Keyword::COPY if copies_into_table(tokens) => plan_err!(
            "COPY ... FROM is not supported: `neap write --database DATABASE --file FILE` writes the rows of a file; \
             other rows are written as {HOW_TO_WRITE}"
        ),
        Keyword::CREATE => plan_err!(
            "CREATE is not supported in queries: {HOW_TO_EXECUTE} executes CREATE TABLE and CREATE DATABASE. The first write \
             to a table creates it; POST /api/v3/configure/table and `neap create table` do so without rows"
        ),
        Keyword::ALTER => plan_err!(
            "ALTER is supported only as a statement of its own, which is not prepared or explained"
        ),
        Keyword::DROP => plan_err!(
            "DROP is not supported in queries: {HOW_TO_EXECUTE} executes DROP TABLE and DROP DATABASE; DELETE \
             /api/v3/configure/table, `neap delete table` and `neap delete database` drop, too"
        ),
        Keyword::TRUNCATE => plan_err!(
            "TRUNCATE is not supported: `DELETE FROM TABLE` without a condition deletes all rows of a table"
        ),
        _ => Ok(()),
    }
}

/// Whether a `COPY` statement has a `FROM` outside its query.
fn copies_into_table(tokens: &[Token]) -> bool {
    let mut depth = 0_usize;
    tokens.iter().any(|token| {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        matches!(token, Token::Word(word) if depth == 0 && word.quote_style.is_none() && word.keyword == Keyword::FROM)
    })
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::{dialect::GenericDialect, tokenizer::Tokenizer};

    use super::*;

    fn refusal(sql: &str) -> Option<String> {
        let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap();
        check(&tokens).err().map(|error| error.strip_backtrace())
    }

    #[test]
    fn statements_that_write_say_how_rows_are_written() {
        for sql in [
            "INSERT INTO m VALUES (1)",
            "insert into m (time, v) select time, v from n",
            "-- a comment\nINSERT cpu,host=a usage=1",
            "EXPLAIN ANALYZE INSERT INTO m VALUES (1)",
            "UPDATE m SET v = 1",
            "MERGE INTO m USING n ON m.a = n.a WHEN MATCHED THEN DELETE",
            "REPLACE INTO m VALUES (1)",
            "COPY m FROM '/tmp/x.csv'",
        ] {
            let refusal = refusal(sql).unwrap();
            assert_contains!(refusal, "POST /api/v3/write_lp?db=DATABASE or `neap write");
        }
    }

    #[test]
    fn statements_that_another_endpoint_executes_name_it() {
        for sql in [
            "INSERT INTO m VALUES (1)",
            "CREATE TABLE m (v DOUBLE)",
            "CREATE DATABASE d",
            "DROP TABLE m",
        ] {
            let refusal = refusal(sql).unwrap();
            assert!(refusal.contains("POST /api/v3/execute_sql"), "{refusal}");
        }
    }

    #[test]
    fn queries_that_only_mention_such_words_are_accepted() {
        for sql in [
            "SELECT replace(host, 'a', 'b') FROM m",
            "SELECT \"insert\" FROM \"update\"",
            "DELETE FROM m",
            "EXPLAIN SELECT 1",
            "WITH copy AS (SELECT 1) SELECT * FROM copy",
            "COPY m TO 'm.csv'",
            "COPY (SELECT * FROM m) TO 'm.csv'",
            "",
        ] {
            assert_eq!(refusal(sql), None, "{sql}");
        }
    }
}
