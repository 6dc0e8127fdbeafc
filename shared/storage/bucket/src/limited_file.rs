//! Reads local files up to a maximum size.
//!
//! The size that the file system states is not used, because devices and pipes state none.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Maximum bytes of a file with certificates or a key in PEM.
pub const MAX_PEM_BYTES: u64 = 1 << 20;

/// Reads a file of at most `max_bytes`. Blocks on disk I/O.
///
/// ```
/// use std::io::ErrorKind;
///
/// let refused = neap_bucket::read_limited_file("/dev/zero".as_ref(), 1 << 20).unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::FileTooLarge);
/// ```
///
/// # Errors
/// The file can't be read, or is longer: [`io::ErrorKind::FileTooLarge`].
pub fn read_limited_file(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let reason = format!("the file has more than {max_bytes} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

/// Reads a file of at most `max_bytes` with text in UTF-8. Blocks on disk I/O.
///
/// # Errors
/// As of [`read_limited_file`], and [`io::ErrorKind::InvalidData`] if the file is not UTF-8. The error does not contain the
/// bytes, because they may be secret.
pub fn read_limited_text(path: &Path, max_bytes: u64) -> io::Result<String> {
    let bytes = read_limited_file(path, max_bytes)?;
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the file is not UTF-8"))
}

/// Reads a file of at most `max_bytes` on a thread for blocking calls.
///
/// # Errors
/// As of [`read_limited_file`].
pub async fn read_limited_file_async(path: PathBuf, max_bytes: u64) -> io::Result<Vec<u8>> {
    let read = tokio::task::spawn_blocking(move || read_limited_file(&path, max_bytes));
    read.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_file_that_is_too_long_is_refused_and_not_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "abcd").unwrap();
        assert_eq!(read_limited_file(&path, 4).unwrap(), b"abcd");
        assert_eq!(read_limited_text(&path, 4).unwrap(), "abcd");
        assert_eq!(read_limited_file_async(path.clone(), 4).await.unwrap(), b"abcd");
        for refused in [
            read_limited_file(&path, 3).unwrap_err(),
            read_limited_text(&path, 3).unwrap_err(),
            read_limited_file_async(path, 3).await.unwrap_err(),
        ] {
            assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
            assert_eq!(refused.to_string(), "the file has more than 3 bytes");
        }
    }

    #[test]
    fn a_device_without_end_is_refused() {
        let refused = read_limited_file(Path::new("/dev/zero"), 4).unwrap_err();
        assert_eq!(refused.to_string(), "the file has more than 4 bytes");
    }

    #[test]
    fn the_error_about_a_text_does_not_contain_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, b"secret\xff").unwrap();
        let refused = read_limited_text(&path, 7).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        assert_eq!(format!("{refused:?} {refused}").find("secret"), None);
    }
}
