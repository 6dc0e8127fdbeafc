//! The functions that hold sampled memory.

use std::{collections::HashMap, io};

use pprof::Symbol;

use super::encode::{HeapUse, ProfileTiming, encode_heap_profile};
use crate::heap_sampling::{HeapSamples, SAMPLE_BYTES};

/// The functions of the sampler itself, which are among the innermost ones of each stack.
const SAMPLER: &str = concat!(env!("CARGO_CRATE_NAME"), "::heap_sampling::");

/// Encodes the memory of each stack.
pub(super) fn encode(samples: &HeapSamples, timing: &ProfileTiming) -> io::Result<Vec<u8>> {
    if samples.dropped > 0 {
        let dropped = samples.dropped;
        tracing::warn!(dropped, "the heap profile lacks samples, because there were too many");
    }
    let mut by_stack: HashMap<&[usize], (f64, f64)> = HashMap::new();
    for sample in &samples.samples {
        let (objects, bytes) = by_stack.entry(sample.frames.as_slice()).or_default();
        *objects += sample.weight();
        *bytes += sample.weight() * sample.bytes as f64;
    }
    let mut symbols = HashMap::new();
    let uses: Vec<HeapUse> = by_stack
        .into_iter()
        .map(|(frames, (objects, bytes))| HeapUse {
            stack: stack(frames, &mut symbols),
            objects,
            bytes,
        })
        .collect();
    encode_heap_profile(&uses, SAMPLE_BYTES, samples.dropped, timing)
}

/// Returns the functions of the addresses of a stack, without those of the sampler.
fn stack(frames: &[usize], symbols: &mut HashMap<usize, Vec<Symbol>>) -> Vec<Symbol> {
    let mut stack = Vec::new();
    for address in frames {
        let inlined = symbols.entry(*address).or_insert_with(|| look_up(*address));
        stack.extend(inlined.iter().cloned());
    }
    let of_sampler = |symbol: &Symbol| symbol.name().contains(SAMPLER);
    let inner = stack.iter().rposition(of_sampler).map_or(0, |at| at + 1);
    stack.split_off(inner)
}

/// Returns the functions of an address: several if they are inlined.
fn look_up(address: usize) -> Vec<Symbol> {
    let mut found = Vec::new();
    let address = std::ptr::without_provenance_mut(address);
    backtrace::resolve(address, |symbol| {
        found.push(Symbol {
            name: symbol.name().map(|name| name.as_bytes().to_vec()),
            addr: symbol.addr(),
            lineno: symbol.lineno(),
            filename: symbol.filename().map(std::path::Path::to_path_buf),
        });
    });
    if found.is_empty() {
        found.push(Symbol {
            name: Some(format!("{address:p}").into_bytes()),
            addr: Some(address),
            lineno: None,
            filename: None,
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap_sampling::SamplingAllocator;

    #[test]
    fn a_stack_begins_above_the_sampler_and_keeps_the_start_of_its_thread() {
        let allocator = std::any::type_name::<SamplingAllocator<()>>();
        let names = [
            "<neap_server::heap_sampling::ThreadSampler>::note",
            &format!("<{allocator} as GlobalAlloc>::alloc"),
            "neap_wal::write",
            "std::sys::backtrace::__rust_begin_short_backtrace",
            "main",
        ];
        let symbol = |name: &str| Symbol {
            name: Some(name.as_bytes().to_vec()),
            addr: None,
            lineno: None,
            filename: None,
        };
        let mut symbols = HashMap::new();
        for (address, name) in names.iter().enumerate() {
            symbols.insert(address, vec![symbol(name)]);
        }
        let stack = stack(&[0, 1, 2, 3, 4], &mut symbols);
        let found: Vec<String> = stack.iter().map(Symbol::name).collect();
        assert_eq!(found, names[2..]);
    }

    #[test]
    fn an_address_without_a_function_is_shown_as_a_number() {
        assert_eq!(look_up(16)[0].name(), "0x10");
    }
}
