//! Confines the current thread, and the processes that it starts, to files with Landlock.

use std::io;

use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::FileRules;

/// The newest version of Landlock whose restrictions are used. Older kernels apply those that they know.
const LANDLOCK: ABI = ABI::V6;

/// Confines the current thread to these files. Returns whether the kernel enforces it.
pub(super) fn confine_files(rules: &FileRules) -> io::Result<bool> {
    let readable = AccessFs::Execute | AccessFs::ReadFile | AccessFs::ReadDir;
    let writable = AccessFs::from_all(LANDLOCK)
        & !(AccessFs::MakeBlock | AccessFs::MakeChar | AccessFs::IoctlDev);
    let restrict = || -> Result<RestrictionStatus, RulesetError> {
        let mut ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(LANDLOCK))?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?;
        for (paths, access) in [(&rules.readable, readable), (&rules.writable, writable)] {
            for path in paths {
                // Not every machine has every path.
                let Ok(file) = PathFd::new(path) else {
                    continue;
                };
                let access = if path.is_dir() {
                    access
                } else {
                    access & file_access()
                };
                ruleset = ruleset.add_rule(PathBeneath::new(file, access))?;
            }
        }
        ruleset.restrict_self()
    };
    let status = restrict().map_err(io::Error::other)?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// Returns the access rights that apply to files that are not folders.
fn file_access() -> BitFlags<AccessFs> {
    AccessFs::from_file(LANDLOCK)
}
