//! The write function on AWS Lambda.

use std::process::ExitCode;

use neap_lambda::{start, write::WriteProgram};

fn main() -> ExitCode {
    start::run::<WriteProgram>()
}
