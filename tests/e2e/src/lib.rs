//! Tests of the program `neap` as its users have it: real processes, real HTTP, real stores.
//!
//! Nothing of the workspace is linked. The tests start the binaries that lie in the target directory beside their
//! own, or where variables say, so these must be built before:
//! `cargo build -p neap -p neap-s3-server -p neap-lambda -p neap-lambda-local --bins`.
//!
//! | binary | variable |
//! |---|---|
//! | `neap` | `NEAP_BIN` |
//! | `neap-s3-server` | `NEAP_S3_SERVER_BIN` |
//! | `neap-lambda-local` | `NEAP_LAMBDA_LOCAL_BIN` |
//! | `neap-lambda-write` and so on | `NEAP_LAMBDA_WRITE_BIN` and so on |
//!
//! | module | what is tested |
//! |---|---|
//! | `real_input` | answers over recorded data equal those that the test computes itself |
//! | `several_processes` | writers and queriers on one store: visibility, duplicates, the order of writes |
//! | `order` | the order of writes and deletes through several processes, and what comes after a drop |
//! | `request_budget` | the requests to the store that an operation costs, exactly |
//! | `sudden_death` | `kill -9` under load loses nothing that was acknowledged |
//! | `runaway` | queries that would compute for ever end, and hold up nobody |
//! | `small_machine` | a process with little memory under load: bounds hold, queries are answered |
//! | `backpressure` | writers that stop beside a tail that is not flushed, and go on after it |
//! | `compaction` | compactors beside writers and queriers: nobody notices |
//! | `life_of_data` | deletes of rows, retention, drops and what undoes them |
//! | `damage` | damaged objects: what is lost is named, the rest is served |
//! | `earlier_states` | queries as of a time, restores, copies, and damage that is found |
//! | `caches` | last value and distinct value caches show what their definitions say, and cost little |
//! | `expansions` | statements that make very much of little are refused |
//! | `first_token` | how a cluster comes to its first token, and how a lost one is replaced |
//! | `protection` | clients that are slow, large or many, and certificates that are renewed |
//! | `private_files` | who may read what lies on disk |
//! | `lambda` | the functions as they run on AWS |
//! | `malformed` | requests that are refused, with status and body |
//! | `clients` | the client libraries that people have, and requests as Telegraf sends them |
//! | `parquet_objects` | other tools read what is a Parquet file by name |
//! | `plugins` | plugins in Python: what they are given, what they may do, and what they can't |
//! | `guides` | what the public guides of InfluxDB 3 and QuestDB show |
//! | `command_line` | the commands, their output and their exit status |
//! | `terminal` | the shell of `neap query`, and progress bars |
//! | `golden` | recorded answers of InfluxDB 3 Core, and where Neap differs from them |

#[cfg(test)]
mod backpressure;
#[cfg(test)]
mod caches;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod compaction;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod earlier_states;
#[cfg(test)]
mod expansions;
#[cfg(test)]
mod first_token;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod guides;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod lambda;
#[cfg(test)]
mod life_of_data;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod order;
#[cfg(test)]
mod parquet_objects;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod private_files;
#[cfg(test)]
mod protection;
#[cfg(test)]
mod real_input;
#[cfg(test)]
mod request_budget;
#[cfg(test)]
mod runaway;
#[cfg(test)]
mod several_processes;
#[cfg(test)]
mod small_machine;
#[cfg(test)]
mod sudden_death;
#[cfg(test)]
mod terminal;
