//! End-to-end tests of the program `neap`: real processes, real HTTP, real stores.
//!
//! These tests do not link the workspace. They start the binaries in the target directory beside their own, or at the
//! paths in environment variables, so the binaries must be built first:
//! `cargo build -p neap -p neap-s3-server -p neap-lambda -p neap-lambda-local --bins`.
//!
//! | binary | variable |
//! |---|---|
//! | `neap` | `NEAP_BIN` |
//! | `neap-s3-server` | `NEAP_S3_SERVER_BIN` |
//! | `neap-lambda-local` | `NEAP_LAMBDA_LOCAL_BIN` |
//! | `neap-lambda-write` and so on | `NEAP_LAMBDA_WRITE_BIN` and so on |
//!
//! | module | subject |
//! |---|---|
//! | `real_input` | answers over recorded data equal those that the test computes itself |
//! | `main_job` | from the first write to a restart after a kill, on a directory and on an S3 server |
//! | `several_processes` | writers and queriers on one store: visibility, duplicates, the order of writes |
//! | `order` | the order of writes and deletes through several processes, and requests after a drop |
//! | `request_budget` | the exact requests to the store that an operation costs |
//! | `serving` | operating a running process: stops, profiles, traces |
//! | `crashes` | `kill -9` under load loses no acknowledged write |
//! | `endless_queries` | CPU-bound endless queries end, and do not block other requests |
//! | `kept_answers` | answers of repeated statements are kept, and never outdated or shown to others |
//! | `memory_limit` | a process with little memory under load: limits hold, queries are answered |
//! | `azure` | the main job on an emulation of Azure |
//! | `aws_credentials` | the chain of credentials of the AWS SDK |
//! | `backpressure` | writers that refuse writes while a tail is too long, until it is flushed |
//! | `compaction` | compactors do not disturb concurrent writers and queriers |
//! | `data_lifecycle` | deletes of rows, retention, drops and undeletions |
//! | `changing_statements` | `INSERT`, `DELETE`, `CREATE` and `DROP` over HTTP, as Neap and QuestDB have them |
//! | `appending` | tokens that may add rows, but neither replace nor delete others |
//! | `renames` | renamed databases and tables through two processes, with their caches and views |
//! | `damage` | damaged objects: the loss is reported, the remaining rows are served |
//! | `lost_registers` | registers that are gone from the bucket: nothing takes them for new ones |
//! | `moved_tail` | new data that move to another bucket |
//! | `distributed` | queries over several worker processes, and their faults |
//! | `earlier_states` | queries of earlier states, restores, copies, and detection of damage |
//! | `backups` | backups by name under load, chains at another place, restores, and detection of damage |
//! | `caches` | last value and distinct value caches return what their definitions say, at low cost |
//! | `rollups` | materialized views and continuous queries follow late rows and deletes |
//! | `result_expansion` | statements whose results are far larger than their inputs are refused |
//! | `first_token` | creation of a cluster's first token, and replacement of a lost one |
//! | `client_isolation` | clients that are slow, large or many, and certificates that are renewed |
//! | `private_files` | permissions of files on disk |
//! | `lambda` | the functions as they run on AWS |
//! | `malformed` | refused requests, with status and body |
//! | `clients` | common client libraries, and requests as Telegraf and other integrations send them |
//! | `influxdb2` | resources of InfluxDB 2, as its tools request them |
//! | `influxdb2_queries` | queries in Flux, as the clients of InfluxDB 2 send them |
//! | `openapi` | every operation of the OpenAPI description of InfluxDB 3 Enterprise |
//! | `edge_sync` | sites that ship their rows to a central cluster |
//! | `parquet_objects` | other tools read all objects with the name of a Parquet file |
//! | `plugins` | plugins in Python: their inputs, their permissions, and their limits |
//! | `promql` | PromQL, as Grafana and the command line send it |
//! | `guides` | the examples of the public guides of InfluxDB 3 and QuestDB, and the commands of the documentation |
//! | `bulk_data` | row delete requests, import jobs, exports by days |
//! | `export_formats` | `neap export`: formats, compression, interruptions, and the check of exported files |
//! | `file_upload` | files of rows over HTTP: formats, refused rows, limits, permissions |
//! | `cold_storage` | the storage class of old rows, set by a command |
//! | `command_line` | the commands, their output and their exit status |
//! | `console` | the page in the program, its documents in the bucket, and its tests in a browser |
//! | `terminal` | the shell of `neap query`, and progress bars |
//! | `upgrades` | stores of published releases, and of later ones |
//! | `users` | users, their commands and sessions, and sign-outs that several processes see |
//! | `histories` | requests of many clients under faults, checked against all promises |
//! | `golden` | recorded answers of InfluxDB 3 Core, and Neap's differences from them |

#[cfg(test)]
mod appending;
#[cfg(test)]
mod aws_credentials;
#[cfg(test)]
mod azure;
#[cfg(test)]
mod backpressure;
#[cfg(test)]
mod backups;
#[cfg(test)]
mod bulk_data;
#[cfg(test)]
mod caches;
#[cfg(test)]
mod changing_statements;
#[cfg(test)]
mod client_isolation;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod cold_storage;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod compaction;
#[cfg(test)]
mod console;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod data_lifecycle;
#[cfg(test)]
mod distributed;
#[cfg(test)]
mod earlier_states;
#[cfg(test)]
mod edge_sync;
#[cfg(test)]
mod endless_queries;
#[cfg(test)]
mod export_formats;
#[cfg(test)]
mod file_upload;
#[cfg(test)]
mod first_token;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod guides;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod influxdb2;
#[cfg(test)]
mod influxdb2_queries;
#[cfg(test)]
mod jaeger;
#[cfg(test)]
mod kept_answers;
#[cfg(test)]
mod lambda;
#[cfg(test)]
mod lost_registers;
#[cfg(test)]
mod main_job;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod memory_limit;
#[cfg(test)]
mod moved_tail;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod order;
#[cfg(test)]
mod parquet_objects;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod private_files;
#[cfg(test)]
mod promql;
#[cfg(test)]
mod real_input;
#[cfg(test)]
mod renames;
#[cfg(test)]
mod request_budget;
#[cfg(test)]
mod result_expansion;
#[cfg(test)]
mod rollups;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod several_databases;
#[cfg(test)]
mod several_processes;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod upgrades;
#[cfg(test)]
mod users;
