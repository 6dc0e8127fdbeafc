//! Private files: their permissions, and secrets in them.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use neap_bucket::{DirectoryAccess, ExposedDirectory, Secret, read_limited_text};

use crate::console::Console;

/// Permission bits of group and others.
const GROUP_AND_OTHERS: u32 = 0o077;

/// Maximum bytes of a file with a key, a token or a password.
const MAX_SECRET_BYTES: u64 = 16 << 10;

/// Reads a file with a key, a token or a password.
///
/// # Errors
/// The file can't be read, is not UTF-8, or has more than 16 KiB.
pub fn read_secret(path: &Path) -> io::Result<Secret> {
    let Ok(secret) = read_limited_text(path, MAX_SECRET_BYTES)?.parse::<Secret>();
    Ok(secret)
}

/// Warns if users other than the owner may read the file of an option.
pub fn warn(option: &str, path: &Path, console: &mut Console) {
    let mode = fs::metadata(path).map(|file| file.permissions().mode());
    if mode.is_ok_and(|mode| mode & GROUP_AND_OTHERS != 0) {
        let path = path.display();
        console.report(format_args!(
            "warning: {option} {path}: users other than its owner may read it; chmod 600 {path}"
        ));
    }
}

/// Warns if more users may access the data directory than `access` allows.
pub(super) fn warn_of_directory(path: &Path, access: DirectoryAccess, console: &mut Console) {
    if let Some(exposed) = ExposedDirectory::find(path, access) {
        let (path, remedy) = (path.display(), exposed.chmod_mode());
        console.report(format_args!(
            "warning: --data-dir {path}: {exposed}; chmod -R {remedy} {path}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use crate::{console::testing::console, tests::parse};

    use super::*;

    #[test]
    fn a_secret_that_others_may_read_causes_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "").unwrap();
        let warned = |option, mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let (mut console, _, err) = console("");
            let args = parse(&[option, path.to_str().unwrap()]).unwrap();
            crate::warn(&args, &mut console);
            err.text().replace(&folder.path().display().to_string(), "")
        };
        assert_eq!(warned("--tls-key", 0o600), "");
        insta::assert_snapshot!(warned("--tls-key", 0o640), @"warning: --tls-key /secret: users other than its owner may read it; chmod 600 /secret");
        assert_eq!(warned("--sync-token-file", 0o600), "");
        insta::assert_snapshot!(warned("--sync-token-file", 0o604), @"warning: --sync-token-file /secret: users other than its owner may read it; chmod 600 /secret");
    }

    #[test]
    fn a_secret_that_is_too_long_is_refused_and_not_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let longest = "x".repeat(16 << 10);
        fs::write(&path, &longest).unwrap();
        assert_eq!(read_secret(&path).unwrap().reveal(), longest);
        fs::write(&path, longest + "x").unwrap();
        let refused = read_secret(&path).unwrap_err().to_string();
        assert_eq!(refused, "the file has more than 16384 bytes");
    }

    #[test]
    fn a_data_directory_that_is_open_to_others_causes_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        let inner = root.join("db");
        fs::create_dir_all(&inner).unwrap();
        let warned = |root_mode, inner_mode, access: &str| {
            for (path, mode) in [(&root, root_mode), (&inner, inner_mode)] {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
            let (mut console, _, err) = console("");
            let args = ["--data-dir", root.to_str().unwrap(), "--data-dir-access", access];
            crate::warn(&parse(&args).unwrap(), &mut console);
            err.text().replace(&folder.path().display().to_string(), "")
        };
        insta::assert_snapshot!(warned(0o755, 0o755, "owner"), @"warning: --data-dir /data: users other than its owner may use it; chmod -R go= /data");
        insta::assert_snapshot!(warned(0o777, 0o700, "owner"), @"warning: --data-dir /data: users other than its owner may use it; chmod -R go= /data");
        insta::assert_snapshot!(warned(0o770, 0o770, "group-read"), @"warning: --data-dir /data: users other than its owner may write to it, or users outside its group may read it; chmod -R g-w,o= /data");
        insta::assert_snapshot!(warned(0o775, 0o775, "group-write"), @"warning: --data-dir /data: users other than its owner and its group may use it; chmod -R o= /data");
        for (root_mode, inner_mode, access) in [
            (0o700, 0o755, "owner"),
            (0o755, 0o700, "owner"),
            (0o750, 0o750, "group-read"),
            (0o2770, 0o770, "group-write"),
        ] {
            assert_eq!(warned(root_mode, inner_mode, access), "");
        }
    }
}
