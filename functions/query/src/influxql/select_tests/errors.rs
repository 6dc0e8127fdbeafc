//! Errors of invalid statements.

use super::instance;
use crate::tests::instance::assert_answers;

#[tokio::test]
async fn wrong_statements_are_refused_with_reasons() {
    let instance = instance().await;
    let refused = async |statement: &str| instance.refused(statement).await.replace('\n', " | ");
    let answers = r#"
    SELECT mean(temp), hum FROM home
        400 rewriting statement | caused by | gather information about select statement | caused by | Error during planning: mixing aggregate and non-aggregate columns is not supported
    SELECT max(temp), min(temp), hum FROM home
        400 rewriting statement | caused by | gather information about select statement | caused by | Error during planning: mixing multiple selector functions with tags or fields is not supported
    SELECT nope(temp) FROM home
        400 rewriting statement | caused by | gather information about select statement | caused by | Error during planning: unsupported function nope()
    SELECT histogram(temp) FROM home
        400 Error during planning: Invalid function 'histogram'
    SELECT mean(note) FROM home
        400 Error during planning: mean() does not support fields of type string
    SELECT max(note) FROM home
        400 Error during planning: max() does not support fields of type string
    SELECT percentile(temp) FROM home
        400 rewriting statement | caused by | gather information about select statement | caused by | Error during planning: invalid number of arguments for percentile, expected 2, got 1
    SELECT percentile(temp, 101) FROM home
        400 rewriting statement | caused by | gather information about select statement | caused by | Error during planning: invalid argument for percentile: 101
    SELECT mean(temp + 1) FROM home
        400 rewriting statement | caused by | gather information about select statement | caused by | Error during planning: expected field argument in mean()
    SELECT top(temp, 2), mean(temp) FROM home
        400 rewriting statement | caused by | gather information about select statement | caused by | Error during planning: selector function top() cannot be combined with other functions
    SELECT distinct(temp), mean(temp) FROM home
        400 rewriting statement | caused by | gather information about select statement | caused by | Error during planning: aggregate function distinct() cannot be combined with other functions or fields
    SELECT temp FROM home GROUP BY time(1h)
        400 Error during planning: GROUP BY requires at least one aggregate function
    SELECT derivative(temp) FROM home GROUP BY time(1h)
        400 rewriting statement | caused by | gather information about select statement | caused by | Error during planning: aggregate function required inside the call to derivative
    SELECT derivative(mean(temp)) FROM home
        400 rewriting statement | caused by | gather information about select statement | caused by | Error during planning: derivative aggregate requires a GROUP BY interval
    SELECT time FROM home
        400 Error during planning: at least 1 non-time field must be queried
    SELECT temp FROM home WHERE time > 'yesterday'
        400 Error during planning: invalid expression "'yesterday'": 'yesterday' is not a valid timestamp
    SELECT temp FROM home WHERE room =~ /(/
        400 Error during planning: error parsing regexp: missing closing ): `(`
    SELECT temp FROM home TZ('Mars/Base')
        400 Error during planning: unable to find time zone Mars/Base
    SELECT * + 1 FROM home
        400 Error during planning: unsupported expression with wildcard: * + 1
    SELECT derivative(temp, 1h), temp FROM home
        400 rewriting statement | caused by | gather information about select statement | caused by | Error during planning: mixing aggregate and non-aggregate columns is not supported
    SELECT top(temp, 0) FROM home
        400 rewriting statement | caused by | gather information about select statement | caused by | Error during planning: invalid argument for top: 0
    "#;
    assert_answers(answers, refused).await;
}

#[tokio::test]
async fn a_name_that_is_a_tag_and_a_field_is_not_implemented() {
    let instance = instance().await;
    instance.write("mixed room=1 1699948800000000000").await;
    let answer = instance.refused("SELECT * FROM home, mixed").await;
    insta::assert_snapshot!(answer, @"405 This feature is not implemented: cannot mix tag and field columns with the same name: room");
    let answer = instance.refused("SELECT temp FROM home, mixed GROUP BY room").await;
    insta::assert_snapshot!(answer, @"405 This feature is not implemented: cannot mix tag and field columns with the same name: room");
    assert_rows!(instance, "SELECT max(temp) FROM home, mixed", @"
    m,time,max
    home,11:00:00,24.0
    ");
}

#[tokio::test]
async fn arguments_and_dimensions_that_are_no_tags_are_rejected() {
    let instance = instance().await;
    let refused = async |statement: &str| instance.refused(statement).await;
    let answers = r#"
    SELECT top(temp, co, 2) FROM home
        400 Error during planning: invalid argument for top: co is not a tag
    SELECT bottom(temp, time, 2) FROM home
        400 Error during planning: invalid argument for bottom: time is not a tag
    SELECT mean(temp) FROM home GROUP BY time
        400 Error during planning: time is not a tag: GROUP BY takes time(interval)
    SELECT mean(temp) FROM home GROUP BY "time"
        400 Error during planning: time is not a tag: GROUP BY takes time(interval)
    "#;
    assert_answers(answers, refused).await;
}
