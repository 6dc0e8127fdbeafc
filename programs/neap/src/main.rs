//! The `neap` binary.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use neap_cli::Environment;
use neap_server::{console::Console, heap_sampling::SamplingAllocator};

#[global_allocator]
static ALLOCATOR: SamplingAllocator<MiMalloc> = SamplingAllocator(MiMalloc);

fn main() -> ExitCode {
    let mut console = Console::of_process();
    match Environment::of_process() {
        Ok(environment) => neap_cli::run(std::env::args_os(), &environment, &mut console).into(),
        Err(error) => {
            console.report(format_args!("cannot read .env: {error}"));
            ExitCode::FAILURE
        }
    }
}
