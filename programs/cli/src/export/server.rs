//! The queries of an export.

use std::io::Write;

use neap_query::{AS_OF_HEADER, quoted_name};
use reqwest::{Response, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};

use super::{ExportError, ExportResult, TimeRange, part_file::PartFile, snapshot::ReadableVersion};
use crate::{
    client::{Client, ClientError},
    shell::{QueryLanguage, StatementRequest},
    table_names::{TABLES, TableRow},
};

/// Maximum size of a list that is read into memory, in bytes.
const MAX_LIST_BYTES: usize = 256 << 20;

/// A server and the database that is exported.
#[derive(Debug)]
pub(super) struct ExportServer {
    client: Client,
    database: String,
}

/// A list with the stamp up to which it includes writes, if the server names it.
#[derive(Debug)]
pub(super) struct ListAnswer<T> {
    pub(super) rows: Vec<T>,
    pub(super) as_of: Option<u64>,
}

/// The rows of one day of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct DayRows {
    /// The start of the day, in nanoseconds since the Unix epoch.
    pub(super) day: i64,
    /// The number of rows.
    pub(super) rows: u64,
}

impl ExportServer {
    pub(super) fn new(client: Client, database: String) -> Self {
        Self { client, database }
    }

    /// Returns the names of all tables, as of a time or stamp.
    pub(super) async fn tables(&self, as_of: Option<&str>) -> ExportResult<ListAnswer<String>> {
        let ListAnswer { rows, as_of } = self.list::<TableRow>(TABLES, as_of).await?;
        let rows = rows.into_iter().map(|row| row.table_name).collect();
        Ok(ListAnswer { rows, as_of })
    }

    /// Returns the readable versions of the database, by stamp.
    pub(super) async fn versions(&self) -> ExportResult<Vec<ReadableVersion>> {
        let sql =
            "SELECT low_water_mark FROM system.versions WHERE readable ORDER BY low_water_mark";
        Ok(self.list(sql, None).await?.rows)
    }

    /// Returns the days of a table that have rows, with the number of rows.
    ///
    /// # Errors
    /// The request failed, or the answer is not as of `stamp`.
    pub(super) async fn days(
        &self,
        table: &str,
        times: TimeRange,
        stamp: Option<u64>,
    ) -> ExportResult<Vec<DayRows>> {
        let sql = format!(
            "SELECT arrow_cast(date_bin(INTERVAL '1 day', time), 'Int64') AS day, count(*) AS rows FROM {} WHERE {} \
             GROUP BY 1 ORDER BY 1",
            quoted_name(table),
            condition(times),
        );
        self.list_at(&sql, stamp).await
    }

    /// Returns the number of rows of a range.
    ///
    /// # Errors
    /// The request failed, or the answer is not as of `stamp`.
    pub(super) async fn count(
        &self,
        table: &str,
        times: TimeRange,
        stamp: Option<u64>,
    ) -> ExportResult<u64> {
        let sql = format!(
            "SELECT arrow_cast(0, 'Int64') AS day, count(*) AS rows FROM {} WHERE {}",
            quoted_name(table),
            condition(times),
        );
        let counts: Vec<DayRows> = self.list_at(&sql, stamp).await?;
        Ok(counts.iter().map(|count| count.rows).sum())
    }

    /// Appends the rows of a query to a file, as Parquet. Without rows, nothing is appended.
    ///
    /// # Errors
    /// The request failed, the answer is not as of `stamp`, or the file can't be written.
    pub(super) async fn fetch(
        &self,
        sql: &str,
        stamp: Option<u64>,
        file: &mut PartFile,
    ) -> ExportResult {
        let as_of = stamp.map(|stamp| stamp.to_string());
        let mut response = self.send(sql, "parquet", as_of.as_deref()).await?;
        let found = stamp_of(&response);
        check_stamp(stamp, found)?;
        while let Some(chunk) = self.client.next_chunk(&mut response).await? {
            file.write_all(&chunk).map_err(|error| file.failed(error))?;
        }
        if stamp.is_some() && found.is_none() {
            // A function answers with a redirect to the rows, and the store does not know the stamp. A stamp that is
            // exact now was so before.
            self.list_at::<serde::de::IgnoredAny>("SELECT 1 AS one", stamp).await?;
        }
        Ok(())
    }

    async fn list_at<T: DeserializeOwned>(
        &self,
        sql: &str,
        stamp: Option<u64>,
    ) -> ExportResult<Vec<T>> {
        let as_of = stamp.map(|stamp| stamp.to_string());
        let answer = self.list(sql, as_of.as_deref()).await?;
        check_stamp(stamp, answer.as_of)?;
        Ok(answer.rows)
    }

    async fn list<T: DeserializeOwned>(
        &self,
        sql: &str,
        as_of: Option<&str>,
    ) -> ExportResult<ListAnswer<T>> {
        let mut response = self.send(sql, "json", as_of).await?;
        let as_of = stamp_of(&response);
        let mut text = Vec::new();
        while let Some(chunk) = self.client.next_chunk(&mut response).await? {
            text.extend_from_slice(&chunk);
            if text.len() > MAX_LIST_BYTES {
                let reason = format!("a list has more than {MAX_LIST_BYTES} bytes");
                return Err(ExportError::Answer(reason));
            }
        }
        let rows = serde_json::from_slice(&text)
            .map_err(|error| ExportError::Answer(error.to_string()))?;
        Ok(ListAnswer { rows, as_of })
    }

    async fn send(&self, sql: &str, form: &str, as_of: Option<&str>) -> ExportResult<Response> {
        let request = StatementRequest {
            language: QueryLanguage::Sql,
            database: Some(&self.database),
            text: sql,
            form,
            as_of,
        };
        Ok(request.send(&self.client).await?)
    }
}

/// Returns the query of the rows of a table in a range.
pub(super) fn rows_query(table: &str, times: TimeRange) -> String {
    let (table, condition) = (quoted_name(table), condition(times));
    format!("SELECT * FROM {table} WHERE {condition}")
}

/// Whether a request failed because its answer has too many rows, or takes too long, so that a shorter range may
/// succeed.
pub(super) fn is_too_large(error: &ClientError) -> bool {
    match error {
        ClientError::Refused { status, body, .. } => {
            (*status == StatusCode::INTERNAL_SERVER_ERROR && body.contains("timed out after"))
                || (*status == StatusCode::BAD_REQUEST && body.contains("the limit of this server"))
        }
        _ => false,
    }
}

/// Whether the state as of a stamp is gone.
pub(super) fn is_gone(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { status, .. } if *status == StatusCode::GONE)
}

/// Returns the stamp up to which an answer includes writes.
fn stamp_of(response: &Response) -> Option<u64> {
    let value = response.headers().get(&AS_OF_HEADER)?;
    value.to_str().ok()?.parse().ok()
}

/// Checks that an answer is as of a stamp. An answer without a stamp passes.
fn check_stamp(expected: Option<u64>, found: Option<u64>) -> ExportResult {
    match (expected, found) {
        (Some(stamp), Some(found)) if stamp != found => Err(ExportError::SnapshotMoved { stamp }),
        _ => Ok(()),
    }
}

/// Returns the condition that selects the rows of a range.
fn condition(times: TimeRange) -> String {
    let bound = |nanos: i64| format!("arrow_cast({nanos}, 'Timestamp(Nanosecond, None)')");
    let (first, last) = (bound(times.first), bound(times.last));
    match (times.first, times.last) {
        (i64::MIN, i64::MAX) => "true".to_owned(),
        (i64::MIN, _) => format!("time <= {last}"),
        (_, i64::MAX) => format!("time >= {first}"),
        _ => format!("time >= {first} AND time <= {last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_open_ranges_have_no_bound() {
        let times = TimeRange { first: -5, last: i64::MAX };
        insta::assert_snapshot!(
            rows_query("a\"b", times),
            @r#"SELECT * FROM "a""b" WHERE time >= arrow_cast(-5, 'Timestamp(Nanosecond, None)')"#
        );
        assert!(rows_query("t", TimeRange::ALL).ends_with(" WHERE true"));
    }

    #[test]
    fn only_another_stamp_is_refused() {
        assert!(check_stamp(None, Some(1)).is_ok());
        assert!(check_stamp(Some(1), None).is_ok());
        assert!(check_stamp(Some(1), Some(1)).is_ok());
        assert!(matches!(
            check_stamp(Some(2), Some(1)),
            Err(ExportError::SnapshotMoved { stamp: 2 })
        ));
    }

    #[test]
    fn answers_that_are_too_large_are_recognized_by_the_text_of_the_server() {
        let refused = |status, body: &str| ClientError::Refused {
            status,
            body: body.to_owned(),
            retry_after: None,
        };
        let timeout =
            refused(StatusCode::INTERNAL_SERVER_ERROR, "query error: timed out after 300 s");
        assert!(is_too_large(&timeout));
        let rows = "query error: the answer has more than 5 rows, the limit of this server; select fewer rows";
        assert!(is_too_large(&refused(StatusCode::BAD_REQUEST, rows)));
        assert!(!is_too_large(&refused(StatusCode::BAD_REQUEST, "table not found")));
        assert!(is_gone(&refused(StatusCode::GONE, "")));
    }
}
