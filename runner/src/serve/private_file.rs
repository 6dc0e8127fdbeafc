//! Files that only their owner should be able to read.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::console::Console;

/// What others than the owner may do with a file.
const OTHERS: u32 = 0o077;

/// Warns if others than its owner may read the file of an option.
pub(super) fn warn(option: &str, path: &Path, console: &mut Console) {
    let mode = fs::metadata(path).map(|file| file.permissions().mode());
    if mode.is_ok_and(|mode| mode & OTHERS != 0) {
        let path = path.display();
        console.report(format_args!(
            "warning: {option} {path}: others than its owner may read it; chmod 600 {path}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use crate::{console::testing::console, serve::tests::parse};

    use super::*;

    #[test]
    fn a_key_that_others_may_read_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        fs::write(&path, "").unwrap();
        let warned = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let (mut console, _, err) = console("");
            let args = parse(&["--tls-key", path.to_str().unwrap()]).unwrap();
            crate::serve::warn(&args, &mut console);
            err.text().replace(&folder.path().display().to_string(), "")
        };
        assert_eq!(warned(0o600), "");
        insta::assert_snapshot!(warned(0o640), @"warning: --tls-key /key.pem: others than its owner may read it; chmod 600 /key.pem");
    }
}
