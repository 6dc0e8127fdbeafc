//! Plugins in Python, on writes, on schedules and on requests. The plugins are in `tests/plugins`.
//!
//! | module | subject |
//! |---|---|
//! | `fixture` | a server with an engine, triggers, and waiting for their effects |
//! | `interface` | each method and error of `influxdb3_local`, and of line builders |
//! | `triggers` | when plugins run, their inputs, and how triggers are disabled and deleted |
//! | `processes` | the processes that run plugins |
//! | `requests` | the parts of a request that plugins receive, and how they answer |
//! | `access` | permissions, and restrictions of servers |
//! | `confinement` | files and the network, which plugins cannot use |
//! | `cancellation` | runs that end because their trigger is disabled or deleted |
//! | `failures` | the error behaviors when a plugin raises |
//! | `code` | files, packages, uploads, and pinned code |
//! | `dry_runs` | runs without effects |
//! | `repositories` | plugins of a registry, a checkout and an address, with what their manifests need |
//! | `misbehaviour` | plugins that loop, allocate, exit, fork and flood affect only themselves; errors name limits |
//! | `kapacitor` | the plugin that sends rows to Kapacitor |
//! | `loops` | plugins that trigger themselves |
//! | `crashes` | `kill -9` of the server and of Python under load |
//! | `two_servers` | two servers on one bucket |
//! | `volume` | many triggers, rows and bytes at once |
//! | `collection` | plugins in the style of InfluxDB's public collection write the right rows |

mod access;
mod cancellation;
mod code;
mod collection;
mod confinement;
mod crashes;
mod dry_runs;
mod failures;
mod fixture;
mod interface;
mod kapacitor;
mod loops;
mod misbehaviour;
mod processes;
mod repositories;
mod requests;
mod triggers;
mod two_servers;
mod volume;
