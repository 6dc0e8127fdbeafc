//! Queries over several worker processes on one S3 server: the answers are those of one process, whatever happens to the
//! workers.

mod answers;
mod duckdb;
mod faults;
mod fixture;
mod promql;
mod security;
