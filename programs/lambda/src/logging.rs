//! Logging: JSON lines on standard output, which Lambda collects.

use std::str::FromStr;

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Crate that logs whole events, including tokens, at its finest level.
const RUNTIME: &str = "lambda_runtime";

/// Parses the filter option and limits `lambda_runtime` to `INFO`, because that crate logs whole events below that
/// level.
fn filter(text: &str) -> Result<Targets, String> {
    let asked = Targets::from_str(text).map_err(|error| error.to_string())?;
    let others = asked.iter().filter(|(target, _)| !target.starts_with(RUNTIME));
    let default = asked.default_level().unwrap_or(LevelFilter::ERROR);
    Ok(Targets::new()
        .with_targets(others.map(|(target, level)| (target.to_owned(), level)))
        .with_default(default)
        .with_target(RUNTIME, LevelFilter::INFO))
}

/// Starts logging. Call it once per process.
///
/// # Errors
/// The filter is invalid.
pub fn start(text: &str) -> Result<(), String> {
    let lines = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false);
    let registry = tracing_subscriber::registry().with(filter(text)?).with(lines);
    // In tests, another subscriber may already be set in this process.
    registry.try_init().ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_never_logged() {
        for text in [
            "trace",
            "info,lambda_runtime=trace",
            "lambda_runtime::layers=trace",
            "lambda=trace",
        ] {
            let filter = filter(text).unwrap();
            for target in ["lambda_runtime", "lambda_runtime::layers::api_response"] {
                let finest = tracing::Level::DEBUG;
                assert!(!filter.would_enable(target, &finest), "{text} {target}");
            }
        }
        assert!(filter("info,neap_http=warn").is_ok());
        assert!(filter("neap_http=loud").is_err());
        assert_eq!(filter("warn").unwrap().default_level(), Some(LevelFilter::WARN));
    }
}
