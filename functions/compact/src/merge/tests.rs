//! Tests of plans, of merges as streams of rows, and of whole jobs.

mod job;
mod plan;
mod stage;
mod stream;
