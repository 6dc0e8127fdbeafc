//! Plugins in Python, on writes, on schedules and on requests. The plugins are in `tests/plugins`.
//!
//! | module | what is tested |
//! |---|---|
//! | `stage` | a server with an engine, triggers, and waiting for what they do |
//! | `interface` | each method and error of `influxdb3_local`, and of lines |
//! | `triggers` | when plugins run, with what, and who may stop them |
//! | `processes` | the processes that run plugins |
//! | `requests` | what plugins are told of requests, and how they answer |
//! | `access` | who may do what, and what servers are kept from |
//! | `failures` | what is done when a plugin raises |
//! | `code` | files, packages, uploads, and what is pinned |
//! | `dry_runs` | runs without effects |
//! | `misbehaviour` | plugins that loop, allocate, exit, fork and flood: the database keeps serving, the limit is named |
//! | `loops` | plugins that make themselves run |
//! | `sudden_death` | `kill -9` of the server and of Python under load |
//! | `together` | two servers on one bucket |
//! | `volume` | many triggers, rows and bytes at once |
//! | `collection` | plugins in the shape of InfluxDB's public collection give the right rows |

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
