//! The memory limits of control groups (cgroups(7)): those of the group of this process and of all its ancestors apply.
//!
//! | version | line of `/proc/self/cgroup` | mount | file |
//! |---|---|---|---|
//! | 1 | `4:memory:/docker/1` | `cgroup` with the option `memory` | `memory.limit_in_bytes` |
//! | 2 | `0::/system.slice/neap.service` | `cgroup2` | `memory.max`, and `memory.high`, above which it is throttled |
//!
//! In a container without its own cgroup namespace, the path is one of the host, and starts with the root of the mount.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A mounted hierarchy of control groups that can limit memory.
#[derive(Debug)]
struct CgroupHierarchy {
    mount: PathBuf,
    /// The group of the hierarchy that is visible at the mount point.
    root: PathBuf,
    files: &'static [&'static str],
}

/// Returns the lowest limit of the groups of this process, in the file system at `root`; `None` if there is no limit.
pub(crate) fn limit(root: &Path) -> Option<usize> {
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let hierarchy = hierarchy(&mounts, controllers)?;
        lowest_limit(root, &hierarchy, Path::new(path))
    });
    limits.min()
}

/// Finds the hierarchy of a line of `/proc/self/cgroup`, if it can limit memory.
fn hierarchy(mounts: &str, controllers: &str) -> Option<CgroupHierarchy> {
    let (kind, option, files): (_, _, &[&str]) = match controllers {
        "" => ("cgroup2", None, &["memory.max", "memory.high"]),
        _ if controllers.split(',').any(|one| one == "memory") => {
            ("cgroup", Some("memory"), &["memory.limit_in_bytes"])
        }
        _ => return None,
    };
    mounts.lines().find_map(|line| {
        // mount id, parent, device, root, mount point, ... - type, source, options (proc_pid_mountinfo(5))
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let is_kind = after.next() == Some(kind);
        let options = after.nth(1).unwrap_or_default();
        let is_ours = option.is_none_or(|option| options.split(',').any(|one| one == option));
        let mut before = before.split(' ').skip(3);
        let (root, mount) = (before.next()?, before.next()?);
        (is_kind && is_ours).then(|| CgroupHierarchy {
            mount: mount.into(),
            root: root.into(),
            files,
        })
    })
}

/// Returns the lowest limit of a group and its ancestors up to the mount point.
fn lowest_limit(root: &Path, hierarchy: &CgroupHierarchy, group: &Path) -> Option<usize> {
    let mount = root.join(hierarchy.mount.strip_prefix("/").ok()?);
    let group = group.strip_prefix(&hierarchy.root).ok();
    // For a group outside of the mount, only the limit at the mount point is readable.
    let group = group.unwrap_or(Path::new(""));
    let limits = group.ancestors().flat_map(|group| {
        let folder = mount.join(group);
        let read = move |file: &&str| {
            let limit = fs::read_to_string(folder.join(file)).ok()?;
            // "max" means no limit. Version 1 writes a number above any memory size instead, which never is the lowest.
            limit.trim().parse().ok()
        };
        hierarchy.files.iter().filter_map(read)
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the limit on a machine with these mounts, groups of the process, and files.
    fn limit_of(mounts: &str, groups: &str, files: &[(&str, &str)]) -> Option<usize> {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/self/mountinfo", mounts);
        write("proc/self/cgroup", groups);
        for (path, text) in files {
            write(path, text);
        }
        limit(root.path())
    }

    const V2: &str = "25 30 0:23 / /sys rw shared:7 - sysfs sysfs rw\n\
                      35 25 0:30 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_lowest_limit_of_the_group_and_its_ancestors_applies() {
        let files = [
            ("sys/fs/cgroup/a.slice/memory.max", "700\n"),
            ("sys/fs/cgroup/a.slice/b.service/memory.max", "max\n"),
            ("sys/fs/cgroup/a.slice/b.service/memory.high", "900\n"),
        ];
        assert_eq!(limit_of(V2, "0::/a.slice/b.service\n", &files), Some(700));
        assert_eq!(limit_of(V2, "0::/a.slice/c.service\n", &files), Some(700));
        assert_eq!(limit_of(V2, "0::/b.slice\n", &files), None);
        let throttled = [("sys/fs/cgroup/a/memory.high", "5\n")];
        assert_eq!(limit_of(V2, "0::/a\n", &throttled), Some(5));
    }

    #[test]
    fn a_cgroup_namespace_shows_the_limit_at_the_mount() {
        let files = [("sys/fs/cgroup/memory.max", "512\n")];
        assert_eq!(limit_of(V2, "0::/\n", &files), Some(512));
    }

    #[test]
    fn version_1_has_a_hierarchy_for_memory() {
        let mounts = "1 2 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      3 2 0:2 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      4 2 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let groups = "4:memory:/one/two\n1:cpu:/three\n0::/\n";
        let files = [
            ("sys/fs/cgroup/cpu/memory.limit_in_bytes", "1\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/one/memory.limit_in_bytes", "300\n"),
            ("sys/fs/cgroup/memory/one/two/memory.limit_in_bytes", "400\n"),
        ];
        assert_eq!(limit_of(mounts, groups, &files), Some(300));
    }

    #[test]
    fn a_container_without_a_namespace_finds_its_group_at_the_mount() {
        let mounts = "3 2 0:2 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let files = [
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "256\n"),
            ("sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "128\n"),
        ];
        assert_eq!(limit_of(mounts, "4:memory:/docker/1\n", &files), Some(256));
        let inner = "4:memory:/docker/1/inner\n";
        assert_eq!(limit_of(mounts, inner, &files), Some(128));
        assert_eq!(limit_of(mounts, "4:memory:/elsewhere\n", &files), Some(256));
    }

    #[test]
    fn without_groups_there_is_no_limit() {
        assert_eq!(limit_of("", "", &[]), None);
    }
}
