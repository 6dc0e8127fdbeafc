//! `neap import influxdb`

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use indicatif::ProgressBar;
use neap_assembly::options::parse_bytes;
use neap_bucket::World;
use neap_server::{console::Console, private_file};
use neap_tsm::TimeRange;
use reqwest::Url;

use crate::{
    commands::{
        CommandError, CommandResult,
        options::{ConnectionArgs, parse_url},
    },
    import::{
        BodySender, ConflictPolicy, CsvFiles, DatabaseNames, FoundShards, ImportError,
        ImportFilter, ImportState, ImportSummary, LineFile, LiveImport, Rename, SenderSettings,
        ShardImport, SourceSettings, SourceToken, SourceVersion, StateFile, find_shards,
        import_csv, import_lines, import_live, import_shards, verify_counts,
    },
    progress_bar,
    times::parse_time,
};

/// The options of `neap import influxdb`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").required(true))]
pub(in crate::commands) struct InfluxdbArgs {
    /// The folder of a server of InfluxDB 1 or 2 that is stopped, or a backup: it contains `data`, `engine`, or a manifest.
    #[arg(long, value_name = "DIR", group = "source")]
    path: Option<PathBuf>,

    /// The folder of the write-ahead log, if it is not beside that of the data. An empty one stands for no log.
    #[arg(long, value_name = "DIR", requires = "path")]
    wal_dir: Option<PathBuf>,

    /// Exports of line protocol, of `influx_inspect export` or `influxd inspect export-lp`, or compressed with gzip.
    #[arg(long, value_name = "FILE", num_args = 1.., group = "source")]
    lp: Vec<PathBuf>,

    /// Files of annotated CSV, as Flux queries answer it.
    #[arg(long, value_name = "FILE", num_args = 1.., group = "source")]
    csv: Vec<PathBuf>,

    /// The address of a running InfluxDB 1, 2 or 3.
    #[arg(long, value_name = "URL", value_parser = parse_url, group = "source")]
    from: Option<Url>,

    /// The version of the running server, if it does not tell it.
    #[arg(long, value_enum, requires = "from")]
    from_version: Option<SourceVersion>,

    /// The token of the running server; for InfluxDB 1, `user:password`.
    #[arg(long, value_name = "TOKEN", requires = "from")]
    source_token: Option<SourceToken>,

    /// A file with the token of the running server.
    #[arg(
        long,
        value_name = "FILE",
        requires = "from",
        conflicts_with = "source_token"
    )]
    source_token_file: Option<PathBuf>,

    #[command(flatten)]
    filter: FilterArgs,

    /// The database for everything. It is needed for annotated CSV, and for lines without headers.
    #[arg(long, value_name = "DATABASE", help_heading = "Names")]
    into: Option<String>,

    /// A database, `database/retention policy`, or the ID of a bucket, and the database that it becomes; may be given
    /// several times. By default, a database keeps its name, and other retention policies than `autogen` and `default`
    /// become databases `database/retention policy`.
    #[arg(
        long,
        visible_alias = "bucket",
        value_name = "SOURCE=DATABASE",
        help_heading = "Names"
    )]
    rename: Vec<Rename>,

    /// What to do with a field that has several types, or the name of a tag.
    #[arg(long, value_enum, default_value = "refuse")]
    conflict: ConflictPolicy,

    /// The unit of the timestamps of --lp.
    #[arg(long, value_enum, default_value = "ns")]
    precision: LinePrecision,

    /// Read and count everything, and show conflicts, but import nothing.
    #[arg(long)]
    dry_run: bool,

    /// Do not compare the number of rows on the server with the source at the end.
    #[arg(long)]
    no_verify: bool,

    /// The file with the state of the import. If it exists, the import continues from there. The default is a file in the
    /// working directory that is named after the source. It is removed at the end.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// The folder for files of a backup while they are imported. The default is that of the system.
    #[arg(long, value_name = "DIR")]
    temp_dir: Option<PathBuf>,

    /// Number of shards, files or tables that are imported at the same time. The default is the number of processors.
    #[arg(long, value_name = "NUMBER")]
    parallel: Option<usize>,

    /// The size of a request, at most. It must not exceed the limit of the server.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "8388608")]
    max_request_size: usize,

    /// Maximum number of concurrent requests.
    #[arg(long, value_name = "NUMBER", default_value_t = 8)]
    max_concurrent_requests: usize,

    /// Show no progress.
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options for a part of the source.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
struct FilterArgs {
    /// Import only this database or bucket; may be given several times.
    #[arg(long, value_name = "NAME")]
    source_database: Vec<String>,

    /// Import only this retention policy; may be given several times.
    #[arg(long, value_name = "NAME")]
    retention_policy: Vec<String>,

    /// Import only this measurement; may be given several times.
    #[arg(long, value_name = "NAME")]
    measurement: Vec<String>,

    /// Import only rows of this time or later: a date, a time in RFC 3339, or nanoseconds.
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_negative_numbers = true)]
    start: Option<i64>,

    /// Import only rows before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_negative_numbers = true)]
    end: Option<i64>,
}

/// Units of timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum LinePrecision {
    /// Nanoseconds.
    Ns,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
}

impl LinePrecision {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

impl FilterArgs {
    fn filter(&self) -> ImportFilter {
        ImportFilter {
            databases: self.source_database.clone(),
            retention_policies: self.retention_policy.clone(),
            measurements: self.measurement.clone(),
            times: TimeRange {
                min: self.start.unwrap_or(i64::MIN),
                max: self.end.map_or(i64::MAX, |end| end.saturating_sub(1)),
            },
        }
    }
}

impl InfluxdbArgs {
    fn parallel(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        self.parallel.unwrap_or_else(processors).max(1)
    }

    fn names(&self) -> DatabaseNames {
        DatabaseNames::new(self.rename.clone(), self.into.clone())
    }

    /// Describes the source, for the state of the import.
    fn source(&self) -> String {
        let paths = self.path.iter().chain(&self.lp).chain(&self.csv);
        let mut names: Vec<String> = paths
            .map(|path| {
                let path = path.canonicalize().unwrap_or_else(|_| path.clone());
                path.display().to_string()
            })
            .collect();
        names.extend(self.from.as_ref().map(without_user));
        names.join(", ")
    }

    /// Describes the options that determine what is imported, for the state of the import.
    fn options(&self) -> String {
        let (filter, names) = (self.filter.filter(), self.names());
        let kind = match () {
            () if self.path.is_some() => "path",
            () if self.from.is_some() => "from",
            () if !self.lp.is_empty() => "lp",
            () => "csv",
        };
        let (conflict, precision, wal) = (self.conflict, self.precision, &self.wal_dir);
        format!("{kind}, {filter:?}, {names:?}, {conflict:?}, {precision:?}, {wal:?}")
    }

    /// Opens the state of the import. A dry run has none.
    fn open_state(&self, target: String, world: &World) -> Result<StateFile, ImportError> {
        if self.dry_run {
            return Ok(StateFile::in_memory(world.clone()));
        }
        let source = self.source();
        let path = self.state.clone().unwrap_or_else(|| default_state(&source));
        let new = ImportState::new(source, target, self.options());
        StateFile::open(path, new, world.clone())
    }

    /// Returns a client of the running server and its token.
    fn source_settings(&self, url: &Url) -> CommandResult<SourceSettings> {
        let client = self.connection.client_without_token(url)?;
        let token = match &self.source_token_file {
            None => self.source_token.clone(),
            Some(path) => {
                let token = private_file::read_secret(path)
                    .map_err(|error| CommandError::of_file(path, error))?;
                token.reveal().parse().ok()
            }
        };
        Ok(SourceSettings { client, version: self.from_version, token })
    }
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Returns a URL as text without a user and a password.
fn without_user(url: &Url) -> String {
    let mut url = url.clone();
    // These fail for URLs that have no host, and therefore no user.
    url.set_username("").ok();
    url.set_password(None).ok();
    url.to_string()
}

/// Returns the name of the state file: `neap-import-influxdb.json` for `/var/lib/influxdb`.
fn default_state(source: &str) -> PathBuf {
    let source = source.trim_end_matches('/');
    let last = source.rsplit('/').next().unwrap_or(source);
    let name: String = last
        .chars()
        .map(|char| match char {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => char,
            _ => '-',
        })
        .take(60)
        .collect();
    PathBuf::from(format!("neap-import-{name}.json"))
}

/// Executes `neap import influxdb`.
pub(super) async fn run(args: &InfluxdbArgs, console: &mut Console, world: World) -> CommandResult {
    if args.from.as_ref().is_some_and(has_user) {
        return Err(ImportError::UserInfo.into());
    }
    if let Some(path) = &args.source_token_file {
        private_file::warn("--source-token-file", path, console);
    }
    let client = args.connection.client(None)?;
    let mut state = args.open_state(without_user(args.connection.host()), &world)?;
    if state.is_continued() {
        console.report("continuing the import that was interrupted");
    }
    let settings = SenderSettings {
        max_request_bytes: args.max_request_size,
        max_concurrent_requests: args.max_concurrent_requests,
    };
    let sender = BodySender::new(client, world, settings);
    let progress = if args.quiet || !console.err_is_terminal {
        ProgressBar::hidden()
    } else {
        visible_progress(args.from.is_some())
    };
    let imported = import(args, &sender, &mut state, &progress, console).await;
    progress.finish_and_clear();
    if imported.is_err() {
        // What is answered is not sent again by the next run.
        state.save()?;
        for problem in state.problems() {
            console.report_text(&problem);
        }
    }
    let summary = imported?;
    finish(args, &sender, &mut state, &summary, console).await
}

async fn import(
    args: &InfluxdbArgs,
    sender: &BodySender,
    state: &mut StateFile,
    progress: &ProgressBar,
    console: &mut Console,
) -> CommandResult<ImportSummary> {
    let filter = args.filter.filter();
    let names = args.names();
    let to_server = (!args.dry_run).then_some(sender);
    let mut report = |text: &str| progress.suspend(|| console.report_text(text));
    if let Some(path) = &args.path {
        let temporary = args.temp_dir.clone().unwrap_or_else(std::env::temp_dir);
        let FoundShards { shards, missing } = find_shards(path, args.wal_dir.as_deref())?;
        let import = ShardImport {
            shards,
            missing,
            filter,
            names,
            policy: args.conflict,
            parallel: args.parallel(),
            temporary,
            is_dry_run: args.dry_run,
        };
        return Ok(import_shards(import, sender, state, progress, &mut report).await?);
    }
    if let Some(url) = &args.from {
        let import = LiveImport {
            source: args.source_settings(url)?,
            filter,
            names,
            policy: args.conflict,
            parallel: args.parallel(),
            is_dry_run: args.dry_run,
        };
        return Ok(import_live(import, sender, state, progress, &mut report).await?);
    }
    if !args.lp.is_empty() {
        let files = LineFile {
            paths: args.lp.clone(),
            filter,
            names,
            precision: args.precision.as_str(),
            parallel: args.parallel(),
            max_request_bytes: args.max_request_size,
        };
        return Ok(import_lines(files, to_server, state, progress).await?);
    }
    let database = args
        .into
        .clone()
        .ok_or_else(|| ImportError::NoDatabase("annotated CSV".to_owned()))?;
    let files = CsvFiles {
        paths: args.csv.clone(),
        database,
        filter,
        parallel: args.parallel(),
        max_request_bytes: args.max_request_size,
    };
    Ok(import_csv(files, to_server, state, progress).await?)
}

/// Shows the result, compares it with the server, and removes the state.
async fn finish(
    args: &InfluxdbArgs,
    sender: &BodySender,
    state: &mut StateFile,
    summary: &ImportSummary,
    console: &mut Console,
) -> CommandResult {
    console.print_text(&summary.to_string()).map_err(CommandError::Output)?;
    for problem in summary.problems() {
        console.report_text(&problem);
    }
    if !args.dry_run && !args.no_verify {
        let differences = verify_counts(sender.client(), summary).await?;
        for difference in &differences {
            console.report_text(difference);
        }
        if !differences.is_empty() {
            return Err(ImportError::Counts(differences.len()).into());
        }
    }
    state.remove()?;
    match (summary.refused_count(), summary.damage_count()) {
        (0, 0) => Ok(()),
        (refused, damaged) => Err(ImportError::Incomplete { refused, damaged }.into()),
    }
}

fn visible_progress(counts_tables: bool) -> ProgressBar {
    let template = if counts_tables {
        "{bar:40} {pos} of {len} tables, {elapsed}, {wide_msg}"
    } else {
        "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left, {wide_msg}"
    };
    progress_bar::visible(ProgressBar::new(0), template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_gets_neither_into_the_state_nor_into_its_name() {
        let url: Url = "http://me:secret@h:8086/".parse().unwrap();
        assert!(has_user(&url));
        assert_eq!(without_user(&url), "http://h:8086/");
        assert!(!has_user(&"http://h:8086/".parse().unwrap()));
    }

    #[test]
    fn other_units_and_kinds_of_sources_are_other_imports() {
        use clap::Parser;
        #[derive(Parser)]
        struct Command {
            #[command(flatten)]
            args: InfluxdbArgs,
        }
        let options = |arguments: &[&str]| {
            let arguments = ["neap"].iter().chain(arguments);
            Command::try_parse_from(arguments).unwrap().args.options()
        };
        let lines = options(&["--lp", "x"]);
        assert_eq!(lines, options(&["--lp", "x"]));
        assert_ne!(lines, options(&["--lp", "x", "--precision", "s"]));
        assert_ne!(lines, options(&["--csv", "x"]));
    }

    #[test]
    fn the_state_is_named_after_the_source() {
        let name = |source| default_state(source).display().to_string();
        assert_eq!(name("/var/lib/influxdb"), "neap-import-influxdb.json");
        assert_eq!(name("http://h:8086/"), "neap-import-h-8086.json");
    }
}
