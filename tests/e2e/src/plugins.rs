//! Plugins in Python, on writes, on schedules and on requests. The plugins are in `tests/plugins`.
//!
//! | module | subject |
//! |---|---|
//! | `stage` | a server with an engine, triggers, and waiting for their effects |
//! | `interface` | each method and error of `influxdb3_local`, and of line builders |
//! | `triggers` | when plugins run, their inputs, and how triggers are disabled and deleted |
//! | `processes` | the processes that run plugins |
//! | `requests` | the parts of a request that plugins receive, and how they answer |
//! | `access` | permissions, and restrictions of servers |
//! | `failures` | the error behaviors when a plugin raises |
//! | `code` | files, packages, uploads, and pinned code |
//! | `dry_runs` | runs without effects |
//! | `misbehaviour` | plugins that loop, allocate, exit, fork and flood affect only themselves; errors name limits |
//! | `loops` | plugins that trigger themselves |
//! | `sudden_death` | `kill -9` of the server and of Python under load |
//! | `together` | two servers on one bucket |
//! | `volume` | many triggers, rows and bytes at once |
//! | `collection` | plugins in the style of InfluxDB's public collection write the right rows |

mod access;
mod code;
mod collection;
mod dry_runs;
mod failures;
mod interface;
mod loops;
mod misbehaviour;
mod processes;
mod requests;
mod stage;
mod sudden_death;
mod together;
mod triggers;
mod volume;
