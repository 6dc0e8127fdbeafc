//! `neap query`: SQL or InfluxQL from an argument, a file or the standard input.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, ValueEnum};
use reqwest::{Method, Response, Url, header};
use serde::Serialize;

use super::{
    CommandError,
    options::{ConnectionArgs, DatabaseArgs, Format, parse_url},
    text::Given,
};
use crate::{client::Client, console::Console};

/// The time or stamp as of which a query is to be answered.
const AS_OF_HEADER: &str = "x-neap-as-of";

/// The options of `neap query`.
#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    #[command(flatten)]
    database: DatabaseArgs,

    /// The query, in quotes.
    #[arg(value_name = "QUERY")]
    query: Vec<String>,

    /// A file with the query. `-` is the standard input.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,

    /// The language of the query.
    #[arg(short = 'l', long, value_enum, default_value = "sql")]
    language: Language,

    /// The form of the result.
    #[arg(long, value_enum, default_value = "pretty")]
    format: Format,

    /// The file to put the result into.
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Answer as the database was at a time such as 2026-01-31T12:00:00Z, or as of a stamp that a write was
    /// given. `neap show versions` tells how far back that goes.
    #[arg(long, value_name = "TIME|STAMP")]
    as_of: Option<String>,

    /// The server to query, if it is not that of --host.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    query_host: Option<Url>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Language {
    /// SQL, much like PostgreSQL's.
    Sql,
    /// InfluxQL.
    Influxql,
}

#[derive(Serialize)]
struct QueryRequest<'a> {
    db: &'a str,
    q: &'a str,
    format: &'a str,
}

/// Runs the query and prints its result, or puts it into a file.
///
/// # Errors
///
/// The query failed, or its result can't be printed or stored.
pub(super) async fn run(args: &QueryArgs, console: &mut Console) -> Result<(), CommandError> {
    if args.format == Format::Parquet && args.output.is_none() && console.out_is_terminal {
        return Err(CommandError::ParquetToTerminal(" with --output"));
    }
    let given = Given {
        what: "query",
        arguments: &args.query,
        files: args.file.as_slice(),
    };
    let query = given.read(console)?;
    let client = args.connection.client(args.query_host.as_ref())?;
    let path = match args.language {
        Language::Sql => "/api/v3/query_sql",
        Language::Influxql => "/api/v3/query_influxql",
    };
    let body = QueryRequest {
        db: &args.database.database,
        q: &query,
        format: args.format.as_str(),
    };
    let request = client.request(Method::POST, path);
    let mut request = request.header(header::CONTENT_TYPE, "application/json");
    if let Some(as_of) = &args.as_of {
        request = request.header(AS_OF_HEADER, as_of);
    }
    let response = client.send(request.body(to_json(&body))).await?;
    match &args.output {
        None => print(&client, response, args.format, console).await,
        Some(path) => {
            let failed = |error| CommandError::File {
                path: path.display().to_string(),
                error,
            };
            // Only now: a query that fails leaves an older result as it is.
            let mut file = File::create(path).map_err(failed)?;
            copy(&client, response, &mut file, failed).await.map(drop)
        }
    }
}

fn to_json(body: &QueryRequest<'_>) -> Vec<u8> {
    // Three strings are always JSON.
    serde_json::to_vec(body).unwrap_or_default()
}

/// Prints the result of a query, with a line break at its end unless it is binary.
pub(super) async fn print(
    client: &Client,
    response: Response,
    format: Format,
    console: &mut Console,
) -> Result<(), CommandError> {
    let last = copy(client, response, &mut console.out, CommandError::Output).await?;
    if format != Format::Parquet && last != Some(b'\n') {
        console.out.write_all(b"\n").map_err(CommandError::Output)?;
    }
    console.out.flush().map_err(CommandError::Output)
}

/// Copies an answer as it comes, and gives its last byte.
async fn copy(
    client: &Client,
    mut response: Response,
    into: &mut (dyn Write + Send),
    failed: impl Fn(io::Error) -> CommandError,
) -> Result<Option<u8>, CommandError> {
    let mut last = None;
    while let Some(chunk) = client.next_chunk(&mut response).await? {
        into.write_all(&chunk).map_err(&failed)?;
        last = chunk.last().copied().or(last);
    }
    into.flush().map_err(failed)?;
    Ok(last)
}
