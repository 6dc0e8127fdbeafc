//! libFuzzer over the target that `NEAP_FUZZ_TARGET` names. `scripts/fuzz` builds and runs it.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use neap_fuzz::{LimitedAllocator, TARGETS, Target, abort_on_panic};

#[global_allocator]
static ALLOCATOR: LimitedAllocator = LimitedAllocator;

/// The variable that names the target.
const VARIABLE: &str = "NEAP_FUZZ_TARGET";

static TARGET: OnceLock<&Target> = OnceLock::new();

/// Finds the target. With the name `list`, prints the names and the maximum lengths of all targets.
fn find_target() -> &'static Target {
    let name = std::env::var(VARIABLE).unwrap_or_default();
    if name == "list" {
        for target in TARGETS {
            println!("{} {}", target.name, target.max_bytes);
        }
        std::process::exit(0);
    }
    let target = TARGETS.iter().find(|target| target.name == name);
    target.unwrap_or_else(|| {
        eprintln!("{VARIABLE} is '{name}', which is no target of this build");
        std::process::exit(2);
    })
}

fuzz_target!(
    init: {
        abort_on_panic();
        TARGET.get_or_init(find_target);
    },
    |input: &[u8]| {
        LimitedAllocator::start_input();
        (TARGET.get_or_init(find_target).run)(input);
    }
);
