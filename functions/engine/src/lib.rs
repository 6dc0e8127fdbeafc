//! The engine function: Python plugins on writes, on schedules and on requests.

mod active_triggers;
mod checkpoint;
mod child_environment;
mod code;
mod database_access;
mod delivery;
mod engine;
mod error;
mod logs;
mod metrics;
mod packages;
mod plugin_runtime;
mod request;
mod retry;
mod routes;
mod run;
mod schedule;
mod scraped_metrics;
mod service;
mod settings;
mod specification;
#[cfg(test)]
mod tests;
mod worker;

#[doc(hidden)]
pub use code::decode_registry_files;
pub use code::{
    PluginCodeError, PluginCodeSettings, PluginCodeStore, PluginRepository, PluginRepositoryError,
    PluginSource, PluginSourceFile, files_on_disk,
};
pub use database_access::{DatabaseAccess, DatabaseAccessError, PluginWriteOptions, QueryRows};
pub use delivery::{SegmentDelivery, WorkReport};
pub use engine::{Engine, EngineParts};
pub use packages::{
    MAX_PACKAGE_BYTES, MAX_PACKAGES, PackageError, PackageManager, PackageManagerError,
    PackageRequirement, PackageSettings, PythonEnvironment, RequirementError,
};
pub use plugin_runtime::{PluginCall, PluginCallError, PluginRuntime, PythonPluginRuntime};
pub use routes::{EngineRoutes, PluginRequest, RequestDispatcher, RequestTrigger, routes};
pub use settings::EngineSettings;
pub use specification::{
    MAX_PERIOD, MIN_PERIOD, SpecificationError, Timetable, TriggerKind, TriggerKindError,
    parse_specification,
};
#[doc(hidden)]
pub use worker::fuzzing;
pub use worker::{
    CompletedRun, LogLevel, NetworkAccess, PLUGIN_USER, PluginInput, PluginOnDisk, PluginResponse,
    PluginRun, RunContext, RunError, RunLimits, SandboxMode, SandboxSettingError, SandboxSettings,
    TriggerKey, WorkerPool, WorkerSettings,
};
