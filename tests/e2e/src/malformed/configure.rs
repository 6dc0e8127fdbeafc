//! Malformed changes of databases and tables.

use super::{CHARACTERS, MalformedRequest, case, error};

const DATABASE: &str = "/api/v3/configure/database";
const RETENTION: &str = "/api/v3/configure/database/retention_period";
const TABLE: &str = "/api/v3/configure/table";

const MEDIA_TYPE: &str = "unacceptable content-type, expected: application/json";
const EXISTS: &str = "attempted to create a resource that already exists";
const NOT_FOUND: &str = "the requested resource was not found: nope";
const NO_TIME: &str = "Cannot parse the timestamp: premature end of input";

pub(super) fn cases() -> Vec<MalformedRequest> {
    let mut cases = databases();
    cases.extend(tables());
    cases
}

fn json(
    method: &'static str,
    path: &str,
    body: &str,
    status: u16,
    answer: &str,
) -> MalformedRequest {
    case(method, path, body, status, answer).with("Content-Type", "application/json")
}

fn databases() -> Vec<MalformedRequest> {
    let post = |body, status, answer: &str| json("POST", DATABASE, body, status, answer);
    let at = |method, path: &str, query: &str, status, answer: &str| {
        case(method, format!("{path}?{query}"), "", status, answer)
    };
    vec![
        case("POST", DATABASE, r#"{"db":"x"}"#, 415, MEDIA_TYPE),
        case("POST", DATABASE, r#"{"db":"x"}"#, 415, MEDIA_TYPE).with("Content-Type", "text/plain"),
        post("{", 400, "serde json error: EOF while parsing an object at line 1 column 1"),
        post("{}", 400, "serde json error: missing field `db` at line 1 column 2"),
        post(r#"{"db":""}"#, 400, &error("db name cannot be empty")),
        post(r#"{"db":"a.b"}"#, 400, &error(CHARACTERS)),
        post(r#"{"db":"w"}"#, 409, EXISTS),
        post(
            r#"{"db":"y","retention_period":"soon"}"#,
            400,
            "serde json error: invalid value: string \"soon\", expected a duration at line 1 column 36",
        ),
        post(
            r#"{"db":"y","retention_period":"0s"}"#,
            400,
            "the retention period must be longer than zero",
        ),
        json("PUT", DATABASE, r#"{"db":"nope"}"#, 404, NOT_FOUND),
        case("DELETE", DATABASE, "", 400, "serde error: missing field `db`"),
        at("DELETE", DATABASE, "db=nope", 404, NOT_FOUND),
        at("DELETE", DATABASE, "db=_internal", 500, "cannot delete internal db"),
        at("DELETE", DATABASE, "db=w&hard_delete_at=soon", 400, NO_TIME),
        at(
            "GET",
            DATABASE,
            "show_deleted=maybe",
            400,
            "serde error: provided string was not `true` or `false`",
        ),
        at("POST", RETENTION, "db=w", 400, "serde error: missing field `duration`"),
        at(
            "POST",
            RETENTION,
            "db=w&duration=soon",
            400,
            "Cannot parse the given human time: expected number at 0",
        ),
        at("POST", RETENTION, "db=nope&duration=1d", 404, NOT_FOUND),
        at("DELETE", RETENTION, "db=nope", 404, NOT_FOUND),
    ]
}

fn tables() -> Vec<MalformedRequest> {
    let post = |body, status, answer: &str| json("POST", TABLE, body, status, answer);
    vec![
        case(
            "POST",
            TABLE,
            r#"{"db":"w","table":"t","tags":[],"fields":[]}"#,
            415,
            MEDIA_TYPE,
        ),
        post(
            r#"{"db":"w","table":"t"}"#,
            400,
            "serde json error: missing field `tags` at line 1 column 22",
        ),
        post(
            r#"{"db":"w","table":"t","tags":[],"fields":[{"name":"a","type":"decimal"}]}"#,
            400,
            "serde json error: unknown variant `decimal`, expected one of `utf8`, `int64`, `uint64`, `float64`, `bool` at line 1 column 70",
        ),
        post(r#"{"db":"w","table":"known","tags":[],"fields":[]}"#, 409, EXISTS),
        post(
            r#"{"db":"w","table":"","tags":["a"],"fields":[]}"#,
            400,
            "table name cannot be empty",
        ),
        post(
            r#"{"db":"w","table":"u","tags":["a","a"],"fields":[]}"#,
            400,
            "duplicate column 'a'",
        ),
        post(
            r#"{"db":"w","table":"u","tags":["a"],"fields":[{"name":"a","type":"bool"}]}"#,
            400,
            "invalid column type for column 'a', expected iox::column_type::field::boolean, got iox::column_type::tag",
        ),
        post(
            r#"{"db":"w","table":"u","tags":["time"],"fields":[]}"#,
            400,
            "'time' is a reserved column",
        ),
        post(r#"{"db":"a.b","table":"u","tags":[],"fields":[]}"#, 400, &error(CHARACTERS)),
        case("DELETE", format!("{TABLE}?db=w"), "", 400, "serde error: missing field `table`"),
        case(
            "DELETE",
            format!("{TABLE}?db=w&table=nope"),
            "",
            404,
            "Table nope not in DB schema for w",
        ),
        case("DELETE", format!("{TABLE}?db=nope&table=t"), "", 404, "Database not found nope"),
        case(
            "DELETE",
            format!("{TABLE}?db=w&table=known&hard_delete_at=soon"),
            "",
            400,
            NO_TIME,
        ),
    ]
}
