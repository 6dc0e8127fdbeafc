//! Keywords and functions of the query languages, for completion.

use super::tokens::QueryLanguage;

/// Keywords that precede a table name.
pub(super) const BEFORE_TABLE: [&str; 7] =
    ["from", "join", "into", "update", "table", "describe", "in"];

/// Keywords that start a clause.
pub(super) const CLAUSES: [&str; 10] = [
    "select", "from", "where", "group", "having", "order", "limit", "on", "using", "with",
];

pub(super) const TABLE_FUNCTIONS: [&str; 2] = ["distinct_cache", "last_cache"];

/// SQL keywords.
const SQL: &str = "
    ALL ANALYZE AND ANY AS ASC BETWEEN BY CASE CAST COLUMNS CROSS CUBE DELETE DESC DESCRIBE
    DISTINCT ELSE END ESCAPE EXCEPT EXISTS EXPLAIN EXTRACT FALSE FILTER FIRST FOLLOWING FROM FULL
    FUNCTIONS GROUP GROUPING HAVING ILIKE IN INNER INTERSECT INTERVAL IS JOIN LAST LATERAL LEFT
    LIKE LIMIT NATURAL NOT NULL NULLS OFFSET ON OR ORDER OUTER OVER PARTITION PRECEDING RANGE
    RECURSIVE RIGHT ROLLUP ROWS SELECT SHOW SIMILAR TABLES THEN TRUE UNBOUNDED UNION USING VALUES
    WHEN WHERE WINDOW WITH WITHIN
";

/// InfluxQL keywords.
const INFLUXQL: &str = "
    ALL ANALYZE AND AS ASC BY CARDINALITY CREATE DATABASE DATABASES DELETE DESC DISTINCT DROP
    DURATION EXACT EXPLAIN FALSE FIELD FILL FROM GROUP IN INTO KEY KEYS LIMIT MEASUREMENT
    MEASUREMENTS NAME NULL OFFSET ON OR ORDER POLICIES POLICY RETENTION SELECT SERIES SHARD SHOW
    SLIMIT SOFFSET TAG TO TRUE TZ VALUES WHERE WITH
";

pub(super) const INFLUXQL_FUNCTIONS: &str = "
    abs acos asin atan atan2 bottom ceil chande_momentum_oscillator cos count cumulative_sum
    derivative difference distinct double_exponential_moving_average elapsed exp
    exponential_moving_average first floor holt_winters holt_winters_with_fit integral
    kaufmans_adaptive_moving_average kaufmans_efficiency_ratio last ln log log10 log2 max mean
    median min mode moving_average non_negative_derivative non_negative_difference now percentile
    pow relative_strength_index round sample sin spread sqrt stddev sum tan top
    triple_exponential_derivative triple_exponential_moving_average
";

pub(super) fn keywords(language: QueryLanguage) -> impl Iterator<Item = &'static str> {
    let words = match language {
        QueryLanguage::Sql => SQL,
        QueryLanguage::Influxql => INFLUXQL,
    };
    words.split_ascii_whitespace()
}

/// Returns whether a name is a keyword, ignoring case.
pub(super) fn is_keyword(name: &str, language: QueryLanguage) -> bool {
    keywords(language).any(|word| word.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_and_unique() {
        for words in [SQL, INFLUXQL, INFLUXQL_FUNCTIONS] {
            let is_sorted = words.split_ascii_whitespace().is_sorted_by(|one, next| one < next);
            assert!(is_sorted, "{words}");
        }
    }
}
