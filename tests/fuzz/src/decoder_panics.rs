//! Panics of the libraries that decode Parquet and Arrow and plan SQL, which the product catches.
//!
//! The product catches panics of these decoders, or decodes files and plans queries on threads of their own, and reports a panic
//! as an error. Therefore such a panic is not a finding if it starts in a crate of others. A panic of the project's own code
//! always is.

use std::{
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

/// Whether a decoder runs whose panics the product catches. It may run on another thread.
static IN_DECODER: AtomicBool = AtomicBool::new(false);

/// Whether the last panic started in a crate of others.
static IS_FOREIGN: AtomicBool = AtomicBool::new(false);

/// The part of a path that all crates of a registry have.
const REGISTRY: &str = "/registry/src/";

/// Runs a decoder whose panics the product catches. Returns `None` if it panicked in a crate of others.
///
/// # Panics
/// The decoder panicked in other code.
pub(crate) fn catch_decoder_panic<R>(decode: impl FnOnce() -> R) -> Option<R> {
    install_hook();
    IN_DECODER.store(true, Ordering::Relaxed);
    let decoded = panic::catch_unwind(AssertUnwindSafe(decode));
    IN_DECODER.store(false, Ordering::Relaxed);
    match decoded {
        Ok(decoded) => Some(decoded),
        Err(_) if IS_FOREIGN.load(Ordering::Relaxed) => None,
        Err(panic) => panic::resume_unwind(panic),
    }
}

/// Makes every panic abort the process, except those that [`catch_decoder_panic`] catches, so that libFuzzer stores the
/// input.
pub fn abort_on_panic() {
    // That of libFuzzer aborts on caught panics, too.
    drop(panic::take_hook());
    install_hook();
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        report(panic);
        if !is_caught(panic) {
            std::process::abort();
        }
    }));
}

/// Makes panics that are caught silent.
fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let is_caught = is_caught(panic);
            IS_FOREIGN.store(is_caught, Ordering::Relaxed);
            if !is_caught {
                report(panic);
            }
        }));
    });
}

fn is_caught(panic: &PanicHookInfo<'_>) -> bool {
    let is_foreign = |location: &panic::Location<'_>| location.file().contains(REGISTRY);
    IN_DECODER.load(Ordering::Relaxed) && panic.location().is_some_and(is_foreign)
}
