//! The write function on AWS Lambda.

use std::process::ExitCode;

use neap_lambda::{start, write::WriteProgram};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    start::run::<WriteProgram>()
}
