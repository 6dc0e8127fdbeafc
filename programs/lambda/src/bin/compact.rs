//! The compact function on AWS Lambda.

use std::process::ExitCode;

use neap_lambda::{compact::CompactProgram, runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    runtime::run::<CompactProgram>()
}
