//! The memory limit and the resident memory of the process.

use std::{fs, path::Path};

use crate::cgroup;

/// The assumed limit if the system reports no memory size: 4 GiB.
const ASSUMED_BYTES: usize = 4 << 30;

/// The assumed size of a memory page: 4 KiB.
const PAGE_BYTES: usize = 4 << 10;

/// Returns the memory that this process may use, in bytes: the lowest of the size of the machine and the limits of its
/// control group and all ancestors (versions 1 and 2).
pub fn limit_bytes() -> usize {
    let of_machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| kibibytes(&text, "MemTotal:"));
    let of_groups = cgroup::limit(Path::new("/"));
    let least = of_machine.into_iter().chain(of_groups).min();
    least.unwrap_or(ASSUMED_BYTES)
}

/// Returns the resident memory of this process without file-backed pages, which the system reclaims when needed, in
/// bytes; `None` if the system does not report it.
pub fn resident_bytes() -> Option<usize> {
    // Fields: size, resident, shared (file-backed) pages (proc_pid_statm(5)).
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    resident(&statm)
}

fn resident(statm: &str) -> Option<usize> {
    let mut pages = statm.split_ascii_whitespace().skip(1);
    let resident: usize = pages.next()?.parse().ok()?;
    let of_files: usize = pages.next()?.parse().ok()?;
    resident.saturating_sub(of_files).checked_mul(PAGE_BYTES)
}

fn kibibytes(text: &str, name: &str) -> Option<usize> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: usize = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_found() {
        let text = "MemFree: 1 kB\nMemTotal:       16301244 kB\n";
        assert_eq!(kibibytes(text, "MemTotal:"), Some(16_301_244 * 1024));
        assert_eq!(kibibytes("", "MemTotal:"), None);
        assert!(limit_bytes() > 64 << 20);
    }

    #[test]
    fn file_backed_pages_are_not_counted() {
        assert_eq!(resident("1000 300 100 50 0 200 0\n"), Some(200 * 4096));
        assert_eq!(resident(""), None);
        assert!(resident_bytes().is_some_and(|bytes| bytes > 0));
    }
}
