//! Compares the number of imported rows with the rows of the server.

use neap_query::quoted_name;
use serde::Deserialize;

use super::{ImportError, ImportSummary};
use crate::client::Client;

#[derive(Deserialize)]
struct CountRow {
    rows: u64,
}

/// Counts the rows of all tables on the server within the times that were imported. Returns a line for each table that
/// has fewer rows than were sent. It may have more, if it had rows before.
pub(crate) async fn verify_counts(
    client: &Client,
    summary: &ImportSummary,
) -> Result<Vec<String>, ImportError> {
    let mut differences = Vec::new();
    for (database, tables) in &summary.tables {
        let refused = summary.refused_rows.get(database).copied().unwrap_or(0);
        for (table, counts) in tables.iter().filter(|(_, counts)| counts.rows > 0) {
            let query = format!(
                "SELECT count(*) AS rows FROM {} WHERE time >= to_timestamp_nanos({}) AND time <= to_timestamp_nanos({})",
                quoted_name(table),
                counts.min_time,
                counts.max_time
            );
            let rows: Vec<CountRow> = client.query_rows(database, &query).await?;
            let stored = rows.first().map_or(0, |row| row.rows);
            if stored.saturating_add(refused) < counts.rows {
                let sent = counts.rows;
                differences.push(format!(
                    "{database}.{table}: {stored} rows on the server, {sent} in the source"
                ));
            }
        }
    }
    Ok(differences)
}
