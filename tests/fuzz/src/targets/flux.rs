//! Flux.

use neap_flux::{Environment, compile};

/// A query is compiled, or refused with a position that is in its text.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Err(error) = compile(text, Environment::default()) else {
        return;
    };
    let lines = text.matches('\n').count() + 1;
    let last = usize::try_from(error.span.end.line).expect("a line");
    assert!(last <= lines, "{text:?}: {error}");
}
