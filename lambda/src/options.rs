//! Options, all of them from the environment: the same as those of `neap serve`, and a few that only make sense
//! on Lambda. Each flag stands for the variables `NEAP_…` and `INFLUXDB3_…` of its name.

mod access;
mod limits;
#[cfg(feature = "engine")]
mod plugins;

use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches, Parser, builder::BoolishValueParser};
use neap_bucket::{StoreConfig, with_environment};
pub use neap_options::{parse_bytes, parse_count, parse_duration, parse_time};

#[cfg(feature = "engine")]
pub use self::plugins::PluginOptions;
pub use self::{access::AccessOptions, limits::LimitOptions};

/// The longest that a link is good for.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// An amount of memory: a share of that of the function has 4 MiB at least.
pub type MemoryAmount = neap_options::MemoryAmount<{ 4 << 20 }>;

/// What a function says of its configuration, when it can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// A variable has a value that can't be understood.
    #[error("{0}")]
    Variable(#[from] clap::Error),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] neap_bucket::StoreConfigError),
    /// An option can't be used as it is.
    #[error("--{option}: {reason}")]
    Unusable {
        /// Its name.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The instance is a copy of another one.
    #[error(
        "SnapStart is not supported: copies of an instance would give the same name to different data"
    )]
    SnapStart,
    /// The engine of queries can't be started.
    #[error("queries can't be answered: {0}")]
    Queries(String),
}

/// The options of every function.
#[derive(Args, Clone, Debug)]
pub struct CommonOptions {
    /// What to log, such as `info` or `warn,neap_compact=debug`
    #[arg(long, value_name = "FILTER", default_value = "info,neap_http=warn")]
    pub log_filter: String,

    /// The memory of the function in MB, as Lambda says it
    #[arg(
        long,
        env = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        value_name = "MB",
        default_value_t = 1024
    )]
    pub function_memory: usize,

    /// Events that an instance handles at once, as Lambda Managed Instances say it
    #[arg(
        long,
        env = "AWS_LAMBDA_MAX_CONCURRENCY",
        value_name = "NUMBER",
        default_value_t = 1
    )]
    pub function_concurrency: usize,

    /// Where the data are
    #[command(flatten)]
    pub store: StoreConfig,
}

impl CommonOptions {
    /// A share of the memory of the function, and not less than 4 MiB.
    pub fn memory_percent(&self, percent: u8) -> usize {
        MemoryAmount::Percent(percent).bytes_of(self.memory_bytes())
    }

    /// The memory of the function.
    pub fn memory_bytes(&self) -> usize {
        self.function_memory.saturating_mul(1 << 20)
    }
}

/// The options of functions that answer HTTP.
#[derive(Args, Clone, Debug)]
pub struct HttpOptions {
    /// Answer in pieces as they come, up to the 200 MB that AWS streams: only where the function is invoked so
    /// (`RESPONSE_STREAM`)
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub response_streaming: bool,

    /// The largest answer that Lambda passes on. A larger one goes into the bucket, and the client is sent there.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "6291456")]
    pub payload_limit: usize,

    /// How long a client may take to fetch an answer that is in the bucket; a day at most
    #[arg(long, value_name = "DURATION", value_parser = parse_lifetime, default_value = "15m")]
    pub result_url_lifetime: Duration,

    /// How long a request through API Gateway may take, which gives up after 29 or 30 seconds, the start of an instance
    /// included; never longer than the function has. Function URLs and load balancers wait for as long as the function has
    #[arg(long, value_name = "DURATION", value_parser = parse_time, default_value = "28s")]
    pub request_timeout: Duration,

    /// What paths begin with before that of the route, as with the base path of a custom domain
    #[arg(long, value_name = "PATH", default_value = "")]
    pub base_path: String,
}

/// The command whose flags are the options of a function, for its interface.
pub fn command<T: Parser>() -> Command {
    T::command()
}

/// The options of a function, from the environment.
///
/// # Errors
/// A variable has a value that can't be understood, or says that instances start from a snapshot.
pub fn from_environment<T: Parser>() -> Result<T, OptionsError> {
    match std::env::var("AWS_LAMBDA_INITIALIZATION_TYPE").as_deref() {
        Ok("snap-start") => Err(OptionsError::SnapStart),
        _ => parse::<T>(&["neap"]),
    }
}

/// The options of a function as flags, over those of the environment.
///
/// # Errors
/// A flag is unknown, or has a value that can't be understood.
pub fn parse<T: Parser>(arguments: &[&str]) -> Result<T, OptionsError> {
    let command = with_environment(T::command());
    let matches: ArgMatches = command.try_get_matches_from(arguments)?;
    Ok(<T as FromArgMatches>::from_arg_matches(&matches)?)
}

/// The time that a link to an answer is good for: answers are kept for a day at least, and stores sign nothing for more
/// than seven.
fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let time = parse_time(text).map_err(|error| error.to_string())?;
    match time <= LONGEST_LIFETIME {
        true => Ok(time),
        false => Err("a time of at most 1 day is expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_for_a_day_at_most() {
        assert_eq!(parse_lifetime("1d"), Ok(LONGEST_LIFETIME));
        for (text, expected) in [
            ("25h", "a time of at most 1 day is expected"),
            ("0s", "a time of more than 0s is expected"),
        ] {
            assert_eq!(parse_lifetime(text), Err(expected.to_owned()));
        }
    }
}
