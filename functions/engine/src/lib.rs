//! The engine function: Python plugins on writes, on schedules and on requests.

mod attempts;
mod checkpoint;
mod code;
mod delivery;
mod engine;
mod error;
mod logs;
mod metrics;
mod packages;
mod ports;
mod request;
mod roster;
mod routes;
mod run;
mod schedule;
mod service;
mod settings;
mod specification;
#[cfg(test)]
mod tests;
mod worker;

pub use code::{
    CodeError, CodeSettings, PluginCode, PluginFile, PluginFiles, PluginRepository,
    PluginRepositoryError, files_on_disk,
};
pub use delivery::{Delivered, WorkReport};
pub use engine::{Engine, EngineParts};
pub use packages::{
    MAX_PACKAGE_BYTES, MAX_PACKAGES, PackageError, PackageManager, PackageManagerError,
    PackageSettings, Packages,
};
pub use ports::{Database, PluginWrite, PortError, QueryRows};
pub use routes::{EngineRoutes, PluginRequest, RequestTrigger, RequestTriggers, routes};
pub use run::{CallError, PluginCall, Plugins, PythonPlugins};
pub use settings::EngineSettings;
pub use specification::{
    MAX_PERIOD, MIN_PERIOD, SpecificationError, Timetable, TriggerKind, TriggerKindError,
    parse_specification,
};
pub use worker::{
    Call, Finished, LogLevel, PluginOnDisk, PluginResponse, Run, RunContext, RunError, RunLimits,
    TriggerKey, WorkerSettings, Workers,
};
