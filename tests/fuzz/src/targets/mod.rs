//! The targets, by name.

mod cache_layers;
mod files;
mod flux;
mod influxql;
mod lambda_events;
mod line_protocol;
mod manifest_pages;
mod multipart;
mod otlp;
mod plugin_frames;
mod plugin_registry;
#[cfg(feature = "sql")]
mod postgres;
mod predicates;
mod prometheus;
#[cfg(feature = "sql")]
mod promql;
mod registers;
mod rule_files;
mod sections;
mod segments;
#[cfg(feature = "sql")]
mod sql;
mod tsm;

pub use cache_layers::cache_table;

/// A function that decodes any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name, which is also that of the folder of its inputs.
    pub name: &'static str,
    /// Maximum length of an input in bytes. Longer inputs rarely reach other code, and take longer.
    pub max_bytes: usize,
    /// Decodes an input. Panics if the input is a finding.
    pub run: fn(&[u8]),
}

const fn target(name: &'static str, max_bytes: usize, run: fn(&[u8])) -> Target {
    Target { name, max_bytes, run }
}

/// All targets of this build.
pub const TARGETS: &[Target] = &[
    // Requests of clients.
    target("line-protocol", 4096, line_protocol::influxdb),
    target("questdb-lines", 4096, line_protocol::questdb),
    target("influxql", 4096, influxql::run),
    target("flux", 4096, flux::run),
    target("rule-file", 4096, rule_files::run),
    #[cfg(feature = "sql")]
    target("influxql-plan", 1024, sql::influxql),
    #[cfg(feature = "sql")]
    target("sql", 1024, sql::sql),
    #[cfg(feature = "sql")]
    target("promql", 4096, promql::run),
    #[cfg(feature = "sql")]
    target("postgres-message", 4096, postgres::message),
    target("delete-predicate", 1024, predicates::run),
    target("prometheus-write", 4096, prometheus::write),
    target("prometheus-read", 4096, prometheus::read),
    target("otlp-protobuf", 4096, otlp::protobuf),
    target("otlp-json", 4096, otlp::json),
    target("multipart", 4096, multipart::run),
    target("lambda-event", 4096, lambda_events::run),
    // Files of users.
    target("csv-file", 4096, files::csv),
    target("json-file", 4096, files::json_lines),
    target("parquet-file", 16 << 10, files::parquet),
    target("arrow-file", 8192, files::arrow),
    target("tsm-file", 8192, tsm::file),
    target("tsm-block", 4096, tsm::block),
    target("tsm-log", 4096, tsm::log),
    target("tsm-tombstone", 4096, tsm::tombstone),
    // Objects of the bucket.
    target("wal-segment", 8192, segments::run),
    target("section", 16 << 10, sections::run),
    target("manifest", 8192, registers::manifest),
    target("manifest-page", 8192, manifest_pages::run),
    target("root-catalog", 8192, registers::root_catalog),
    target("database-catalog", 8192, registers::database_catalog),
    target("other-register", 8192, registers::others),
    target("register-frame", 1024, registers::frame),
    target("cache-layer", 8192, cache_layers::run),
    // Plugins and their processes.
    target("plugin-frames", 4096, plugin_frames::run),
    target("plugin-registry", 4096, plugin_registry::run),
];

/// The names of the targets that the feature `sql` enables.
const SQL_TARGETS: [&str; 4] = ["influxql-plan", "postgres-message", "promql", "sql"];

/// Returns whether a build with all features has a target with this name.
pub(crate) fn is_target_of_any_build(name: &str) -> bool {
    SQL_TARGETS.contains(&name) || TARGETS.iter().any(|target| target.name == name)
}

/// Runs a target. Returns false if no target has this name.
pub fn run_target(name: &str, input: &[u8]) -> bool {
    let target = TARGETS.iter().find(|target| target.name == name);
    if let Some(target) = target {
        (target.run)(input);
    }
    target.is_some()
}
