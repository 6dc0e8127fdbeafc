//! HTTPS: certificates, protocol versions, and certificate renewal.
//!
//! A renewal overwrites the certificate files, which are checked every 5 seconds. New connections get the new
//! certificate, and open connections keep the old one. Files that are not a matching pair, as between the two writes of
//! a renewal, are ignored.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use clap::ValueEnum;
use neap_bucket::{MAX_PEM_BYTES, World, read_limited_file};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
        version::{TLS12, TLS13},
    },
};

use super::ServeError;

/// Interval at which the files are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Minimum TLS versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TlsVersion {
    /// 1.2 or newer.
    #[value(name = "tls-1.2")]
    Tls12,
    /// 1.3.
    #[value(name = "tls-1.3")]
    Tls13,
}

impl TlsVersion {
    fn and_newer(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Tls12 => vec![&TLS13, &TLS12],
            Self::Tls13 => vec![&TLS13],
        }
    }
}

/// Paths of a certificate and its key, and the minimum TLS version.
#[derive(Clone, Debug)]
pub(super) struct TlsFiles {
    /// Certificate chain in PEM.
    pub(super) certificates: PathBuf,
    /// Private key of the first certificate in PEM.
    pub(super) key: PathBuf,
    /// Oldest accepted version.
    pub(super) oldest: TlsVersion,
}

/// Contents of the two files.
#[derive(PartialEq, Eq)]
struct CertificateContents {
    certificates: Vec<u8>,
    key: Vec<u8>,
}

impl TlsFiles {
    fn read(&self) -> Result<CertificateContents, ServeError> {
        let read = |path: &Path| {
            let read = read_limited_file(path, MAX_PEM_BYTES);
            read.map_err(|error| unusable(path, error.to_string()))
        };
        Ok(CertificateContents {
            certificates: read(&self.certificates)?,
            key: read(&self.key)?,
        })
    }

    fn config(&self, contents: &CertificateContents) -> Result<Arc<ServerConfig>, ServeError> {
        let chain = CertificateDer::pem_slice_iter(&contents.certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unusable(&self.certificates, pem_reason(&error)))?;
        if chain.is_empty() {
            let reason = "it contains no certificate".to_owned();
            return Err(unusable(&self.certificates, reason));
        }
        let private = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|error| {
            let reason = match error {
                pem::Error::NoItemsFound => "there is no private key in it".to_owned(),
                other => pem_reason(&other),
            };
            unusable(&self.key, reason)
        })?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&self.oldest.and_newer())
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, private))
            .map_err(|error| {
                let key = self.key.display();
                unusable(&self.certificates, format!("does not match {key}: {error}"))
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn unusable(path: &Path, reason: String) -> ServeError {
    ServeError::Tls { path: path.display().to_string(), reason }
}

fn pem_reason(error: &pem::Error) -> String {
    format!("no PEM file: {error}")
}

/// TLS context with the newest usable certificate. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct TlsContext {
    files: TlsFiles,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl TlsContext {
    /// Creates the context from the files.
    ///
    /// # Errors
    ///
    /// The files are unusable for HTTPS.
    pub(super) fn open(files: TlsFiles) -> Result<Self, ServeError> {
        let config = files.config(&files.read()?)?;
        Ok(Self { files, current: Arc::new(RwLock::new(config)) })
    }

    /// Returns the acceptor for the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current))
    }

    /// Returns the acceptor for the next connection of a client of PostgreSQL, whose ALPN protocol is another one.
    pub(super) fn postgres_acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let mut config = ServerConfig::clone(&current);
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Checks the files in an endless loop.
    pub(super) async fn watch(self, world: World) {
        let mut seen = self.files.read().ok();
        loop {
            world.clock.sleep(CHECK_INTERVAL).await;
            let tls = self.clone();
            let looked = tokio::task::spawn_blocking(move || tls.reload(seen));
            seen = match looked.await {
                Ok(seen) => seen,
                // The runtime is shutting down.
                Err(_) => return,
            };
        }
    }

    /// Loads the files if they have changed and are usable, and returns their contents. An error is logged once.
    fn reload(&self, seen: Option<CertificateContents>) -> Option<CertificateContents> {
        let contents = match self.files.read() {
            Ok(contents) => contents,
            Err(error) => {
                if seen.is_some() {
                    tracing::error!(%error, "the certificate is not renewed");
                }
                return None;
            }
        };
        if seen.as_ref() == Some(&contents) {
            return seen;
        }
        match self.files.config(&contents) {
            Ok(config) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
                tracing::info!("certificate reloaded for new connections");
            }
            Err(error) => tracing::error!(%error, "the certificate is not renewed"),
        }
        Some(contents)
    }
}

#[cfg(test)]
mod tests;
