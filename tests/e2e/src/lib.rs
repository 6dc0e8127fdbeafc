//! Tests of the program `neap` as its users have it: real processes, real HTTP, real stores.
//!
//! Nothing of the workspace is linked. The tests start the binaries `neap` and `neap-s3-server` that lie in
//! the target directory beside their own (or where `NEAP_BIN` and `NEAP_S3_SERVER_BIN` say), so these must be
//! built before: `cargo build -p neap -p neap-s3-server`.
//!
//! | module | what is tested |
//! |---|---|
//! | `real_input` | answers over recorded data equal those that the test computes itself |
//! | `several_processes` | writers and queriers on one store: visibility, duplicates, the order of writes |
//! | `request_budget` | the requests to the store that an operation costs, exactly |
//! | `sudden_death` | `kill -9` under load loses nothing that was acknowledged |
//! | `compaction` | compactors beside writers and queriers: nobody notices |
//! | `life_of_data` | deletes of rows, retention, drops and what undoes them |
//! | `earlier_states` | queries as of a time, restores, copies, and damage that is found |
//! | `caches` | last value and distinct value caches show what their definitions say, and cost little |
//! | `malformed` | requests that are refused, with status and body |
//! | `command_line` | the commands, their output and their exit status |
//! | `golden` | recorded answers of InfluxDB 3 Core, and where Neap differs from them |

#[cfg(test)]
mod caches;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod compaction;
#[cfg(test)]
mod earlier_states;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod life_of_data;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod real_input;
#[cfg(test)]
mod request_budget;
#[cfg(test)]
mod several_processes;
#[cfg(test)]
mod sudden_death;
