//! Certificate authorities from files.

use std::path::Path;

use neap_bucket::{MAX_PEM_BYTES, read_limited_file};
use reqwest::Certificate;

/// A file has no certificates that can be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the certificates in '{path}': {reason}")]
pub struct CertificatesError {
    path: String,
    reason: String,
}

/// Reads the certificate authorities in a PEM file.
///
/// # Errors
/// The file can't be read, or contains no certificate.
pub fn read_certificates(path: &Path) -> Result<Vec<Certificate>, CertificatesError> {
    let failed = |reason: String| CertificatesError { path: path.display().to_string(), reason };
    let pem = read_limited_file(path, MAX_PEM_BYTES).map_err(|error| failed(error.to_string()))?;
    let certificates =
        Certificate::from_pem_bundle(&pem).map_err(|error| failed(error.to_string()))?;
    if certificates.is_empty() {
        return Err(failed("it contains no certificate".to_owned()));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        assert!(read_certificates(&path).is_err());
        fs::write(&path, "no certificate").unwrap();
        let refused = read_certificates(&path).unwrap_err().to_string();
        assert!(refused.ends_with("/ca.pem': it contains no certificate"), "{refused}");
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let refused = read_certificates(Path::new("/dev/zero")).unwrap_err().to_string();
        assert_eq!(
            refused,
            "cannot read the certificates in '/dev/zero': the file has more than 1048576 bytes"
        );
    }
}
