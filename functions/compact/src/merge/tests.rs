//! Tests of plans, merge streams, and whole jobs.

mod cold_rows;
mod extraction;
mod job;
mod plan;
mod stream;
mod test_bed;
