//! Regular expressions with backslashes.

use super::instance::QueryTestInstance;

const PATHS: &str = r#"
paths,d=C:\dir,n=1 text="C:\\dir" 1700000000000000000
paths,d=C:dir,n=2 text="C:dir" 1700000000000000000
paths,d=a_b,n=3 text="a_b" 1700000000000000000
paths,d=a-b,n=4 text="a-b" 1700000000000000000
paths,d=100%,n=5 text="100%" 1700000000000000000
paths,d=100x,n=6 text="100x" 1700000000000000000
"#;

#[tokio::test]
async fn a_backslash_in_a_pattern_is_one_in_the_text() {
    let instance = QueryTestInstance::with_rows(PATHS).await;
    let conditions = [
        (r"~ 'C:\\dir'", "1"),
        (r"~ '^C:\\dir$'", "1"),
        (r"~ '^(C:\\dir)$'", "1"),
        (r"~ '^C:\\'", "1"),
        (r"~ '\\dir$'", "1"),
        (r"~ '\\'", "1"),
        (r"~ '[\\]'", "1"),
        (r"~ '\\|x$'", "1\n6"),
        (r"~ 'C:\\|a_|0%|0x'", "1\n3\n5\n6"),
        (r"~ ('C:' || '\\dir')", "1"),
        (r"~ 'a\Db'", "3\n4"),
        (r"~ '00%'", "5"),
        (r"~* 'c:\\DIR'", "1"),
        (r"~* '^c:\\DIR$'", "1"),
        (r"!~ '\\'", "2\n3\n4\n5\n6"),
        (r"!~* 'C:\\D'", "2\n3\n4\n5\n6"),
    ];
    for column in ["d", "text"] {
        for (condition, rows) in conditions {
            let sql = format!("SELECT n FROM paths WHERE {column} {condition} ORDER BY n");
            assert_eq!(instance.sql(&sql).await, format!("n\n{rows}\n"), "{sql}");
        }
        for (function, rows) in [
            ("regexp_like(%, 'C:\\\\d')", "1"),
            ("regexp_like(%, 'c:\\\\D', 'i')", "1"),
            ("influx_regex_match(%, '\\\\')", "1"),
            ("influx_regex_not_match(%, '\\\\')", "2\n3\n4\n5\n6"),
        ] {
            let condition = function.replace('%', column);
            let sql = format!("SELECT n FROM paths WHERE {condition} ORDER BY n");
            assert_eq!(instance.sql(&sql).await, format!("n\n{rows}\n"), "{sql}");
        }
    }
}

#[tokio::test]
async fn columns_are_called_what_the_statement_says() {
    let instance = QueryTestInstance::with_rows(PATHS).await;
    let sql = r"SELECT d ~ '\\', count(*) AS n FROM paths GROUP BY d ~ '\\' ORDER BY n";
    assert_eq!(instance.sql(sql).await, "\"paths.d ~ Utf8(\"\"\\\\\"\")\",n\ntrue,1\nfalse,5\n");
}
