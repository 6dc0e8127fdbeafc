//! Settings of mimalloc for servers.

use std::ffi::c_int;

/// From this limit on, memory that was just freed is kept for a moment, because it is often needed again at once.
const AMPLE_BYTES: usize = 4 << 30;

/// Time after which freed memory is returned to the operating system, in milliseconds. The default of mimalloc 3, a
/// second, keeps memory of jobs that are over, such as flushes.
const AMPLE_PURGE_DELAY: i8 = 100;

/// `mi_option_arena_eager_commit` in `mimalloc.h` of mimalloc 3.
const ARENA_EAGER_COMMIT: c_int = 4;

/// `mi_option_purge_delay` in `mimalloc.h` of mimalloc 3, in milliseconds.
const PURGE_DELAY: c_int = 15;

/// Makes mimalloc return freed memory to the operating system: after a tenth of a second, or, if the process may use less
/// than 4 GiB, at once. With its default settings, mimalloc keeps several hundred megabytes of freed memory under a load of
/// writes and queries, which the kernel counts against the limit.
///
/// The process gets pages of the usual size. Of a huge page of 2 MiB, all is resident as long as a part of it is in use,
/// which made servers a tenth to a third larger. mimalloc is built not to ask for huge pages (its feature `no_thp`), but some
/// systems give them to all processes.
///
/// The settings of the allocator have no effect on processes with another one.
pub fn limit_retained_memory(limit_bytes: usize) {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay enabled");
    }
    if limit_bytes >= AMPLE_BYTES {
        set(PURGE_DELAY, AMPLE_PURGE_DELAY);
        return;
    }
    set(PURGE_DELAY, 0);
    set(ARENA_EAGER_COMMIT, 0);
}

#[expect(unsafe_code, reason = "mimalloc is a C library")]
fn set(option: c_int, value: i8) {
    // SAFETY: The function stores a number in a table, for any option and value.
    unsafe { libmimalloc_sys::mi_option_set(option, value.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_gets_no_huge_pages_however_much_memory_it_may_use() {
        limit_retained_memory(AMPLE_BYTES);
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let enabled = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
        // Kernels without huge pages have no such line.
        assert_eq!(enabled.map_or("0", str::trim), "0");
    }
}
