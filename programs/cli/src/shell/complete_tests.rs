//! Tests of completion.

use super::*;

fn table(schema: &str, name: &str, columns: &[&str]) -> CompletionTable {
    CompletionTable {
        schema: schema.to_owned(),
        name: name.to_owned(),
        columns: columns.iter().map(|&column| column.to_owned()).collect(),
    }
}

fn names() -> CompletionNames {
    let strings = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect();
    CompletionNames {
        databases: strings(&["home", "hotel", "office"]),
        tables: vec![
            table("iox", "cpu", &["host", "time", "usage", "Idle Time"]),
            table("iox", "Cellar", &["humidity", "time"]),
            table("system", "queries", &["query_text"]),
            table("information_schema", "columns", &["column_name"]),
        ],
        functions: strings(&["date_bin", "date_trunc", "max"]),
    }
}

/// Returns the text after completion, with the cursor at `|`.
fn after(text: &str, language: QueryLanguage) -> Vec<String> {
    let cursor = text.find('|').unwrap();
    let line = text.replacen('|', "", 1);
    let completion = complete(&line, cursor, language, &names());
    let start = &line[..completion.start];
    let all = completion.candidates.iter();
    all.map(|candidate| format!("{start}{}", candidate.text)).collect()
}

fn sql(text: &str) -> Vec<String> {
    after(text, QueryLanguage::Sql)
}

#[test]
fn keywords_have_the_case_of_the_typed_prefix() {
    assert_eq!(sql("sele|"), ["select"]);
    assert_eq!(sql("SELE|"), ["SELECT"]);
    assert_eq!(sql("SELECT 1; SELE|"), ["SELECT 1; SELECT"]);
    assert_eq!(sql("|"), [""; 0]);
}

#[test]
fn tables_follow_from_and_join() {
    assert_eq!(sql("SELECT * FROM c|"), ["SELECT * FROM \"Cellar\"", "SELECT * FROM cpu"]);
    assert_eq!(sql("SELECT * FROM \"C|"), ["SELECT * FROM \"Cellar\"", "SELECT * FROM \"cpu\""]);
    assert_eq!(sql("SELECT * FROM a JOIN cp|"), ["SELECT * FROM a JOIN cpu"]);
    assert_eq!(sql("SELECT * FROM a, cp|"), ["SELECT * FROM a, cpu"]);
    assert_eq!(sql("SELECT * FROM sy|"), ["SELECT * FROM system."]);
    assert_eq!(sql("SELECT * FROM system.|"), ["SELECT * FROM system.queries"]);
    assert_eq!(sql("FROM last|"), ["FROM last_cache("]);
}

#[test]
fn columns_are_those_of_the_tables_that_are_named() {
    assert_eq!(sql("SELECT | FROM Cellar"), ["SELECT humidity", "SELECT time"]);
    assert_eq!(sql("SELECT h| FROM cpu"), ["SELECT having", "SELECT host"]);
    assert_eq!(sql("SELECT hu|"), ["SELECT humidity"]);
    assert_eq!(sql("SELECT I| FROM cpu").last().unwrap(), "SELECT \"Idle Time\"");
    assert_eq!(sql("SELECT cpu.u| FROM cpu"), ["SELECT cpu.usage"]);
    assert_eq!(sql("SELECT c.u| FROM cpu AS c WHERE"), ["SELECT c.usage"]);
    assert_eq!(sql("SELECT c.u| FROM cpu c"), ["SELECT c.usage"]);
    assert_eq!(sql("SELECT max(us| FROM cpu"), ["SELECT max(usage", "SELECT max(using"]);
    assert_eq!(sql("SELECT date_|"), ["SELECT date_bin(", "SELECT date_trunc("]);
}

#[test]
fn only_by_follows_group_and_order() {
    assert_eq!(sql("SELECT 1 GROUP b|"), ["SELECT 1 GROUP by"]);
    assert_eq!(sql("SELECT 1 ORDER B|"), ["SELECT 1 ORDER BY"]);
}

#[test]
fn nothing_is_proposed_in_texts_and_comments() {
    for text in ["SELECT 'sel|", "-- sel|", "/* sel|", "SELECT $$ sel|"] {
        assert_eq!(sql(text), [""; 0], "{text}");
    }
}

#[test]
fn influxql_has_words_of_its_own() {
    let influxql = |text| after(text, QueryLanguage::Influxql);
    assert_eq!(influxql("show meas|"), ["show measurement", "show measurements"]);
    assert_eq!(influxql("SELECT * FROM Ce|"), ["SELECT * FROM Cellar"]);
    assert_eq!(
        influxql("SHOW TAG KEYS ON ho|"),
        ["SHOW TAG KEYS ON home", "SHOW TAG KEYS ON hotel"]
    );
    assert_eq!(
        influxql("SELECT holt|"),
        ["SELECT holt_winters(", "SELECT holt_winters_with_fit("]
    );
}

#[test]
fn commands_are_completed_with_their_arguments() {
    assert_eq!(sql("\\ti|"), ["\\timing"]);
    assert_eq!(sql("\\c ho|"), ["\\c home", "\\c hotel"]);
    assert_eq!(sql("use o|"), ["use office"]);
    assert_eq!(sql("\\d C|"), ["\\d Cellar", "\\d cpu"]);
    assert_eq!(sql("\\f js|"), ["\\f json", "\\f jsonl"]);
    assert_eq!(sql("\\lang i|"), ["\\lang influxql"]);
    assert_eq!(sql("\\q |"), [""; 0]);
}
