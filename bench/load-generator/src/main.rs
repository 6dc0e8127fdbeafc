//! `neap-load-generator` sends requests to an HTTP server over several connections, one request at a time on each, and
//! prints the throughput and the latencies as one JSON object. It runs on one thread.
//!
//! The exit status is 1 if a request failed: its status was not 2xx, or it was not answered.

mod client;
mod lines;
mod report;

use std::{
    fs, io,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use clap::Parser;
use http::{HeaderName, HeaderValue, Method, Uri};

use crate::{
    client::{RequestBodies, RequestSource, send_requests},
    lines::FleetLines,
    report::Report,
};

/// Sends requests to an HTTP server and prints throughput and latencies as JSON
#[derive(Debug, Parser)]
struct Arguments {
    /// The URL of all requests: http only
    url: Uri,

    /// Number of connections
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,

    /// Duration in seconds. With --rows, the maximum duration
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,

    /// Maximum duration of a request in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,

    /// The method of all requests
    #[arg(long, default_value = "POST")]
    method: Method,

    /// A header of all requests, such as 'content-type: application/json'
    #[arg(long, value_name = "HEADER", value_parser = parse_header)]
    header: Vec<(HeaderName, HeaderValue)>,

    /// File with a JSON array of request bodies. The connections take them in turn, again and again. By default, the
    /// body is empty
    #[arg(long, value_name = "FILE")]
    bodies: Option<PathBuf>,

    /// Send this number of rows of --hosts as line protocol, once, in place of --bodies. What the server refuses with
    /// 429 or 503 is sent again
    #[arg(long, value_name = "NUMBER", conflicts_with = "bodies")]
    rows: Option<u64>,

    /// Number of hosts of --rows
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    hosts: u32,
}

/// An argument that can't be used.
#[derive(Debug, thiserror::Error)]
enum ArgumentError {
    #[error("'{0}' is not 'name: value'")]
    Header(String),
    #[error("'{0}' is not a URL such as http://127.0.0.1:8181/path")]
    Url(Uri),
    #[error("{0} can't be read: {1}")]
    Bodies(PathBuf, io::Error),
    #[error("{0} is not a JSON array of strings with at least one element")]
    NoBodies(PathBuf),
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), ArgumentError> {
    let invalid = || ArgumentError::Header(text.to_owned());
    let (name, value) = text.split_once(':').ok_or_else(invalid)?;
    let name = name.trim().parse().map_err(|_| invalid())?;
    let value = value.trim().parse().map_err(|_| invalid())?;
    Ok((name, value))
}

fn read_bodies(path: Option<PathBuf>) -> Result<Vec<Bytes>, ArgumentError> {
    let Some(path) = path else {
        return Ok(vec![Bytes::new()]);
    };
    let text = fs::read(&path).map_err(|error| ArgumentError::Bodies(path.clone(), error))?;
    let bodies: Vec<String> = serde_json::from_slice(&text).unwrap_or_default();
    if bodies.is_empty() {
        return Err(ArgumentError::NoBodies(path));
    }
    Ok(bodies.into_iter().map(Bytes::from).collect())
}

async fn run(arguments: Arguments) -> Result<Report, ArgumentError> {
    let bodies = match arguments.rows {
        Some(rows) => RequestBodies::Lines(Mutex::new(FleetLines::new(arguments.hosts, rows))),
        None => RequestBodies::repeated(read_bodies(arguments.bodies)?),
    };
    let source = RequestSource::new(
        &arguments.url,
        arguments.method,
        arguments.header,
        bodies,
        Duration::from_secs(arguments.timeout),
    )
    .ok_or(ArgumentError::Url(arguments.url))?;
    let duration = Duration::from_secs(arguments.seconds);
    Ok(send_requests(Arc::new(source), arguments.connections, duration).await)
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the report is the output of the program"
)]
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(report) => {
            println!("{:#}", report.to_json());
            ExitCode::from(u8::from(report.failed() > 0))
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests;
