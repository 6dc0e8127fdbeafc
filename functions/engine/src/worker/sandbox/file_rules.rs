//! The files that a confined plugin may use.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::SandboxSettings;
use crate::child_environment::CERTIFICATE_VARIABLES;

/// System folders with programs, libraries, and the state of the kernel. `/proc` shows the environment and the files of
/// a process only to processes with the same restrictions.
const SYSTEM_FOLDERS: [&str; 9] = [
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/proc",
    "/sbin",
    "/sys",
    "/usr",
];

/// Files and folders with the settings that libraries read: names, time zones, certificates, and shared libraries. The
/// rest of `/etc` may hold secrets that the server can read.
const SYSTEM_SETTINGS: [&str; 25] = [
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/machine-id",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/timezone",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/systemd/resolve",
];

/// Devices that a plugin may read and write, and the folder of shared memory and semaphores, which
/// `multiprocessing` needs.
const DEVICES: [&str; 6] =
    ["/dev/full", "/dev/null", "/dev/random", "/dev/shm", "/dev/urandom", "/dev/zero"];

/// The files that a plugin may use. Everything else is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FileRules {
    pub(super) readable: Vec<PathBuf>,
    pub(super) writable: Vec<PathBuf>,
}

impl FileRules {
    /// Returns the rules for a plugin: the system, the interpreter's folders, the plugin's code, its folder for
    /// temporary files, and the paths of the settings.
    pub(super) fn new(
        settings: &SandboxSettings,
        interpreter: &[PathBuf],
        code: &[&Path],
        temporary: &Path,
    ) -> Self {
        let system = SYSTEM_FOLDERS.iter().chain(&SYSTEM_SETTINGS);
        let certificates = CERTIFICATE_VARIABLES.iter().filter_map(env::var_os).map(PathBuf::from);
        let readable = system
            .map(PathBuf::from)
            .chain(certificates)
            .chain(interpreter.iter().filter(|path| is_narrow(path)).cloned())
            .chain(code.iter().map(|path| path.to_path_buf()))
            .chain(settings.readable.iter().cloned());
        let writable = DEVICES
            .iter()
            .map(PathBuf::from)
            .chain([temporary.to_owned()])
            .chain(settings.writable.iter().cloned());
        Self { readable: readable.collect(), writable: writable.collect() }
    }
}

/// Returns whether a folder on the module path may be allowed as a whole. An interpreter in `/bin` has the prefix `/`.
fn is_narrow(path: &Path) -> bool {
    path.is_absolute() && path != Path::new("/") && path.as_os_str() != OsStr::new("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_the_whole_machine_is_not_allowed() {
        let interpreter = ["/", "", "lib", "/opt/python"].map(PathBuf::from);
        let settings = SandboxSettings::default();
        let rules = FileRules::new(&settings, &interpreter, &[], Path::new("/tmp/x"));
        let of = |path: &str| rules.readable.contains(&PathBuf::from(path));
        assert!(of("/opt/python") && of("/usr"));
        assert!(!of("/") && !of("") && !of("lib") && !of("/etc"));
    }

    #[test]
    fn paths_of_the_settings_are_added() {
        let settings = SandboxSettings {
            readable: vec!["/models".into()],
            writable: vec!["/results".into()],
            ..SandboxSettings::default()
        };
        let code = [Path::new("/plugins")];
        let rules = FileRules::new(&settings, &[], &code, Path::new("/tmp/x"));
        assert!(rules.readable.ends_with(&["/plugins".into(), "/models".into()]));
        assert!(rules.writable.ends_with(&["/tmp/x".into(), "/results".into()]));
    }
}
