//! The query function on AWS Lambda.

use std::process::ExitCode;

use neap_lambda::{query::QueryProgram, start};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    start::run::<QueryProgram>()
}
