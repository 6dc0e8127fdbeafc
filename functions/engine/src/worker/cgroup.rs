//! Control groups (cgroup v2) for plugins, if the server may create them. The kernel then limits the memory and the
//! number of processes of a plugin and its descendants, and kills all of them at once, including processes that leave
//! their session.
//!
//! The server may create groups if its own group is delegated to it and its processes are in another group: a systemd
//! unit with `Delegate=memory pids` and `DelegateSubgroup=server`, or a machine without other users of the hierarchy.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::process::Pid;

/// The controllers that limit a group.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];

/// Extra tasks allowed for threads, because threads count as processes and numeric libraries start at least one for
/// each CPU.
const THREADS: usize = 1_024;

/// The parent of the groups of plugins.
#[derive(Debug)]
pub(super) struct CgroupParent {
    folder: PathBuf,
}

/// The group of one plugin. Dropping it kills its processes and removes it if it is empty.
#[derive(Debug)]
pub(super) struct Cgroup {
    folder: PathBuf,
    _groups: Arc<CgroupParent>,
}

/// The limits of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct CgroupLimits {
    pub(super) memory_bytes: u64,
    pub(super) processes: usize,
}

impl CgroupParent {
    /// Creates the parent group for plugins, named `name`, if that is possible.
    pub(super) fn make(name: &str) -> Option<Arc<Self>> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own_folder(&mounts, &own)?;
        candidates(&own)
            .find_map(|parent| Self::make_in(&parent, name).ok())
            .map(Arc::new)
    }

    fn make_in(parent: &Path, name: &str) -> io::Result<Self> {
        enable(parent)?;
        let folder = parent.join(name);
        fs::create_dir(&folder)?;
        let groups = Self { folder };
        enable(&groups.folder)?;
        Ok(groups)
    }

    /// Creates a group with this name and moves a process into it, together with its future children.
    pub(super) fn enter(
        self: &Arc<Self>,
        name: &str,
        pid: Pid,
        limits: CgroupLimits,
    ) -> io::Result<Cgroup> {
        let folder = self.folder.join(name);
        fs::create_dir(&folder)?;
        let group = Cgroup { folder, _groups: Arc::clone(self) };
        group.set("memory.max", limits.memory_bytes)?;
        // Otherwise swapped memory would not count. Fails on kernels without swap.
        let _no_swap = group.set("memory.swap.max", 0);
        let processes = u64::try_from(limits.processes.saturating_add(THREADS)).unwrap_or(u64::MAX);
        group.set("pids.max", processes)?;
        fs::write(group.folder.join("cgroup.procs"), pid.as_raw_nonzero().to_string())?;
        Ok(group)
    }
}

impl Drop for CgroupParent {
    fn drop(&mut self) {
        let _not_empty = fs::remove_dir(&self.folder);
    }
}

impl Cgroup {
    fn set(&self, name: &str, value: u64) -> io::Result<()> {
        fs::write(self.folder.join(name), value.to_string())
    }

    /// Kills all processes of the group. Has no effect on kernels before 5.14.
    pub(super) fn kill(&self) {
        let _unknown = fs::write(self.folder.join("cgroup.kill"), "1");
    }

    /// Returns whether the kernel has killed a process of the group for lack of memory.
    pub(super) fn is_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.folder.join("memory.events")).unwrap_or_default();
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.is_some_and(|count| count.trim() != "0")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.kill();
        // Killed processes take a moment to leave. A group that stays costs almost nothing and is removed with its
        // parent.
        let _not_empty = fs::remove_dir(&self.folder);
    }
}

/// Returns the folder of this process's group in the cgroup v2 hierarchy.
fn own_folder(mounts: &str, own: &str) -> Option<PathBuf> {
    let mount = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        after.starts_with("cgroup2 ").then(|| before.split(' ').nth(4))?
    })?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(mount).join(path))
}

/// Returns the groups that may hold new groups: this process's own group if it is the root or delegated, and its parent
/// if that is delegated.
fn candidates(own: &Path) -> impl Iterator<Item = PathBuf> {
    let is_root = !own.join("cgroup.type").exists();
    let parent = own.parent().filter(|parent| is_delegated(parent));
    let own = (is_root || is_delegated(own)).then_some(own);
    [own, parent].into_iter().flatten().map(Path::to_owned)
}

/// Returns whether a group has the attribute that systemd sets on delegated groups.
fn is_delegated(folder: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0; 8];
        let length = rustix::fs::getxattr(folder, *name, &mut value);
        matches!(length, Ok(1)) && value.first() == Some(&b'1')
    })
}

/// Enables the controllers for the children of a group.
fn enable(folder: &Path) -> io::Result<()> {
    let file = folder.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&file)?;
    for controller in CONTROLLERS {
        if !enabled.split_whitespace().any(|name| name == controller) {
            fs::write(&file, format!("+{controller}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n\
                          35 25 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_own_group_is_found_in_the_v2_hierarchy_only() {
        let own = own_folder(MOUNTS, "0::/system.slice/neap.service/server\n");
        let expected = "/sys/fs/cgroup/system.slice/neap.service/server";
        assert_eq!(own, Some(PathBuf::from(expected)));
        let mixed = "9:pids:/\n0::/\n";
        assert_eq!(own_folder(MOUNTS, mixed), Some(PathBuf::from("/sys/fs/cgroup")));
        assert_eq!(own_folder(MOUNTS, "9:pids:/\n"), None);
        assert_eq!(own_folder("", "0::/\n"), None);
    }

    #[test]
    fn a_group_gets_its_limits_before_its_process() {
        let parent = tempfile::tempdir().unwrap();
        // A kernel without the controllers rejects this; here, the control file does not exist.
        assert!(CgroupParent::make_in(parent.path(), "plugins").is_err());
        let folder = parent.path().join("plugins");
        fs::create_dir(&folder).unwrap();
        let groups = Arc::new(CgroupParent { folder: folder.clone() });
        let limits = CgroupLimits { memory_bytes: 1_000, processes: 10 };
        let pid = Pid::from_raw(77).unwrap();
        let group = groups.enter("one", pid, limits).unwrap();
        let read = |name: &str| fs::read_to_string(folder.join("one").join(name)).unwrap();
        assert_eq!((read("memory.max"), read("pids.max")), ("1000".into(), "1034".into()));
        assert_eq!((read("memory.swap.max"), read("cgroup.procs")), ("0".into(), "77".into()));
        assert!(!group.is_out_of_memory());
        fs::write(folder.join("one/memory.events"), "low 0\noom 1\noom_kill 2\n").unwrap();
        assert!(group.is_out_of_memory());
        drop(group);
        assert_eq!(read("cgroup.kill"), "1");
    }
}
