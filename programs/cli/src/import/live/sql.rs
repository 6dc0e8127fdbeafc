//! Copies tables of InfluxDB 3 with SQL.

use bytes::{Bytes, BytesMut};
use neap_file_formats::{FileInput, FileReader, Format, ReadOptions};
use neap_query::{quoted_name, quoted_text};
use neap_rows::{
    columnar::{ColumnMapping, LineEncoder, LineRows, TagColumns},
    line_protocol::Precision,
};
use neap_tsm::{TimeRange, ValueType};
use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use super::{
    line_writer::LineWriter,
    source::Source,
    source_table::{SliceCounts, SourceField, SourceTable},
};
use crate::{
    client::{FileRowsError, RefusedLines},
    import::{DatabaseNames, ImportError, ImportFilter},
    table_names::{TABLES, TableRow},
};

/// Maximum size of an answer in bytes. Slices are made smaller long before.
const MAX_ANSWER_BYTES: usize = 1 << 30;

#[derive(Deserialize)]
struct DatabaseRow {
    #[serde(rename = "iox::database")]
    name: String,
}

#[derive(Deserialize)]
struct ColumnRow {
    column_name: String,
    data_type: String,
}

#[derive(Deserialize)]
struct NumberRow {
    n: Option<i64>,
}

/// Lists the tables of all databases.
pub(super) async fn tables(
    source: &Source,
    filter: &ImportFilter,
    names: &DatabaseNames,
) -> Result<Vec<SourceTable>, ImportError> {
    let path = "/api/v3/configure/database";
    let response = source
        .send(|source| source.request(Method::GET, path).query(&[("format", "json")]))
        .await?;
    let bytes = read_all(source, response, path).await?;
    let databases: Vec<DatabaseRow> = parse(&bytes, path)?;
    let mut tables = Vec::new();
    for DatabaseRow { name: database } in databases {
        if !filter.includes_database(&database, "autogen") {
            continue;
        }
        let target = names.target(&database, "autogen")?;
        for TableRow { table_name } in query_rows::<TableRow>(source, &database, TABLES).await? {
            if !filter.includes_measurement(&table_name) {
                continue;
            }
            let (tags, fields) = columns(source, &database, &table_name).await?;
            tables.push(SourceTable {
                target: target.clone(),
                database: database.clone(),
                retention_policy: "autogen".to_owned(),
                name: table_name,
                tags,
                fields,
                mixed_numbers: Vec::new(),
            });
        }
    }
    Ok(tables)
}

/// Returns the tags and fields of a table.
async fn columns(
    source: &Source,
    database: &str,
    table: &str,
) -> Result<(Vec<String>, Vec<SourceField>), ImportError> {
    let query = format!(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'iox' AND table_name = {} ORDER BY column_name",
        quoted_text(table)
    );
    let (mut tags, mut fields) = (Vec::new(), Vec::new());
    for ColumnRow { column_name: name, data_type } in query_rows(source, database, &query).await? {
        if name == "time" {
            continue;
        }
        match field_type(&data_type) {
            Some(value_type) => fields.push(SourceField { name, value_type }),
            None => tags.push(name),
        }
    }
    Ok((tags, fields))
}

/// Returns the type of a field; `None` is that of a tag.
fn field_type(data_type: &str) -> Option<ValueType> {
    match data_type {
        "Float64" => Some(ValueType::Float),
        "Int64" => Some(ValueType::Integer),
        "UInt64" => Some(ValueType::Unsigned),
        "Boolean" => Some(ValueType::Boolean),
        text if text.starts_with("Dictionary") => None,
        _ => Some(ValueType::String),
    }
}

/// Returns the first or the last time within a range; `None` without rows.
pub(super) async fn find_time(
    source: &Source,
    table: &SourceTable,
    range: TimeRange,
    is_last: bool,
) -> Result<Option<i64>, ImportError> {
    let function = if is_last { "max" } else { "min" };
    let query = select(table, &format!("CAST({function}(time) AS BIGINT) AS n"), range);
    let rows: Vec<NumberRow> = query_rows(source, &table.database, &query).await?;
    Ok(rows.first().and_then(|row| row.n))
}

/// Counts the rows within a range.
pub(super) async fn count(
    source: &Source,
    table: &SourceTable,
    range: TimeRange,
) -> Result<SliceCounts, ImportError> {
    let query = select(table, "count(*) AS n", range);
    let rows: Vec<NumberRow> = query_rows(source, &table.database, &query).await?;
    let count = rows.first().and_then(|row| row.n).unwrap_or(0);
    Ok(SliceCounts {
        rows: Some(u64::try_from(count).unwrap_or(0)),
        values: Vec::new(),
    })
}

/// Copies the rows within a range, and counts them.
pub(super) async fn copy(
    source: &Source,
    table: &SourceTable,
    range: TimeRange,
    writer: &mut LineWriter<'_>,
    max_bytes: usize,
) -> Result<SliceCounts, ImportError> {
    let query = select(table, "*", range);
    let response = send_query(source, &table.database, &query, "parquet").await?;
    let file = read_all(source, response, &query).await?;
    let failed = |error: FileRowsError| ImportError::Rows {
        name: format!("the answer to '{query}'"),
        error,
    };
    let options = ReadOptions {
        format: Some(Format::Parquet),
        mapping: ColumnMapping {
            table: table.name.clone(),
            tags: TagColumns::Named(table.tags.clone()),
            ..ColumnMapping::default()
        },
        ..ReadOptions::default()
    };
    let mut reader =
        FileReader::open(FileInput::Bytes(file), options).map_err(|error| failed(error.into()))?;
    let mut rows = 0;
    while let Some(part) = reader.next_part().map_err(|error| failed(error.into()))? {
        for numbered in &part.batches {
            rows += numbered.batch.num_rows() as u64;
            let mut encoder = LineEncoder::new(numbered, &part.mapping, Precision::Nanosecond)
                .map_err(|error| failed(error.into()))?;
            let mut has_more = true;
            while has_more {
                let mut lines = LineRows::default();
                has_more = encoder.encode(&mut lines, max_bytes);
                writer.refuse(RefusedLines::of_rows(0, Some(&table.name), &lines.errors));
                writer.push(&lines.text, lines.rows.len() as u64).await?;
            }
        }
    }
    writer.flush().await?;
    Ok(SliceCounts { rows: Some(rows), values: Vec::new() })
}

fn select(table: &SourceTable, columns: &str, range: TimeRange) -> String {
    let name = quoted_name(&table.name);
    let TimeRange { min, max } = range;
    format!(
        "SELECT {columns} FROM {name} WHERE time >= to_timestamp_nanos({min}) AND time <= to_timestamp_nanos({max})"
    )
}

async fn query_rows<T: DeserializeOwned>(
    source: &Source,
    database: &str,
    query: &str,
) -> Result<Vec<T>, ImportError> {
    let response = send_query(source, database, query, "json").await?;
    let bytes = read_all(source, response, query).await?;
    parse(&bytes, query)
}

async fn send_query(
    source: &Source,
    database: &str,
    query: &str,
    format: &str,
) -> Result<reqwest::Response, ImportError> {
    let body = json!({ "db": database, "q": query, "format": format }).to_string();
    source
        .send(|source| {
            source
                .request(Method::POST, "/api/v3/query_sql")
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(body.clone())
        })
        .await
}

async fn read_all(
    source: &Source,
    mut response: reqwest::Response,
    query: &str,
) -> Result<Bytes, ImportError> {
    let mut bytes = BytesMut::new();
    let next = source.next_chunk(&mut response);
    let mut chunk = next.await.map_err(ImportError::Source)?;
    while let Some(part) = chunk {
        bytes.extend_from_slice(&part);
        if bytes.len() > MAX_ANSWER_BYTES {
            return Err(ImportError::Query {
                query: query.to_owned(),
                reason: format!("more than {MAX_ANSWER_BYTES} bytes"),
            });
        }
        let next = source.next_chunk(&mut response);
        chunk = next.await.map_err(ImportError::Source)?;
    }
    Ok(bytes.freeze())
}

fn parse<T: DeserializeOwned>(bytes: &[u8], query: &str) -> Result<Vec<T>, ImportError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ImportError::Query { query: query.to_owned(), reason: error.to_string() })
}
