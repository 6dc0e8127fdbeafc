//! How much memory there is, and which part of it is for what.

use std::fs;

/// What is assumed where nothing tells how much memory there is.
const ASSUMED_BYTES: usize = 4 << 30;

/// The least that any share of it gets.
const LEAST_BYTES: usize = 16 << 20;

/// An amount of memory, as an option.
pub(super) type MemoryAmount = neap_options::MemoryAmount<LEAST_BYTES>;

/// The memory that this process may use: of the machine, or of the control group that it runs in.
pub(super) fn total_bytes() -> usize {
    let of_machine = fs::read_to_string("/proc/meminfo").ok();
    let of_machine = of_machine.and_then(|text| parse_meminfo(&text));
    let of_group = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .iter()
    .find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    let least = of_machine.into_iter().chain(of_group).min();
    least.unwrap_or(ASSUMED_BYTES)
}

fn parse_meminfo(text: &str) -> Option<usize> {
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: usize = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_found() {
        let text = "MemFree: 1 kB\nMemTotal:       16301244 kB\n";
        assert_eq!(parse_meminfo(text), Some(16_301_244 * 1024));
        assert_eq!(parse_meminfo(""), None);
        assert!(total_bytes() > 64 << 20);
    }
}
