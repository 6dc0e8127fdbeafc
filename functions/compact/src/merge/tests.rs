//! Tests of plans, merge streams, and whole jobs.

mod job;
mod plan;
mod stream;
mod test_bed;
