//! The names and types of tables and columns, as the model gets them. Values of rows are never among them.

use std::sync::Arc;

use neap_catalog::{DatabaseCatalog, Table};
use serde_json::Value;

use super::word_set::WordSet;

/// Maximum bytes of all tables. A model reads about three bytes as a token, and small ones read 8,000 tokens at once.
const MAX_BYTES: usize = 12 << 10;

/// Maximum bytes of one table.
const MAX_TABLE_BYTES: usize = 4 << 10;

/// Maximum bytes of a name. Longer ones are left out.
const MAX_NAME_BYTES: usize = 256;

/// Returns a line for each table, until the text is full. Tables and columns whose names are among `words` come first.
pub(super) fn schema_text(catalog: &DatabaseCatalog, words: &WordSet) -> String {
    let mut tables: Vec<&Arc<Table>> = catalog.tables().collect();
    tables.sort_by_cached_key(|table| !table.names().any(|name| words.contains_name(name)));
    let lines = tables.iter().filter_map(|table| table_line(table, words));
    let mut text = String::new();
    let mut listed = 0;
    for line in lines {
        if text.len().saturating_add(line.len()) > MAX_BYTES {
            break;
        }
        text.push_str(&line);
        listed += 1;
    }
    if listed < tables.len() {
        text.push_str(&format!("({} more tables are not listed)\n", tables.len() - listed));
    }
    text
}

/// Returns the line of a table; `None` if its name is too long.
fn table_line(table: &Table, words: &WordSet) -> Option<String> {
    let mut line = format!("{}:", quoted(table.name())?);
    let mut columns: Vec<_> = table.columns().iter().collect();
    columns.sort_by_cached_key(|column| !words.contains_name(&column.name));
    let mut listed = 0;
    for column in &columns {
        let Some(name) = quoted(&column.name) else {
            continue;
        };
        if line.len().saturating_add(name.len()) > MAX_TABLE_BYTES {
            break;
        }
        line.push_str(&format!(" {name} {},", column.column_type.influxql_name()));
        listed += 1;
    }
    if listed < columns.len() {
        line.push_str(&format!(" ({} more columns),", columns.len() - listed));
    }
    line.pop();
    line.push('\n');
    Some(line)
}

/// Returns a name in quotes and on one line; `None` if it is too long.
fn quoted(name: &str) -> Option<String> {
    (name.len() <= MAX_NAME_BYTES).then(|| Value::from(name).to_string())
}

#[cfg(test)]
mod tests {
    use neap_bucket::{Bucket, World};
    use neap_catalog::{ANY_AGE, Catalog};
    use neap_schema::ColumnType;

    use super::*;

    /// Returns the text of tables with fields, which are integers.
    async fn text(tables: &[(&str, &[&str])], words: &str) -> String {
        let catalog = Catalog::for_sole_process(Bucket::in_memory(World::system()));
        let id = catalog.create_database("garden", None).await.unwrap();
        for (table, fields) in tables {
            let fields: Vec<_> =
                fields.iter().map(|name| ((*name).to_owned(), ColumnType::Integer)).collect();
            catalog.create_table(id, table, &["bed".to_owned()], &fields).await.unwrap();
        }
        let database = catalog.database(id, ANY_AGE).await.unwrap();
        schema_text(&database.value, &WordSet::new(&[words]))
    }

    #[tokio::test]
    async fn named_tables_and_columns_come_first() {
        let tables: [(&str, &[&str]); 2] =
            [("air", &["humidity"]), ("soil", &["depth", "moisture"])];
        insta::assert_snapshot!(text(&tables, "avg(moisture) FROM soil").await, @r#"
        "soil": "moisture" integer, "time" time, "bed" tag, "depth" integer
        "air": "time" time, "bed" tag, "humidity" integer
        "#);
    }

    #[tokio::test]
    async fn a_name_stays_within_its_line() {
        let long = "l".repeat(MAX_NAME_BYTES + 1);
        let tables: [(&str, &[&str]); 2] = [("a\"\n\"b", &["x", &long]), (&long, &[])];
        insta::assert_snapshot!(text(&tables, "").await, @r#"
        "a\"\n\"b": "time" time, "bed" tag, "x" integer, (1 more columns)
        (1 more tables are not listed)
        "#);
    }

    #[tokio::test]
    async fn the_text_is_bounded_and_contains_the_named_table() {
        let numbered: Vec<String> = (0..900).map(|number| format!("column {number}")).collect();
        let columns: Vec<&str> = numbered.iter().map(String::as_str).collect();
        let names = ["a", "b", "c", "d", "e", "soil"];
        let tables = names.map(|name| (name, columns.as_slice()));
        let text = text(&tables, "soil").await;
        assert!(text.len() < MAX_BYTES + 64, "{}", text.len());
        assert!(text.starts_with("\"soil\":"), "{text}");
        assert!(text.ends_with("more tables are not listed)\n"), "{text}");
    }
}
