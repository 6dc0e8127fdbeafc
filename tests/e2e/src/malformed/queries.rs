//! Malformed queries.

use serde_json::json;

use super::{MalformedRequest, case, error};

const PATH: &str = "/api/v3/query_sql";

const FORMATS: &str = "unknown variant `xml`, expected one of `parquet`, `csv`, `pretty`, `json`, `json_lines`, `jsonl`, `arrow`";
const NO_VALUE: &str =
    "expected null, a boolean, a number or a string as the value of a query parameter";

pub(super) fn cases() -> Vec<MalformedRequest> {
    let mut cases = urls();
    cases.extend(bodies());
    cases.extend(headers());
    cases.extend(statements());
    cases
}

fn urls() -> Vec<MalformedRequest> {
    let get = |query: &str, answer: &str| case("GET", format!("{PATH}{query}"), "", 400, answer);
    vec![
        get("", "missing query parameters 'db' and 'q'"),
        get("?db=w", "serde error: missing field `q`"),
        get("?q=SELECT%201", "serde error: missing field `db`"),
        get("?db=w&q=SELECT%201&format=xml", &format!("serde error: {FORMATS}")),
        get(
            "?db=w&q=SELECT%201&params=[1]",
            "serde json error: invalid type: sequence, expected a map at line 1 column 0",
        ),
        get(
            "?db=w&q=SELECT%20$a&params={",
            "serde json error: EOF while parsing an object at line 1 column 1",
        ),
        get(
            "?db=w&q=SELECT%20$a%20AS%20a",
            "Execution error: Placeholder '$a' was not provided a value for execution.",
        ),
        case(
            "GET",
            format!("{PATH}?db=nope&q=SELECT%201"),
            "",
            404,
            error("query error: database not found: nope"),
        ),
    ]
}

fn bodies() -> Vec<MalformedRequest> {
    let post = |body: &str, answer: &str| {
        case("POST", PATH, body, 400, format!("serde json error: {answer}"))
    };
    let mut cases = vec![
        post("", "EOF while parsing a value at line 1 column 0"),
        post("{", "EOF while parsing an object at line 1 column 1"),
        post("db=w&q=SELECT 1", "expected value at line 1 column 1"),
        post(r#"{"db":"w"}"#, "missing field `q` at line 1 column 10"),
        post(r#"{"q":"SELECT 1"}"#, "missing field `db` at line 1 column 16"),
        post(
            r#"{"db":1,"q":"SELECT 1"}"#,
            "invalid type: integer `1`, expected a string at line 1 column 7",
        ),
        post(
            r#"{"db":"w","q":"SELECT 1","format":"xml"}"#,
            &format!("{FORMATS} at line 1 column 39"),
        ),
        post(
            r#"{"db":"w","q":"SELECT 1","params":[1]}"#,
            "invalid type: sequence, expected a map at line 1 column 34",
        ),
        post(
            r#"{"db":"w","q":"SELECT 1","params":{"a":{}}}"#,
            &format!("invalid type: map, {NO_VALUE} at line 1 column 41"),
        ),
    ];
    let large = "x".repeat(5 << 20);
    cases.push(case("POST", PATH, large, 413, "max request size (4194304 bytes) exceeded"));
    cases
}

fn headers() -> Vec<MalformedRequest> {
    let good = json!({ "db": "w", "q": "SELECT 1 AS a" }).to_string();
    let post = |header, value, answer: &str| {
        case("POST", PATH, good.clone(), 400, answer).with(header, value)
    };
    vec![
        post("Accept", "application/xml", "invalid mime type (application/xml)"),
        post(
            "Accept",
            "application/json, text/csv;q=0.5",
            "invalid mime type (application/json, text/csv;q=0.5)",
        ),
        post("Content-Encoding", "br", "unacceptable content-encoding: br"),
        post("Content-Encoding", "gzip", "error decoding gzip stream: invalid gzip header"),
        post(
            "x-neap-max-staleness",
            "soon",
            "header x-neap-max-staleness is not a duration such as 500ms or 10s",
        ),
        post("x-neap-stamp", "soon", "header x-neap-stamp is not a stamp"),
    ]
}

fn statements() -> Vec<MalformedRequest> {
    let sql = |sql: &str, status, answer: &str| {
        case("POST", PATH, json!({ "db": "w", "q": sql }).to_string(), status, answer)
    };
    let write = "line protocol such as `TABLE,TAG=VALUE FIELD=1.5`, with POST /api/v3/write_lp?db=DATABASE or \
                 `neap write --database DATABASE 'LINES'`";
    let execute = "POST /api/v3/execute_sql of `neap serve`";
    let insert = format!(
        "Error during planning: INSERT is not supported in queries: {execute} executes INSERT. Rows are also written as \
         {write}"
    );
    let create = format!(
        "Error during planning: CREATE is not supported in queries: {execute} executes CREATE TABLE and CREATE \
         DATABASE. The first write to a table creates it; POST /api/v3/configure/table and `neap create table` do so \
         without rows"
    );
    let other =
        |name| format!("This feature is not implemented: Unsupported SQL statement: {name}");
    let failed = |reason| format!("query error: error while executing plan: {reason}");
    vec![
        sql(
            "",
            400,
            "Error during planning: No SQL statements were provided in the query string",
        ),
        sql(
            "selec",
            400,
            r#"SQL error: ParserError("Expected: an SQL statement, found: selec at Line: 1, Column: 1")"#,
        ),
        sql(
            "SELECT v FROM known WHERE",
            400,
            r#"SQL error: ParserError("Expected: an expression, found: EOF")"#,
        ),
        sql(
            "SELECT * FROM nope",
            400,
            "Error during planning: table 'public.iox.nope' not found",
        ),
        sql(
            "SELECT * FROM '/etc/passwd'",
            400,
            "Error during planning: table 'public.iox./etc/passwd' not found",
        ),
        sql(
            "SELECT nope FROM known",
            500,
            "Schema error: No field named nope.\nValid fields are known.t, known.time, known.v.",
        ),
        sql("CREATE TABLE x (a INT)", 400, &create),
        sql("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'", 400, &create),
        sql(
            "DROP TABLE known",
            400,
            &format!(
                "Error during planning: DROP is not supported in queries: {execute} executes DROP TABLE and DROP \
                 DATABASE; DELETE /api/v3/configure/table, `neap delete table` and `neap delete database` drop, too"
            ),
        ),
        sql("INSERT INTO known VALUES (1)", 400, &insert),
        sql("INSERT known,t=a v=1", 400, &insert),
        sql(
            "UPDATE known SET v = 1",
            400,
            &format!(
                "Error during planning: UPDATE is not supported: a row is changed by writing it once more, with the \
                 same tags and time and the new fields, as {write}"
            ),
        ),
        sql(
            "COPY known TO '/tmp/x.csv'",
            400,
            "Error during planning: COPY TO: the name '/tmp/x.csv' has the part '': use letters, digits, '-', '_', '.' \
             and '='",
        ),
        sql("SET a = 1", 400, "Error during planning: Statement not supported: SetVariable"),
        sql(
            "SELECT 1; SELECT 2",
            405,
            "This feature is not implemented: The context currently only supports a single SQL statement",
        ),
        sql("BEGIN", 405, &other("BEGIN")),
        sql("PREPARE p AS SELECT 1", 405, &other("Prepare")),
        sql("SHOW DATABASES", 405, &other("SHOW DATABASES")),
        sql(
            "SELECT v / 0 AS x FROM known",
            400,
            &failed("Arrow error: Divide by zero error"),
        ),
        sql(
            "SELECT CAST(t AS INT) AS x FROM known",
            400,
            &failed("Arrow error: Cast error: Cannot cast string 'a' to value of Int32 type"),
        ),
    ]
}
