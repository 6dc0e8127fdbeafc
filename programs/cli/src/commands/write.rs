//! `neap write`: writes line protocol from an argument, files or the standard input, and rows of other files.

mod file_options;

use std::{borrow::Cow, path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, ValueEnum};
use indicatif::{HumanBytes, HumanCount, ProgressBar};
use neap_assembly::options::parse_bytes;
use neap_bucket::World;
use neap_server::console::Console;
use reqwest::Url;

use self::file_options::{FileArgs, open_rows};
use super::{
    CommandError, CommandResult,
    input_text::InputText,
    options::{ConnectionArgs, DatabaseArgs, parse_url},
};
use crate::{
    client::{UploadSettings, UploadSource, UploadStats, Uploader},
    progress_bar,
};

/// The options of `neap write`.
#[derive(Debug, Args)]
pub(super) struct WriteArgs {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Line protocol, in quotes. Each further argument is a further line. With `--format`, except `lp`, the arguments
    /// are files.
    #[arg(value_name = "LINE_PROTOCOL")]
    lines: Vec<String>,

    /// A file; may be given several times. `-` is the standard input.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    rows: FileArgs,

    /// The unit of the timestamps.
    #[arg(short = 'p', long, value_enum, default_value = "auto")]
    precision: Precision,

    /// Store the valid lines of a request with invalid lines. This is the default of the server. With
    /// `--accept-partial=false`, a request with an invalid line stores nothing.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    accept_partial: Option<bool>,

    /// Let the server answer before the lines are durable.
    #[arg(long)]
    no_sync: bool,

    /// Compress the requests.
    #[arg(long)]
    gzip: bool,

    /// The size of a request before compression, at most. Longer input becomes several requests, split
    /// between lines.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "10485760")]
    max_request_size: usize,

    /// Maximum number of concurrent requests.
    #[arg(
        long,
        visible_alias = "parallel",
        value_name = "NUMBER",
        default_value_t = 32
    )]
    max_concurrent_requests: usize,

    /// Print nothing on success: no progress, which is for terminals only, and no report of the throughput at the end.
    #[arg(short, long)]
    quiet: bool,

    /// The server to write to, if it is not that of --host.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    write_host: Option<Url>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Timestamp precisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum Precision {
    /// Guessed from the size of each timestamp.
    Auto,
    /// Nanoseconds.
    #[value(aliases = ["n", "nanosecond"])]
    Ns,
    /// Microseconds.
    #[value(aliases = ["u", "microsecond"])]
    Us,
    /// Milliseconds.
    #[value(alias = "millisecond")]
    Ms,
    /// Seconds.
    #[value(alias = "second")]
    S,
}

impl Precision {
    fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns the unit of integers that are times.
    fn unit(self) -> neap_rows::line_protocol::Precision {
        use neap_rows::line_protocol::Precision;
        match self {
            Self::Auto => Precision::Auto,
            Self::Ns => Precision::Nanosecond,
            Self::Us => Precision::Microsecond,
            Self::Ms => Precision::Millisecond,
            Self::S => Precision::Second,
        }
    }
}

impl WriteArgs {
    fn settings(&self) -> UploadSettings {
        let mut query = vec![
            ("db", self.database.database.clone()),
            ("precision", self.precision.as_str().to_owned()),
        ];
        if let Some(accept_partial) = self.accept_partial {
            query.push(("accept_partial", accept_partial.to_string()));
        }
        if self.no_sync {
            query.push(("no_sync", true.to_string()));
        }
        UploadSettings {
            query,
            gzip: self.gzip,
            count_replaced: !self.quiet,
            max_request_bytes: self.max_request_size,
            max_concurrent_requests: self.max_concurrent_requests,
        }
    }
}

/// Executes `neap write`.
pub(super) async fn run(args: &WriteArgs, console: &mut Console, world: World) -> CommandResult {
    let (sources, bytes) = open_sources(args, console)?;
    let client = args.connection.client(args.write_host.as_ref())?;
    let progress = if args.quiet || !console.err_is_terminal {
        ProgressBar::hidden()
    } else {
        visible_progress(bytes)
    };
    let clock = Arc::clone(&world.clock);
    let started_at = clock.monotonic();
    let uploader = Uploader::new(client, args.settings(), world, progress.clone());
    let uploaded = uploader.upload(sources).await;
    progress.finish_and_clear();
    let uploaded = uploaded?;
    if !args.quiet {
        let took = clock.monotonic().saturating_sub(started_at);
        console.report(throughput(uploaded, took));
    }
    Ok(())
}

/// Returns the report of an upload. It goes to the standard error, so that it is never part of an output.
fn throughput(uploaded: UploadStats, took: Duration) -> String {
    let UploadStats { requests, rows, replaced, bytes } = uploaded;
    let micros = took.as_micros().max(1);
    let rate = |amount: u64| {
        let per_second = u128::from(amount).saturating_mul(1_000_000) / micros;
        u64::try_from(per_second).unwrap_or(u64::MAX)
    };
    let (row_rate, byte_rate) = (HumanCount(rate(rows)), HumanBytes(rate(bytes)));
    let row_noun = if rows == 1 { "row" } else { "rows" };
    let noun = if requests == 1 { "request" } else { "requests" };
    let seconds = took.as_secs_f64();
    let remaining = HumanCount(rows.saturating_sub(replaced));
    let reason = if replaced > 0 {
        format!(
            "; they became {remaining}, because rows of a request with the same time and tags are one row"
        )
    } else {
        String::new()
    };
    let (rows, bytes) = (HumanCount(rows), HumanBytes(bytes));
    format!(
        "wrote {rows} {row_noun} ({bytes}) in {requests} {noun} and {seconds:.1} s: {row_rate} rows/s, {byte_rate}/s{reason}"
    )
}

/// Opens the sources and returns their total size in bytes, if known.
fn open_sources(
    args: &WriteArgs,
    console: &mut Console,
) -> CommandResult<(Vec<UploadSource>, Option<u64>)> {
    let paths: Vec<PathBuf> = if args.rows.arguments_are_files() {
        let lines = args.lines.iter().map(PathBuf::from);
        lines.chain(args.files.iter().cloned()).collect()
    } else if args.lines.is_empty() {
        args.files.clone()
    } else {
        Vec::new()
    };
    let has_rows = paths.iter().any(|path| args.rows.format_of(path).is_some());
    let is_input_of_rows = paths.is_empty() && args.rows.is_format_given();
    if !has_rows && !is_input_of_rows {
        args.rows.check_unused()?;
        return open_lines(args, &args.lines, &paths, console);
    }
    args.rows.check_start(paths.len())?;
    if paths.is_empty() && console.input_is_terminal {
        // Don't wait for input on a terminal without a prompt.
        return Err(CommandError::MissingInput("input"));
    }
    let standard_input = [PathBuf::from("-")];
    let paths = if paths.is_empty() {
        &standard_input[..]
    } else {
        &paths
    };
    let mut sources = Vec::new();
    let mut total = Some(0_u64);
    for path in paths {
        let (more, bytes) = match args.rows.format_of(path) {
            Some(format) => {
                let precision = args.precision.unit();
                let (rows, bytes) = open_rows(&args.rows, path, format, precision, console)?;
                (vec![UploadSource::Rows(rows)], bytes)
            }
            None => open_lines(args, &[], std::slice::from_ref(path), console)?,
        };
        sources.extend(more);
        total = total.zip(bytes).map(|(total, bytes)| total.saturating_add(bytes));
    }
    Ok((sources, total))
}

/// Opens line protocol.
fn open_lines(
    args: &WriteArgs,
    arguments: &[String],
    files: &[PathBuf],
    console: &mut Console,
) -> CommandResult<(Vec<UploadSource>, Option<u64>)> {
    let command = format!("neap write --database {}", args.database.database);
    let are_files = args.rows.arguments_are_files();
    let lines = joined(if are_files { &[] } else { arguments });
    let given = InputText {
        what: "line protocol",
        command: &command,
        arguments: &lines,
        files,
    };
    let (sources, bytes) = given.open(console)?;
    Ok((sources.into_iter().map(UploadSource::from).collect(), bytes))
}

/// Joins the arguments into one text if each is a complete line. Otherwise they are pieces of an unquoted line and stay
/// separate.
fn joined(arguments: &[String]) -> Cow<'_, [String]> {
    let is_line = |argument: &String| argument.trim().contains(' ');
    if arguments.len() > 1 && arguments.iter().all(is_line) {
        Cow::Owned(vec![arguments.join("\n")])
    } else {
        Cow::Borrowed(arguments)
    }
}

fn visible_progress(bytes: Option<u64>) -> ProgressBar {
    let (progress, template) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}, {bytes_per_sec}"),
    };
    progress_bar::visible(progress, template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_the_throughput() {
        let report = |requests, rows, bytes, millis| {
            let uploaded = UploadStats { requests, rows, replaced: 0, bytes };
            throughput(uploaded, Duration::from_millis(millis))
        };
        assert_eq!(
            report(3, 300_000, 30 << 20, 1_500),
            "wrote 300,000 rows (30.00 MiB) in 3 requests and 1.5 s: 200,000 rows/s, 20.00 MiB/s"
        );
        assert_eq!(
            report(1, 1, 7, 100),
            "wrote 1 row (7 B) in 1 request and 0.1 s: 10 rows/s, 70 B/s"
        );
        assert_eq!(
            report(0, 0, 0, 0),
            "wrote 0 rows (0 B) in 0 requests and 0.0 s: 0 rows/s, 0 B/s"
        );
    }
}
