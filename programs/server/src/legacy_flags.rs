//! Flags of `influxdb3 serve` without effect in Neap: accepted, and listed in one warning line.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, parser::ValueSource};

/// Flags that are also accepted before the command. They take a value.
const RUNTIME: &str = "
    io-runtime-disable-lifo-slot io-runtime-event-interval io-runtime-global-queue-interval
    io-runtime-max-blocking-threads io-runtime-max-io-events-per-tick io-runtime-thread-keep-alive
    io-runtime-thread-priority io-runtime-type num-cores num-datafusion-threads num-io-threads
";

/// Flags of `serve`, with an optional value.
const SERVE: &str = "
    checkpoint-interval compaction-check-interval compaction-cleanup-wait compaction-gen2-duration
    compaction-max-num-files-per-plan compaction-multipliers compaction-row-limit compactor-id
    datafusion-config datafusion-max-parquet-fanout datafusion-num-threads
    datafusion-runtime-disable-lifo-slot datafusion-runtime-event-interval
    datafusion-runtime-global-queue-interval datafusion-runtime-max-blocking-threads
    datafusion-runtime-max-io-events-per-tick datafusion-runtime-thread-keep-alive
    datafusion-runtime-thread-priority datafusion-runtime-type
    datafusion-use-cached-parquet-loader delete-grace-period disable-data-file-cache
    disable-file-cache disable-parquet-mem-cache disable-telemetry-upload
    distinct-cache-eviction-interval file-cache-recency file-cache-size force-snapshot-mem-size
    force-snapshot-mem-threshold gen1-duration gen1-lookback-duration last-cache-eviction-interval
    license-email license-file license-type log-format parquet-mem-cache-prune-interval
    parquet-mem-cache-prune-percentage parquet-mem-cache-query-path-duration
    parquet-mem-cache-size query-file-limit replication-interval snapshot-concurrency-limit
    snapshotted-wal-files-to-keep table-index-cache-concurrency-limit
    table-index-cache-max-entries telemetry-endpoint test-mode traces-exporter-jaeger-agent-host
    traces-exporter-jaeger-agent-port traces-exporter-jaeger-service-name
    traces-exporter-jaeger-trace-context-header-name traces-jaeger-debug-name
    traces-jaeger-max-msgs-per-second traces-jaeger-tags upgrade-pacha-tree use-pacha-tree
    wait-for-running-ingester wait-for-running-ingestor wal-files-per-snapshot
    wal-max-buffered-writes wal-max-write-buffer-size wal-replay-concurrency-limit
    wal-replay-fail-on-error wal-snapshot-size
";

fn runtime_flags() -> impl Iterator<Item = &'static str> {
    RUNTIME.split_ascii_whitespace()
}

fn serve_flags() -> impl Iterator<Item = &'static str> {
    runtime_flags().chain(SERVE.split_ascii_whitespace())
}

/// Returns whether a flag is accepted before the command; such a flag takes a value.
pub fn is_runtime_flag(name: &str) -> bool {
    runtime_flags().any(|flag| flag == name)
}

/// Returns whether a flag of `serve` is accepted without effect.
pub fn is_without_effect(name: &str) -> bool {
    serve_flags().any(|flag| flag == name)
}

/// The flags that are accepted before the command, without effect and without a warning.
#[derive(Clone, Copy, Debug, Default)]
pub struct RuntimeFlags;

/// The given flags of `serve` that have no effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LegacyFlags {
    given: Vec<&'static str>,
}

impl LegacyFlags {
    /// Returns one line that names them; `None` if there are none.
    pub(crate) fn warning(&self) -> Option<String> {
        let names: Vec<_> = self.given.iter().map(|name| format!("--{name}")).collect();
        (!names.is_empty()).then(|| format!("without effect here: {}", names.join(", ")))
    }
}

fn flag(name: &'static str) -> Arg {
    Arg::new(name).long(name).hide(true).action(ArgAction::Append)
}

impl Args for RuntimeFlags {
    fn augment_args(command: Command) -> Command {
        command.args(runtime_flags().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RuntimeFlags {
    fn from_arg_matches(_: &ArgMatches) -> Result<Self, Error> {
        Ok(Self)
    }

    fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), Error> {
        Ok(())
    }
}

impl Args for LegacyFlags {
    fn augment_args(command: Command) -> Command {
        command.args(serve_flags().map(|name| flag(name).num_args(0..=1)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for LegacyFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let is_given = |name: &&str| {
            // Ignore the environment, because it may be meant for an InfluxDB server.
            matches.value_source(name) == Some(ValueSource::CommandLine)
        };
        Ok(Self { given: serve_flags().filter(is_given).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn parse(args: &[&str]) -> LegacyFlags {
        let command = LegacyFlags::augment_args(Command::new("serve"));
        let matches = command.try_get_matches_from(args).unwrap();
        LegacyFlags::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn flags_without_effect_are_named_in_one_line() {
        assert_eq!(parse(&["serve"]).warning(), None);
        let args = [
            "serve",
            "--gen1-duration",
            "5m",
            "--test-mode",
            "--checkpoint-interval",
            "--num-io-threads=2",
        ];
        insta::assert_snapshot!(parse(&args).warning().unwrap(), @"without effect here: --num-io-threads, --checkpoint-interval, --gen1-duration, --test-mode");
    }

    #[test]
    fn no_flag_is_listed_twice() {
        let names: BTreeSet<_> = serve_flags().collect();
        assert_eq!(names.len(), serve_flags().count());
    }
}
