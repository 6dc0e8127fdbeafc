//! Expressions whose arguments are invalid. The error is one of the statement: its status is not that of a failure of the database.

use super::QueryTestInstance;

const ROWS: &str = "\
t,host=a s=\"a\",pattern=\"a\",v=1i,f=1.5 1700000000000000000
t,host=b s=\"b\",pattern=\"(\",v=2i,f=2.5 1700000001000000000
t,host=( s=\"(\",pattern=\"a\",v=0i,f=0.5 1700000002000000000
";

/// Expressions that can't be planned, or computed for all rows of `t`.
const REFUSED: &[&str] = &[
    // Patterns.
    "regexp_replace('a', '(', 'b')",
    "regexp_replace(s, '(', 'b')",
    "regexp_replace(s, '(', 'b', 'g')",
    "regexp_replace('a', pattern, 'b')",
    "regexp_replace(host, '(', 'b')",
    "regexp_like('a', '(')",
    "regexp_like(s, '(')",
    "regexp_like(s, pattern)",
    "regexp_like(s, 'a', 'g')",
    "regexp_match('a', '(')",
    "regexp_match(s, '(')",
    "regexp_match(s, pattern)",
    "regexp_count('a', '(')",
    "regexp_count(s, '(')",
    "regexp_count(s, 'a', 0)",
    "regexp_instr(s, '(')",
    "'a' ~ '('",
    "s ~ '('",
    "s !~* '('",
    "host ~ '('",
    "s ~ pattern",
    "s ~ '(a{1000}){1000}'",
    "s SIMILAR TO '('",
    "influx_regex_match(s, '(')",
    // Texts.
    "chr(-1)",
    "repeat('a', 9999999999)",
    "repeat(s, 9999999999)",
    "lpad(s, 9999999999)",
    "substr(s, 1, -1)",
    "split_part(s, 'b', 0)",
    "decode('zz', 'hex')",
    "decode('a', 'rot13')",
    "encode(s, 'rot13')",
    "digest(s, 'crc')",
    // Numbers and conversions.
    "1 / 0",
    "v / 0",
    "v % 0",
    "CAST('a' AS BIGINT)",
    "CAST(s AS BIGINT)",
    "CAST(s AS TIMESTAMP)",
    "arrow_cast(v, 'Nonsense')",
    "v BETWEEN INTERVAL '1 day' AND true",
    // Times.
    "to_timestamp('a')",
    "to_timestamp(s)",
    "to_date(s)",
    "make_date(2024, 13, 1)",
    "date_bin(INTERVAL '0 seconds', time)",
    "date_bin(INTERVAL '1 month 1 day', time)",
    "date_trunc('fortnight', time)",
    "date_part('fortnight', time)",
    "tz(time, 'Mars/Phobos')",
    "to_local_time(tz(to_timestamp(9223372036854775807), 'Asia/Tokyo'))",
    // Arrays.
    "array_resize([1], -1)",
    "array_resize([v], -1)",
    "array_slice([1, 2, 3], 1, 3, 0)",
    "array_slice([v, v, v], 1, 3, 3000000000)",
    "array_repeat([1], 99999999999)",
    "generate_series(1, 10, 0)",
    // Aggregates and windows.
    "sum(host)",
    "approx_percentile_cont(v, 2)",
    "string_agg(s, s)",
    "ntile(0) OVER (ORDER BY v)",
];

/// Unusual arguments, which have a value or not.
const UNUSUAL: &[&str] = &[
    "9223372036854775807 + v",
    "power(10, 100)",
    "factorial(21)",
    "factorial(-1)",
    "lcm(9223372036854775807, 2)",
    "round(f, 400)",
    "log(0, 10)",
    "sqrt(-1)",
    "substr(s, -5)",
    "left(s, -5)",
    "split_part(s, '', 5)",
    "array_element([1], 99)",
    "array_position([1], 1, -5)",
    "array_to_string([1], NULL)",
    "to_char(time, '%Q')",
    "from_unixtime(9223372036854775807)",
    "time + INTERVAL '99999999 days'",
    "INTERVAL '1 day'",
];

#[tokio::test]
async fn an_invalid_argument_is_an_error_of_the_statement() {
    let one = QueryTestInstance::with_rows(ROWS).await;
    let mut wrong = Vec::new();
    for expression in REFUSED.iter().chain(UNUSUAL) {
        let sql = format!("SELECT {expression} AS x FROM t");
        let (status, text) = one.post(serde_json::json!({"db": "db", "q": sql})).await;
        let may_succeed = UNUSUAL.contains(expression);
        let is_expected = matches!(status, 400 | 405) || (may_succeed && status == 200);
        if !is_expected {
            wrong.push(format!("{expression}: {status} {text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn an_invalid_pattern_is_named() {
    let one = QueryTestInstance::with_rows(ROWS).await;
    for expression in [
        "regexp_replace(s, '(', 'b')",
        "regexp_replace(s, pattern, 'b')",
        "regexp_like(s, '(')",
        "regexp_count(s, '(')",
        "s ~ '('",
        "s ~ pattern",
    ] {
        let sql = format!("SELECT count(*) AS n FROM t WHERE {expression} IS NOT NULL");
        let (status, text) = one.post(serde_json::json!({"db": "db", "q": sql})).await;
        assert_eq!(status, 400, "{expression}: {text}");
        let reasons = ["unclosed group", "Regular expression did not compile: ("];
        let is_named = reasons.iter().any(|reason| text.contains(reason));
        assert!(is_named, "{expression}: {text}");
        assert!(!text.contains("bug in DataFusion"), "{expression}: {text}");
    }
}
