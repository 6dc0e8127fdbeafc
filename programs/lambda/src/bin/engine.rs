//! The engine function on AWS Lambda.

use std::process::ExitCode;

use neap_lambda::{engine::EngineProgram, runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    runtime::run::<EngineProgram>()
}
