//! The engine function on AWS Lambda.

use std::process::ExitCode;

use neap_lambda::{engine::EngineProgram, start};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    start::run::<EngineProgram>()
}
