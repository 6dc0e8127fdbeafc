//! Configures logging.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use super::{
    ServeError,
    options::{LogDestination, ServeArgs},
};

/// Request lines are logged only at higher verbosity. The SDK of the tools for agents logs each call, and their arguments
/// and rows at the highest verbosity.
const DEFAULT_FILTER: &str = "info,neap_http=warn,rmcp=warn";
const VERBOSE_FILTER: &str = "info,rmcp=warn,neap=debug,neap_bucket=debug,neap_catalog=debug,neap_compact=debug,\
                    neap_http=debug,neap_manifest=debug,neap_query=debug,neap_wal=debug,neap_write=debug";
const TRACE_FILTER: &str = "trace,rmcp=warn";

/// Returns the log filter.
pub(super) fn filter(args: &ServeArgs) -> Result<EnvFilter, ServeError> {
    let filter = match (&args.log_filter, args.verbose) {
        (Some(filter), _) => filter,
        (None, 0) => DEFAULT_FILTER,
        (None, 1) => VERBOSE_FILTER,
        (None, _) => TRACE_FILTER,
    };
    EnvFilter::try_new(filter).map_err(|error| ServeError::LogFilter {
        filter: filter.to_owned(),
        reason: error.to_string(),
    })
}

/// Installs the logger that the options define, once per process.
pub(super) fn start(args: &ServeArgs) -> Result<(), ServeError> {
    let registry = tracing_subscriber::registry().with(filter(args)?);
    let started = match args.log_destination {
        LogDestination::Stdout => {
            let lines = fmt::layer().with_ansi(io::stdout().is_terminal());
            registry.with(lines).try_init()
        }
        LogDestination::Stderr => {
            let lines = fmt::layer().with_ansi(io::stderr().is_terminal());
            registry.with(lines.with_writer(io::stderr)).try_init()
        }
    };
    // Ignore an error, because the process (a test) may already have a logger.
    started.ok();
    Ok(())
}
