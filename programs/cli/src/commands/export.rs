//! `neap export`: exports tables, a query or a whole database as files, and verifies an export.

use std::path::PathBuf;

use clap::{ArgGroup, Args, CommandFactory, Parser, error::ErrorKind};
use indicatif::{HumanBytes, HumanCount, ProgressBar};
use neap_bucket::World;
use neap_server::console::Console;

use super::{CommandError, CommandResult, options::ConnectionArgs};
use crate::{
    export::{
        self, ExportCompression, ExportFormat, ExportRequest, ExportSource, ExportStats, Exporter,
        TimeRange, VerifyStats,
    },
    progress_bar,
    times::{as_of_for_server, parse_time},
};

/// The options of `neap export`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("task").args(["output", "verify"]).required(true)))]
pub(super) struct ExportArgs {
    /// The name of the database.
    #[arg(
        short = 'd',
        long = "database",
        value_name = "NAME",
        required_unless_present = "verify"
    )]
    database: Option<String>,

    /// A table; may be given several times. Without tables and --query, all tables of the database are exported.
    #[arg(short = 't', long = "table", value_name = "NAME", conflicts_with_all = ["query", "verify"])]
    tables: Vec<String>,

    /// An SQL query, whose rows become one file.
    #[arg(long, value_name = "QUERY", conflicts_with = "verify")]
    query: Option<String>,

    /// The directory for the files. An export that was interrupted is continued by the same command.
    #[arg(short = 'o', long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// The format of the files. Each table has a file for each day, such as `cpu/day=2026-11-01/part-….parquet`.
    #[arg(long, value_enum, default_value = "parquet", conflicts_with = "verify")]
    format: ExportFormat,

    /// The compression of the files: zstd (the default), snappy, gzip, lz4 or none for Parquet; none (the default), lz4
    /// or zstd for Arrow; none (the default), gzip or zstd for CSV, JSON lines and line protocol.
    #[arg(long, value_enum, conflicts_with = "verify")]
    compression: Option<ExportCompression>,

    /// Only rows from this time on: a date such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true, conflicts_with_all = ["query", "verify"])]
    from: Option<i64>,

    /// Only rows before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true, conflicts_with_all = ["query", "verify"])]
    to: Option<i64>,

    /// Export the database as it was at a time such as 2026-01-31T12:00:00Z, or as of a stamp that a write was given.
    /// The default is the state at the start of the export.
    #[arg(long, value_name = "TIME|STAMP", value_parser = as_of_for_server, conflicts_with = "verify")]
    as_of: Option<String>,

    /// Maximum number of concurrent requests.
    #[arg(
        long,
        visible_alias = "parallel",
        value_name = "NUMBER",
        default_value_t = 4
    )]
    max_concurrent_requests: usize,

    /// Instead of exporting, compare the files of a complete export with their checksums.
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    verify: Option<PathBuf>,

    /// Show no progress.
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A parser of the options alone, for errors that clap can't express.
#[derive(Debug, Parser)]
#[command(name = "neap export")]
struct ExportCommandLine {
    #[command(flatten)]
    _args: ExportArgs,
}

/// Executes `neap export`.
///
/// # Errors
///
/// The export is incomplete, or its files differ from their checksums.
pub(super) async fn run(args: &ExportArgs, console: &mut Console, world: World) -> CommandResult {
    if let Some(directory) = &args.verify {
        let verified = export::verify(directory, |difference| console.report(difference));
        let VerifyStats { files, rows, bytes } = verified?;
        let text = format!(
            "{files} files with {} rows and {} are as they were exported",
            HumanCount(rows),
            HumanBytes(bytes)
        );
        return console.print(text).map_err(CommandError::Output);
    }
    let request = args.request()?;
    let Some(directory) = &args.output else {
        // The parser requires one of both options.
        return Ok(());
    };
    let client = args.connection.client(None)?;
    let progress = if args.quiet || !console.err_is_terminal {
        ProgressBar::hidden()
    } else {
        let template = "{bar:40} {human_pos} of {human_len} rows, {per_sec}, {eta} left";
        progress_bar::visible(ProgressBar::new(0), template)
    };
    let parallel = args.max_concurrent_requests;
    let exporter = Exporter::open(client, request, directory, parallel, progress.clone(), world)?;
    let exported = exporter.run().await;
    progress.finish_and_clear();
    console.print(summary(&exported?)).map_err(CommandError::Output)
}

impl ExportArgs {
    fn request(&self) -> CommandResult<ExportRequest> {
        let compression = self.compression.unwrap_or(self.format.default_compression());
        if !self.format.compressions().contains(&compression) {
            let names: Vec<String> = self.format.compressions().iter().map(name).collect();
            let text = format!(
                "--compression {} is not one of {}, which --format {} has",
                name(&compression),
                names.join(", "),
                self.format
            );
            return Err(usage(text));
        }
        let times = TimeRange {
            first: self.from.unwrap_or(i64::MIN),
            last: self.to.map_or(i64::MAX, |to| to.saturating_sub(1)),
        };
        if times.first > times.last {
            return Err(usage("--from is not before --to".to_owned()));
        }
        let source = match (&self.query, self.tables.is_empty()) {
            (Some(query), _) => ExportSource::Query(query.clone()),
            (None, true) => ExportSource::Database,
            (None, false) => ExportSource::Tables(self.tables.clone()),
        };
        Ok(ExportRequest {
            // The parser requires it.
            database: self.database.clone().unwrap_or_default(),
            source,
            format: self.format,
            compression,
            times,
            as_of: self.as_of.clone(),
        })
    }
}

fn name(compression: &ExportCompression) -> String {
    let value = clap::ValueEnum::to_possible_value(compression);
    value.map_or(String::new(), |value| value.get_name().to_owned())
}

fn usage(text: String) -> CommandError {
    CommandError::Usage(ExportCommandLine::command().error(ErrorKind::ArgumentConflict, text))
}

fn summary(stats: &ExportStats) -> String {
    let state = match stats.as_of {
        Some(stamp) => format!(", as of stamp {stamp}"),
        None => String::new(),
    };
    format!(
        "{} rows in {} files with {}{state}",
        HumanCount(stats.rows),
        stats.files,
        HumanBytes(stats.bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<ExportArgs, clap::Error> {
        let words = ["export"].into_iter().chain(line.split_whitespace());
        Ok(ExportCommandLine::try_parse_from(words)?._args)
    }

    #[test]
    fn without_tables_the_database_is_exported_as_parquet() {
        let request = parse("-d garden -o out").unwrap().request().unwrap();
        assert_eq!(request.source, ExportSource::Database);
        assert_eq!(request.format, ExportFormat::Parquet);
        assert_eq!(request.compression, ExportCompression::Zstd);
        assert_eq!(request.times, TimeRange::ALL);
        let tables = parse("-d garden -t soil -t air --to 1970-01-02 --format lp -o out");
        let request = tables.unwrap().request().unwrap();
        let named = ["soil", "air"].map(str::to_owned).to_vec();
        assert_eq!(request.source, ExportSource::Tables(named));
        assert_eq!(request.times.last, 86_400_000_000_000 - 1);
        assert_eq!(request.compression, ExportCompression::None);
    }

    #[test]
    fn options_that_do_not_fit_together_are_refused() {
        for line in [
            "-d garden",
            "-o out",
            "-d garden -o out --verify out",
            "-d garden -o out --query x -t soil",
            "-d garden -o out --query x --from 2026-01-01",
            "-d garden -o out --from yesterday",
            "--verify out --format csv",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        for line in [
            "-d garden -o out --format csv --compression snappy",
            "-d garden -o out --format arrow --compression gzip",
            "-d garden -o out --from 2026-01-02 --to 2026-01-02",
        ] {
            let refused = parse(line).unwrap().request();
            assert!(matches!(refused, Err(CommandError::Usage(_))), "{line}");
        }
        assert!(parse("--verify out").is_ok());
    }
}
