//! Parts of rows and interrupted queries.

use arrow::array::{Int64Array, StringArray};
use async_trait::async_trait;
use futures::stream;
use neap_rows::columnar::{RowWriteError, StoredRows};

use super::*;

/// Stores nothing, and acknowledges three rows for each call.
#[derive(Debug)]
struct ThreeRowWriter;

#[async_trait]
impl RowWriter for ThreeRowWriter {
    async fn store_rows(
        &self,
        _name: &str,
        _database: DatabaseId,
        _rows: &ColumnarRows,
        _after: Option<Stamp>,
    ) -> Result<StoredRows, RowWriteError> {
        Ok(StoredRows { rows: 3, stamp: None })
    }
}

/// Returns rows of two sources with a text of this size.
fn rows_of_two_sources(bytes: usize) -> RecordBatch {
    let text = "x".repeat(bytes);
    RecordBatch::try_from_iter([
        ("iox::measurement", Arc::new(StringArray::from(vec!["a", "a", "b"])) as ArrayRef),
        (TIME_COLUMN, Arc::new(TimestampNanosecondArray::from(vec![1, 2, 3])) as _),
        ("n", Arc::new(Int64Array::from(vec![1, 2, 3])) as _),
        ("text", Arc::new(StringArray::from(vec![text.as_str(); 3])) as _),
    ])
    .unwrap()
}

fn target() -> TargetDatabase {
    TargetDatabase { name: "db".to_owned(), id: DatabaseId::new(1) }
}

const KEY: &GroupKey = &GroupKey {
    measurement_column_index: 0,
    tag_key_columns: Vec::new(),
    ranked_tags: Vec::new(),
};

fn storage<'a>(target: &'a TargetDatabase, table: Option<&'a str>) -> RowStorage<'a> {
    RowStorage {
        writer: &ThreeRowWriter,
        target,
        table,
        key: KEY,
        parts: Vec::new(),
        part_bytes: 0,
        added: 0,
        stored: 0,
        stamp: None,
    }
}

#[tokio::test]
async fn rows_are_divided_by_source_only_if_each_source_has_its_own_table() {
    let target = target();
    for (table, expected) in [(Some("all"), vec!["all"]), (None, vec!["a", "b"])] {
        let mut storage = storage(&target, table);
        storage.add(&rows_of_two_sources(1)).await.unwrap();
        let tables = storage.parts.iter().map(|part| &part.mapping.table);
        assert_eq!(tables.collect::<Vec<_>>(), expected);
        assert_eq!(storage.added, 3);
    }
}

#[tokio::test]
async fn a_query_that_fails_later_says_how_many_rows_are_stored() {
    let target = target();
    let reason = QueryError::NoWriter.to_string();
    let after_a_part = format!("3 rows are stored, the others are not: {reason}");
    for (bytes, expected) in [(PART_BYTES, after_a_part), (1, reason)] {
        let batches = vec![Ok(rows_of_two_sources(bytes)), Err(QueryError::NoWriter)];
        let batches = Box::pin(stream::iter(batches));
        let failed = storage(&target, Some("all")).store(batches).await;
        assert_eq!(failed.unwrap_err().to_string(), expected);
    }
}
