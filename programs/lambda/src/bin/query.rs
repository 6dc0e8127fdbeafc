//! The query function on AWS Lambda.

use std::process::ExitCode;

use neap_lambda::{query::QueryProgram, runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    runtime::run::<QueryProgram>()
}
