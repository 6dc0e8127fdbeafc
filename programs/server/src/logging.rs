//! Configures logging.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer,
    fmt::{self, writer::BoxMakeWriter},
    layer::SubscriberExt,
    registry,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use super::{
    ServeError,
    options::{LogDestination, ServeArgs},
    traces::TraceExport,
};

/// Request lines are logged only at higher verbosity. The SDK of the tools for agents logs each call, and their arguments
/// and rows at the highest verbosity.
const DEFAULT_FILTER: &str = "info,neap_http=warn,rmcp=warn";
/// The name of a target is a prefix: these are all crates of Neap.
const VERBOSE_FILTER: &str = "info,rmcp=warn,neap=debug";
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

/// Installs the logger that the options define, and the export of traces, once per process.
pub(super) fn start(args: &ServeArgs, traces: Option<&TraceExport>) -> Result<(), ServeError> {
    let filter = filter(args)?;
    let started = match traces {
        // One filter for all layers costs the least.
        None => registry().with(filter).with(lines(args.log_destination)).try_init(),
        Some(traces) => registry()
            .with(lines(args.log_destination).with_filter(filter))
            .with(traces.layer())
            .try_init(),
    };
    // Ignore an error, because the process (a test) may already have a logger.
    started.ok();
    Ok(())
}

/// Returns the layer that writes log lines.
fn lines<S>(destination: LogDestination) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let (is_terminal, writer) = match destination {
        LogDestination::Stdout => (io::stdout().is_terminal(), BoxMakeWriter::new(io::stdout)),
        LogDestination::Stderr => (io::stderr().is_terminal(), BoxMakeWriter::new(io::stderr)),
    };
    fmt::layer().with_ansi(is_terminal).with_writer(writer)
}
