//! Tests of the functions in SQL.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::prelude::SessionContext;

use crate::testing::{error, register_table, session, table};

fn books() -> SessionContext {
    let schema = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, false),
        Field::new("book", DataType::Utf8, true),
    ]));
    let books = [
        Some("[[1.0,2.0],[3.5,null]]"),
        Some("[4.0]"),
        Some("[]"),
        Some("no array"),
        None,
    ];
    let batch = RecordBatch::try_new(
        schema,
        vec![
            Arc::new(Int64Array::from_iter_values(1..=5)),
            Arc::new(StringArray::from_iter(books)),
        ],
    );
    let session = session();
    register_table(&session, "books", &[batch.unwrap()]);
    session
}

#[tokio::test]
async fn arrays_are_read_from_their_text() {
    insta::assert_snapshot!(table(&books(), "
        SELECT n, array_values(book) AS v, array_shape(book) AS s, dim_length(book, 1) AS d, dim_length(book, 2) AS e,
               array_value(book, 1, 2) AS b, array_value(book, n - 1) AS a
        FROM books ORDER BY n").await, @r"
    | n | v                 | s      | d | e | b   | a   |
    | 1 | [1.0, 2.0, 3.5, ] | [2, 2] | 2 | 2 | 2.0 |     |
    | 2 | [4.0]             | [1]    | 1 |   |     | 4.0 |
    | 3 | []                | [0]    | 0 |   |     |     |
    | 4 |                   |        |   |   |     |     |
    | 5 |                   |        |   |   |     |     |
    ");
}

#[tokio::test]
async fn lists_of_values_work_with_functions_of_lists() {
    insta::assert_snapshot!(table(&books(), "
        SELECT array_max(array_values(book)) AS largest, array_length(array_values(book)) AS count
        FROM books WHERE n = 1").await, @r"
    | largest | count |
    | 3.5     | 4     |
    ");
    insta::assert_snapshot!(table(&books(), "
        SELECT sum(v) AS total FROM (SELECT unnest(array_values(book)) AS v FROM books)").await, @r"
    | total |
    | 10.5  |
    ");
}

#[tokio::test]
async fn decimals_as_text_are_cast() {
    insta::assert_snapshot!(table(&session(), "
        SELECT CAST('123.45' AS DECIMAL(10, 2)) * 2 AS d, arrow_typeof(CAST('-0.001' AS DECIMAL(76, 38))) AS t").await, @r"
    | d      | t                  |
    | 246.90 | Decimal256(76, 38) |
    ");
}

#[tokio::test]
async fn constants_and_dictionaries_are_arrays_too() {
    insta::assert_snapshot!(table(&session(), "
        SELECT array_values('[1,2]') AS v, array_value('[1,2]', 2) AS b, array_value('[1,2]', NULL) AS n,
               dim_length(NULL, 1) AS d, array_shape('[1') AS s").await, @r"
    | v          | b   | n | d | s |
    | [1.0, 2.0] | 2.0 |   |   |   |
    ");
    insta::assert_snapshot!(table(&books(), "
        SELECT array_value('[[5,6],[7,8]]', n, 2) AS v, array_value(arrow_cast(book, 'Dictionary(Int32, Utf8)'), 1) AS d
        FROM books WHERE n < 4 ORDER BY n").await, @r"
    | v   | d   |
    | 6.0 |     |
    | 8.0 | 4.0 |
    |     |     |
    ");
}

#[tokio::test]
async fn wrong_arguments_are_errors() {
    let pairs = "
        array_values(1) ==> the first argument of array_values must be an array as text, not Int64
        array_values('[1]', 1) ==> array_values takes one argument
        array_shape() ==> array_shape takes an array as text
        dim_length('[1]') ==> dim_length takes an array and the number of a dimension
        array_value('[1]') ==> array_value takes an array and an index for each dimension
        array_value('[1]', 1.5) ==> the arguments of array_value after the array must be integers, not Float64
    ";
    for (call, message) in neap_test_inputs::text_pairs(pairs) {
        let got = error(&session(), &format!("SELECT {call}")).await;
        assert!(got.contains(message), "{call}: {got}");
    }
}

#[tokio::test]
async fn the_size_of_values_is_limited() {
    let got = error(
        &session(),
        "SELECT array_values('[' || repeat('1,', 60000000) || '1]') FROM home LIMIT 1",
    )
    .await;
    assert!(got.contains("the limit is"), "{got}");
}
