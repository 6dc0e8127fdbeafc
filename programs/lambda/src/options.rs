//! Options, all read from the environment: those of `neap serve`, and a few that apply only to Lambda. Each flag can be
//! set by the variables `NEAP_…` and `INFLUXDB3_…` of its name.

mod access;
mod limits;
#[cfg(feature = "engine")]
mod plugins;

use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches, Parser, builder::BoolishValueParser};
pub use neap_assembly::options::{
    parse_bytes, parse_count, parse_duration, parse_nonzero_duration,
};
use neap_bucket::{StoreConfig, with_environment};

#[cfg(feature = "engine")]
pub use self::plugins::PluginOptions;
pub use self::{access::AccessOptions, limits::LimitOptions};

/// Maximum lifetime of a link to a stored response.
const MAX_LINK_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// An amount of memory. A percentage refers to the function's memory and results in at least 4 MiB.
pub type MemoryAmount = neap_assembly::options::MemoryAmount<{ 4 << 20 }>;

/// Error in the configuration of a function.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// A variable has an invalid value.
    #[error("{0}")]
    Variable(#[from] clap::Error),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] neap_bucket::StoreConfigError),
    /// An option has an unusable value.
    #[error("--{option}: {reason}")]
    Unusable {
        /// The name of the option.
        option: &'static str,
        /// The reason.
        reason: String,
    },
    /// The instance is restored from a SnapStart snapshot.
    #[error(
        "SnapStart is not supported: copies of an instance could store different data under the same key"
    )]
    SnapStart,
    /// The query engine can't be started.
    #[error("the query engine can't be started: {0}")]
    Queries(String),
}

/// Options of every function.
#[derive(Args, Clone, Debug)]
pub struct CommonOptions {
    /// Log filter, such as `info` or `warn,neap_compact=debug`
    #[arg(long, value_name = "FILTER", default_value = "info,neap_http=warn")]
    pub log_filter: String,

    /// The memory of the function in MB; Lambda sets it
    #[arg(
        long,
        env = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        value_name = "MB",
        default_value_t = 1024
    )]
    pub function_memory: usize,

    /// Number of events that an instance handles concurrently; Lambda Managed Instances set it
    #[arg(
        long,
        env = "AWS_LAMBDA_MAX_CONCURRENCY",
        value_name = "NUMBER",
        default_value_t = 1
    )]
    pub function_concurrency: usize,

    /// Options of the store.
    #[command(flatten)]
    pub store: StoreConfig,
}

impl CommonOptions {
    /// Returns a percentage of the function's memory in bytes, at least 4 MiB.
    pub fn memory_percent(&self, percent: u8) -> usize {
        MemoryAmount::Percent(percent).bytes_of(self.memory_bytes())
    }

    /// Returns the function's memory in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.function_memory.saturating_mul(1 << 20)
    }
}

/// Options of functions that answer HTTP.
#[derive(Args, Clone, Debug)]
pub struct HttpOptions {
    /// Stream responses, up to AWS's limit of 200 MB. Requires that the function is invoked with `RESPONSE_STREAM`
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub response_streaming: bool,

    /// Maximum size of a response in bytes. A larger response is stored in the bucket, and the client is redirected
    /// there
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "6291456")]
    pub payload_limit: usize,

    /// How long a client can fetch a response from the bucket; at most 1 day
    #[arg(long, value_name = "DURATION", value_parser = parse_lifetime, default_value = "15m")]
    pub result_url_lifetime: Duration,

    /// Maximum duration of a request through API Gateway, which times out after 29 or 30 seconds including the start of
    /// an instance. The function's timeout applies as well. It alone limits requests through function URLs and load
    /// balancers
    #[arg(long, value_name = "DURATION", value_parser = parse_nonzero_duration, default_value = "28s")]
    pub request_timeout: Duration,

    /// Prefix that is removed from paths, such as the base path of a custom domain
    #[arg(long, value_name = "PATH", default_value = "")]
    pub base_path: String,
}

/// Returns the command whose flags are the options of a function, for its interface.
pub fn command<T: Parser>() -> Command {
    T::command()
}

/// Reads the options of a function from the environment.
///
/// # Errors
/// A variable has an invalid value, or the function uses SnapStart.
pub fn from_environment<T: Parser>() -> Result<T, OptionsError> {
    match std::env::var("AWS_LAMBDA_INITIALIZATION_TYPE").as_deref() {
        Ok("snap-start") => Err(OptionsError::SnapStart),
        _ => parse::<T>(&["neap"]),
    }
}

/// Parses the options of a function from flags; the environment supplies those that are missing.
///
/// # Errors
/// A flag is unknown, or has an invalid value.
pub fn parse<T: Parser>(arguments: &[&str]) -> Result<T, OptionsError> {
    let command = with_environment(T::command());
    let matches: ArgMatches = command.try_get_matches_from(arguments)?;
    Ok(<T as FromArgMatches>::from_arg_matches(&matches)?)
}

/// Parses the lifetime of a link to a stored response. The maximum is 1 day, because responses are kept for at least 1
/// day. Stores sign URLs for at most 7 days.
fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let time = parse_nonzero_duration(text).map_err(|error| error.to_string())?;
    if time <= MAX_LINK_LIFETIME {
        Ok(time)
    } else {
        Err("a time of at most 1 day is expected".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_valid_for_at_most_one_day() {
        assert_eq!(parse_lifetime("1d"), Ok(MAX_LINK_LIFETIME));
        for (text, expected) in [
            ("25h", "a time of at most 1 day is expected"),
            ("0s", "a duration longer than 0s is expected"),
        ] {
            assert_eq!(parse_lifetime(text), Err(expected.to_owned()));
        }
    }
}
