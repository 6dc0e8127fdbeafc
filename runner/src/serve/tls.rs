//! HTTPS: certificates, what is agreed on with clients, and certificates that are renewed meanwhile.
//!
//! Whoever renews certificates writes files. They are looked at every few seconds: connections that are made
//! after a change get the new certificate, and those that are open keep theirs. Files that are no pair, as
//! between the two writes of a renewal, change nothing.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use clap::ValueEnum;
use neap_bucket::World;
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

/// How often the files are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Versions of TLS.
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

/// Where a certificate and its key are, and how they are used.
#[derive(Clone, Debug)]
pub(super) struct TlsFiles {
    /// The chain of certificates, in PEM.
    pub(super) certificates: PathBuf,
    /// The private key of the first one, in PEM.
    pub(super) key: PathBuf,
    /// The oldest version to speak.
    pub(super) oldest: TlsVersion,
}

/// What the two files hold.
#[derive(PartialEq, Eq)]
struct Contents {
    certificates: Vec<u8>,
    key: Vec<u8>,
}

impl TlsFiles {
    fn read(&self) -> Result<Contents, ServeError> {
        let read =
            |path: &Path| std::fs::read(path).map_err(|error| unusable(path, error.to_string()));
        Ok(Contents {
            certificates: read(&self.certificates)?,
            key: read(&self.key)?,
        })
    }

    fn config(&self, contents: &Contents) -> Result<Arc<ServerConfig>, ServeError> {
        let chain = CertificateDer::pem_slice_iter(&contents.certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unusable(&self.certificates, pem_reason(&error)))?;
        if chain.is_empty() {
            let reason = "there is no certificate in it".to_owned();
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
            .and_then(|config| {
                config
                    .with_no_client_auth()
                    .with_single_cert(chain, private)
            })
            .map_err(|error| {
                let key = self.key.display();
                unusable(&self.certificates, format!("not with {key}: {error}"))
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn unusable(path: &Path, reason: String) -> ServeError {
    ServeError::Tls {
        path: path.display().to_string(),
        reason,
    }
}

fn pem_reason(error: &pem::Error) -> String {
    format!("no PEM file: {error}")
}

/// What greets clients of HTTPS with the newest usable certificate. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    files: TlsFiles,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Tls {
    /// Reads the files for the first time.
    ///
    /// # Errors
    ///
    /// HTTPS can't be served with them.
    pub(super) fn open(files: TlsFiles) -> Result<Self, ServeError> {
        let config = files.config(&files.read()?)?;
        Ok(Self {
            files,
            current: Arc::new(RwLock::new(config)),
        })
    }

    /// What the next connection is greeted with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current))
    }

    /// Looks at the files for ever.
    pub(super) async fn watch(self, world: World) {
        let mut seen = self.files.read().ok();
        loop {
            world.clock.sleep(CHECK_INTERVAL).await;
            let tls = self.clone();
            let looked = tokio::task::spawn_blocking(move || tls.look(seen));
            seen = match looked.await {
                Ok(seen) => seen,
                // The process is ending.
                Err(_) => return,
            };
        }
    }

    /// Takes the files over if they have changed and are usable; what they hold now. A mistake is logged once.
    fn look(&self, seen: Option<Contents>) -> Option<Contents> {
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
                tracing::info!("new connections get the certificate that the files hold now");
            }
            Err(error) => tracing::error!(%error, "the certificate is not renewed"),
        }
        Some(contents)
    }
}

#[cfg(test)]
mod tests;
