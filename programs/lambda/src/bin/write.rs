//! The write function on AWS Lambda.

use std::process::ExitCode;

use neap_lambda::{runtime, write::WriteProgram};

fn main() -> ExitCode {
    runtime::run::<WriteProgram>()
}
