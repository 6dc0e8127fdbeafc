//! How much memory there is, and which part of it is for what.

use std::{fs, str::FromStr};

use crate::cli::parse_bytes;

/// What is assumed where nothing tells how much memory there is.
const ASSUMED_BYTES: usize = 4 << 30;

/// The least that any part gets.
const LEAST_BYTES: usize = 16 << 20;

/// An amount of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryAmount {
    /// Bytes.
    Bytes(usize),
    /// Percent of what there is.
    Percent(u8),
}

impl FromStr for MemoryAmount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(percent) = text.strip_suffix('%') else {
            return parse_bytes(text).map(Self::Bytes);
        };
        let percent = percent
            .trim()
            .parse()
            .ok()
            .filter(|percent| (1..=100).contains(percent));
        percent
            .map(Self::Percent)
            .ok_or_else(|| format!("'{text}' is not a share from 1% to 100%"))
    }
}

impl MemoryAmount {
    /// The bytes, of so many in all.
    pub(super) fn bytes_of(self, total: usize) -> usize {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => (total / 100)
                .saturating_mul(usize::from(percent))
                .max(LEAST_BYTES),
        }
    }
}

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
    fn an_amount_is_bytes_or_a_share() {
        assert_eq!("20%".parse(), Ok(MemoryAmount::Percent(20)));
        assert_eq!("1GiB".parse(), Ok(MemoryAmount::Bytes(1 << 30)));
        for bad in ["0%", "101%", "%", "x", "-1"] {
            assert!(bad.parse::<MemoryAmount>().is_err(), "{bad}");
        }
        assert_eq!(MemoryAmount::Percent(20).bytes_of(1000 << 20), 200 << 20);
        assert_eq!(MemoryAmount::Percent(1).bytes_of(100 << 20), LEAST_BYTES);
    }

    #[test]
    fn the_memory_of_the_machine_is_found() {
        let text = "MemFree: 1 kB\nMemTotal:       16301244 kB\n";
        assert_eq!(parse_meminfo(text), Some(16_301_244 * 1024));
        assert_eq!(parse_meminfo(""), None);
        assert!(total_bytes() > 64 << 20);
    }
}
