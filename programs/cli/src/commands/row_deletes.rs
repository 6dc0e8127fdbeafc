//! `neap delete rows` and `neap cancel row-delete`.

use clap::Args;
use neap_server::console::Console;
use serde::Deserialize;
use serde_json::json;

use super::{
    CommandResult,
    confirm::DeletionArgs,
    options::{ConnectionArgs, TableArgs, without_nulls},
};
use crate::{
    client::ApiPath,
    times::{parse_time, time_for_server},
};

/// The options of `neap delete rows`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true)
    .args(["condition", "start", "stop", "min_time", "max_time", "all_time"]))]
pub(super) struct DeleteRowsArgs {
    #[command(flatten)]
    table: TableArgs,

    /// Which rows: comparisons of tags with values, joined by AND and OR, such as `host = 'a' OR host = 'b'`.
    /// All of them by default.
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,

    /// The first time of the rows: a date such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time_for_server)]
    start: Option<String>,

    /// The last time of the rows. A date means its first moment.
    #[arg(long, value_name = "TIME", value_parser = time_for_server)]
    stop: Option<String>,

    #[command(flatten)]
    request: RequestArgs,

    #[command(flatten)]
    deletion: DeletionArgs,
}

/// The options of InfluxDB 3 Enterprise. With them, the deletion is a request that `system.row_deletes` shows.
#[derive(Debug, Args)]
#[command(next_help_heading = "As in InfluxDB 3 Enterprise")]
struct RequestArgs {
    /// The first time of the rows: a date, a time such as 2026-01-31T12:00:00Z, or nanoseconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true, conflicts_with_all = ["condition", "start", "stop"])]
    min_time: Option<i64>,

    /// The time after the last one of the rows.
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true, conflicts_with_all = ["condition", "start", "stop"])]
    max_time: Option<i64>,

    /// Rows of any time.
    #[arg(long, conflicts_with_all = ["condition", "start", "stop", "min_time", "max_time"])]
    all_time: bool,

    /// Which rows: comparisons of tags with values, joined by AND, such as `host = "a" AND rack = "b"`. Needs one of
    /// --min-time, --max-time and --all-time.
    #[arg(long, value_name = "CONDITION", conflicts_with_all = ["condition", "start", "stop"])]
    predicate: Option<String>,
}

impl RequestArgs {
    fn is_used(&self) -> bool {
        self.all_time || self.min_time.is_some() || self.max_time.is_some()
    }
}

#[derive(Deserialize)]
struct CreatedRequest {
    sequence: u64,
}

/// Executes `neap delete rows` after a confirmation. Returns what to print.
pub(super) async fn delete(args: &DeleteRowsArgs, console: &mut Console) -> CommandResult<String> {
    let (db, table) = (&args.table.database, &args.table.table);
    let client = args.deletion.confirm(&format!("rows of {db:?}.{table:?}"), console)?;
    let deleted = format!("Rows of {db:?}.{table:?} deleted successfully");
    if args.request.is_used() {
        let body = json!({
            "db": db,
            "table": table,
            "min_time": args.request.min_time,
            "max_time": args.request.max_time,
            "all_time": args.request.all_time.then_some(true),
            "predicate": args.request.predicate,
        });
        let path = "/api/v3/row_delete_requests";
        let created: CreatedRequest = client.ask_json(path, &without_nulls(body)).await?;
        return Ok(format!("{deleted} (request {})", created.sequence));
    }
    let body = json!({
        "db": db,
        "table": table,
        "condition": args.condition,
        "start": args.start,
        "stop": args.stop,
    });
    client.post_json("/api/v3/delete_rows", &without_nulls(body)).await?;
    Ok(deleted)
}

/// The options of `neap cancel row-delete`.
#[derive(Debug, Args)]
pub(super) struct CancelRowDeleteArgs {
    /// The number of the request.
    #[arg(value_name = "NUMBER")]
    sequence: u64,

    /// Why.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "canceled on the command line"
    )]
    reason: String,

    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Deserialize)]
struct AbortedRequest {
    disposition: String,
}

/// Executes `neap cancel row-delete`. Neap refuses it, because rows are deleted at once; a server of InfluxDB 3 may
/// accept it. Returns what to print.
pub(super) async fn cancel(args: &CancelRowDeleteArgs) -> CommandResult<String> {
    let sequence = args.sequence.to_string();
    let path = ApiPath::below("/api/v3/row_delete_requests", &[&sequence, "abort"])?;
    let client = args.connection.client(None)?;
    let aborted: AbortedRequest = client.ask_json(path, &json!({ "reason": args.reason })).await?;
    Ok(format!("Row delete request {} is {}", args.sequence, aborted.disposition))
}
