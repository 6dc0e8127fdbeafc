//! Functions of JSON over fields and tags, compared with a parser.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, DictionaryArray, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::{SessionConfig, SessionContext};
use neap_test_inputs::cases;
use proptest::{prelude::*, sample::select};
use serde_json::Value;

use crate::testing::{error, register_table, row_count, rows, session_with, table};

/// Returns a session with a table `docs`, which has the texts in a field and in a tag.
fn session(texts: &[Option<&str>]) -> SessionContext {
    let postgres = SessionConfig::new().set_str("datafusion.sql_parser.dialect", "postgres");
    let session = session_with(postgres);
    let field: ArrayRef = Arc::new(StringArray::from_iter(texts.iter().copied()));
    let tags: DictionaryArray<Int32Type> = texts.iter().copied().collect();
    let tag: ArrayRef = Arc::new(tags);
    let columns = [("field", field), ("tag", tag)];
    register_table(&session, "docs", &[RecordBatch::try_from_iter(columns).unwrap()]);
    session
}

const SPAN: &str = r#"{"service.name":"shop","http":{"status":200,"ok":true,"ms":1.5},"tags":["a","b"],"none":null}"#;

#[tokio::test]
async fn operators_and_functions_have_the_types_of_their_values() {
    let session = session(&[Some(SPAN), Some("no json"), None]);
    for column in ["field", "tag"] {
        let sql = format!(
            "SELECT arrow_typeof({column} -> 'http') AS json, arrow_typeof({column} ->> 'http') AS text,
                arrow_typeof({column} ? 'http') AS found, arrow_typeof(json_get_int({column}, 'x')) AS int,
                arrow_typeof(json_length({column})) AS length
            FROM docs LIMIT 1"
        );
        let types = table(&session, &sql).await;
        insta::allow_duplicates! {
        insta::assert_snapshot!(types, @r"
        | json | text | found   | int   | length |
        | Utf8 | Utf8 | Boolean | Int64 | UInt64 |
        ");
        }
        let sql = format!(
            "SELECT {column} -> 'service.name' AS name, {column} ->> 'service.name' AS name_text,
                {column} -> 'http' ->> 'status' AS status, {column} ? 'none' AS has_none,
                {column} -> 'none' AS json_null, {column} ->> 'none' AS null_text,
                json_get({column}, 'http', 'ms') AS ms, json_get_array({column}, 'tags') AS tags,
                json_keys({column} -> 'http') AS keys
            FROM docs"
        );
        let values = table(&session, &sql).await;
        insta::allow_duplicates! {
        insta::assert_snapshot!(values, @r#"
        | name   | name_text | status | has_none | json_null | null_text | ms  | tags       | keys             |
        | "shop" | shop      | 200    | true     | null      |           | 1.5 | ["a", "b"] | [status, ok, ms] |
        |        |           |        | false    |           |           |     |            |                  |
        |        |           |        |          |           |           |     |            |                  |
        "#);
        }
    }
}

#[tokio::test]
async fn columns_are_called_as_in_the_statement() {
    let session = session(&[Some(SPAN)]);
    let sql = "SELECT field -> 'tags' -> 0, count(*) AS n FROM docs GROUP BY field -> 'tags' -> 0";
    insta::assert_snapshot!(table(&session, sql).await, @r#"
    | field -> 'tags' -> 0 | n |
    | "a"                  | 1 |
    "#);
}

#[tokio::test]
async fn a_conversion_of_json_reads_a_value_of_the_type() {
    let session = session(&[
        Some(r#"{"v":7}"#),
        Some(r#"{"v":1.5}"#),
        Some(r#"{"v":"8"}"#),
        Some(r#"{"v":"soon"}"#),
        Some(r#"{"v":true}"#),
        Some("{"),
        None,
    ]);
    let sql = "SELECT (tag -> 'v')::bigint AS int, CAST(tag -> 'v' AS INT) AS small, CAST(field -> 'v' AS DOUBLE) AS float,
            TRY_CAST(field -> 'v' AS BOOLEAN) AS bool, (field -> 'v')::text AS text
        FROM docs";
    insta::assert_snapshot!(table(&session, sql).await, @r#"
    | int | small | float | bool | text   |
    | 7   | 7     | 7.0   |      | 7      |
    |     |       | 1.5   |      | 1.5    |
    | 8   | 8     | 8.0   |      | "8"    |
    |     |       |       |      | "soon" |
    |     |       |       | true | true   |
    |     |       |       |      |        |
    |     |       |       |      |        |
    "#);
}

#[tokio::test]
async fn keys_and_documents_may_come_from_columns_and_be_null() {
    let session = session(&[Some(r#"{"a":1}"#), Some("a"), None]);
    let sql = r#"SELECT json_get_int('{"a":1}', field) AS key, json_get_int(tag, NULL) AS no_key, json_as_text(NULL, 'a') AS no_text,
            json_get_int('{"a":1}', 'a') AS constant, json_contains(NULL, field) AS found
        FROM docs"#;
    insta::assert_snapshot!(table(&session, sql).await, @r"
    | key | no_key | no_text | constant | found |
    |     |        |         | 1        |       |
    | 1   |        |         | 1        |       |
    |     |        |         | 1        |       |
    ");
    let none = r#"SELECT json_get_int('{"a":1}', field) AS key FROM docs WHERE field = 'x'"#;
    assert_eq!(row_count(&session, none).await, 0);
    insta::assert_snapshot!(
        error(&session, "SELECT json_get_int(5, 'a') FROM docs").await,
        @"Error during planning: Unexpected argument type to 'json_get_int' at position 1, expected a string, got Int64."
    );
}

/// A step of a path, as in SQL.
#[derive(Clone, Copy, Debug)]
enum Step {
    Key(&'static str),
    Index(i64),
}

const STEPS: [Step; 5] =
    [Step::Key("a"), Step::Key("b"), Step::Index(0), Step::Index(1), Step::Index(-1)];

impl Step {
    fn sql(self) -> String {
        match self {
            Self::Key(key) => format!("'{key}'"),
            Self::Index(index) => index.to_string(),
        }
    }

    fn reach(self, value: &Value) -> Option<&Value> {
        match (self, value) {
            (Self::Key(key), Value::Object(members)) => members.get(key),
            (Self::Index(index), Value::Array(elements)) => {
                let from_end = i64::try_from(elements.len()).unwrap();
                let at = if index < 0 { from_end + index } else { index };
                elements.get(usize::try_from(at).ok()?)
            }
            _ => None,
        }
    }
}

/// Returns the result of a function for a value, as text.
type Expected = fn(&Value) -> Option<String>;

/// The functions, with the text of their results for a value.
const FUNCTIONS: [(&str, Expected); 9] = [
    ("json_get_json", |value| Some(value.to_string())),
    ("json_as_text", |value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    }),
    ("json_get_str", |value| Some(value.as_str()?.to_owned())),
    ("json_get_int", |value| Some(value.as_i64()?.to_string())),
    ("json_get_float", |value| Some(format!("{:?}", value.as_f64()?))),
    ("json_get_bool", |value| Some(value.as_bool()?.to_string())),
    ("json_length", |value| match value {
        Value::Array(elements) => Some(elements.len().to_string()),
        Value::Object(members) => Some(members.len().to_string()),
        _ => None,
    }),
    ("json_object_keys", |value| {
        let keys: Vec<&str> = value.as_object()?.keys().map(String::as_str).collect();
        Some(format!("[{}]", keys.join(", ")))
    }),
    ("json_get_array", |value| {
        let elements: Vec<String> = value.as_array()?.iter().map(Value::to_string).collect();
        Some(format!("[{}]", elements.join(", ")))
    }),
];

/// Returns a document. Its texts are neither numbers nor booleans, which functions would read.
fn document() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i16>().prop_map(Value::from),
        any::<i16>().prop_map(|number| Value::from(f64::from(number) + 0.5)),
        "[bcdé\"\\\\ ]{0,5}".prop_map(Value::from),
    ];
    value.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[ab]", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn texts(column: &ArrayRef) -> Vec<Option<String>> {
    let formatter = ArrayFormatter::try_new(column, &FormatOptions::new()).unwrap();
    (0..column.len())
        .map(|row| (!column.is_null(row)).then(|| formatter.value(row).to_string()))
        .collect()
}

#[test]
fn functions_read_what_a_parser_reads() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let path = proptest::collection::vec(select(STEPS.to_vec()), 1..4);
    let config = ProptestConfig::with_cases(cases(256));
    proptest!(config, |(
        documents in proptest::collection::vec(document(), 1..4),
        path in path,
        (function, read) in select(FUNCTIONS.to_vec()),
    )| {
        let written: Vec<String> = documents.iter().map(Value::to_string).collect();
        let all: Vec<Option<&str>> = written.iter().map(|text| Some(text.as_str())).chain([None, Some("]")]).collect();
        let session = session(&all);
        let steps: String = path.iter().map(|step| format!(", {}", step.sql())).collect();
        let sql = format!(
            "SELECT {function}(field{steps}) AS field, {function}(tag{steps}) AS tag, json_contains(field{steps}) AS in_field,
                json_contains(tag{steps}) AS in_tag
            FROM docs"
        );
        let answer = runtime.block_on(rows(&session, &sql)).remove(0);
        let reached: Vec<Option<&Value>> = documents
            .iter()
            .map(|document| path.iter().try_fold(document, |value, step| step.reach(value)))
            .chain([None, None])
            .collect();
        let expected: Vec<Option<String>> = reached.iter().map(|value| read((*value)?)).collect();
        prop_assert_eq!(&texts(answer.column(0)), &expected, "{} {:?}", sql, all);
        prop_assert_eq!(&texts(answer.column(1)), &expected, "{} {:?}", sql, all);
        let is_reached: Vec<Option<bool>> =
            all.iter().zip(&reached).map(|(text, value)| text.map(|_| value.is_some())).collect();
        for column in &answer.columns()[2..] {
            let found: Vec<Option<bool>> = column.as_boolean().iter().collect();
            prop_assert_eq!(&found, &is_reached, "{} {:?}", sql, all);
        }
    });
}
