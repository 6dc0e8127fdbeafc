//! How connections to workers are protected.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::Arc,
};

use neap_bucket::{MAX_PEM_BYTES, read_limited_file_async};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, InvalidDnsNameError, ServerName, pem, pem::PemObject},
        version::TLS13,
    },
};
use url::{Host, Url};

/// The protection of connections to workers.
#[derive(Clone, Debug, Default)]
pub struct ClientSecurity {
    /// The file with the certificates that sign those of workers, in PEM. It is read for each connection, so that it can
    /// be replaced. `None`: no encrypted connections.
    pub ca: Option<PathBuf>,
    /// The name in the certificates of workers; `None`: the host of the URL.
    pub server_name: Option<String>,
    /// Allow connections without encryption to other machines.
    pub without_tls: bool,
}

/// Why a connection is not possible.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecurityError {
    #[error("connections without TLS are allowed to this machine only")]
    NotEncrypted,
    #[error("the certificate of the worker can't be checked without a CA")]
    NoCa,
    /// The URL has another scheme, or no host or port.
    #[error("its URL is not http://HOST:PORT or https://HOST:PORT")]
    Url,
    #[error("{name}: {error}")]
    Name {
        name: String,
        error: InvalidDnsNameError,
    },
    #[error("{path}: {reason}")]
    Ca { path: String, reason: String },
    #[error("TLS: {0}")]
    Handshake(io::Error),
}

impl ClientSecurity {
    /// Checks that a worker may be reached under a URL, without a request.
    pub(crate) fn check(&self, url: &Url) -> Result<(), SecurityError> {
        if url.port_or_known_default().is_none() {
            return Err(SecurityError::Url);
        }
        match (url.scheme(), url.host()) {
            ("https", Some(_)) if self.ca.is_some() => Ok(()),
            ("https", Some(_)) => Err(SecurityError::NoCa),
            ("http", Some(host)) if self.without_tls || is_loopback(&host) => Ok(()),
            ("http", Some(_)) => Err(SecurityError::NotEncrypted),
            _ => Err(SecurityError::Url),
        }
    }

    /// Encrypts a connection.
    pub(crate) async fn encrypt(
        &self,
        url: &Url,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, SecurityError> {
        let config = self.client_config().await?;
        let connector = TlsConnector::from(Arc::new(config));
        let handshake = connector.connect(self.server_name(url)?, stream);
        handshake.await.map_err(SecurityError::Handshake)
    }

    /// Returns the name that the certificate of a worker must have.
    fn server_name(&self, url: &Url) -> Result<ServerName<'static>, SecurityError> {
        let name = match (&self.server_name, url.host()) {
            (Some(name), _) => name.clone(),
            (None, Some(Host::Ipv4(address))) => return Ok(IpAddr::from(address).into()),
            (None, Some(Host::Ipv6(address))) => return Ok(IpAddr::from(address).into()),
            (None, Some(Host::Domain(name))) => name.to_owned(),
            (None, None) => return Err(SecurityError::Url),
        };
        let parsed = ServerName::try_from(name.clone());
        parsed.map_err(|error| SecurityError::Name { name, error })
    }

    async fn client_config(&self) -> Result<ClientConfig, SecurityError> {
        let path = self.ca.as_ref().ok_or(SecurityError::NoCa)?;
        let unusable =
            |reason: String| SecurityError::Ca { path: path.display().to_string(), reason };
        let pem = read_limited_file_async(path.clone(), MAX_PEM_BYTES)
            .await
            .map_err(|error| unusable(error.to_string()))?;
        let roots = parse_roots(&pem).map_err(unusable)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| unusable(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// Checks that the certificates of a CA can be used, so that a mistake is found when a process starts.
///
/// # Errors
/// The reason.
pub fn check_ca(pem: &[u8]) -> Result<(), String> {
    parse_roots(pem).map(drop)
}

fn parse_roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error: pem::Error| error.to_string())?;
        let added = roots.add(certificate);
        added.map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        Err("it contains no certificate".to_owned())
    } else {
        Ok(roots)
    }
}

/// Returns whether a host is this machine.
fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => *address == Ipv4Addr::LOCALHOST || address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_without_encryption_are_for_this_machine_unless_allowed() {
        let check = |security: &ClientSecurity, url: &str| {
            let checked = security.check(&url.parse().unwrap());
            checked.map_err(|error| error.to_string())
        };
        let strict = ClientSecurity::default();
        for local in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
            assert_eq!(check(&strict, local), Ok(()), "{local}");
        }
        let refused = check(&strict, "http://10.0.0.1:1").unwrap_err();
        assert_eq!(refused, "connections without TLS are allowed to this machine only");
        assert!(check(&strict, "http://localhost.example.org:1").is_err());
        let open = ClientSecurity { without_tls: true, ..ClientSecurity::default() };
        assert_eq!(check(&open, "http://10.0.0.1:1"), Ok(()));
        let with_ca = ClientSecurity { ca: Some("ca.pem".into()), ..ClientSecurity::default() };
        assert_eq!(check(&with_ca, "https://10.0.0.1:1"), Ok(()));
        assert!(check(&with_ca, "http://10.0.0.1:1").is_err());
        let refused = check(&open, "https://10.0.0.1:1").unwrap_err();
        assert_eq!(refused, "the certificate of the worker can't be checked without a CA");
        for other in ["ftp://a:1", "unix:/a"] {
            assert!(check(&open, other).is_err(), "{other}");
        }
    }

    #[tokio::test]
    async fn a_file_of_authorities_without_end_is_refused() {
        let security = ClientSecurity { ca: Some("/dev/zero".into()), ..ClientSecurity::default() };
        let refused = security.client_config().await.unwrap_err().to_string();
        assert_eq!(refused, "/dev/zero: the file has more than 1048576 bytes");
    }

    #[test]
    fn certificates_are_checked_for_the_host_or_the_configured_name() {
        let mut security = ClientSecurity::default();
        let name = |security: &ClientSecurity, url: &str| {
            let name = security.server_name(&url.parse().unwrap()).unwrap();
            name.to_str().into_owned()
        };
        assert_eq!(name(&security, "https://10.0.0.1:1"), "10.0.0.1");
        assert_eq!(name(&security, "https://[::1]:1"), "::1");
        assert_eq!(name(&security, "https://a.example.org:1"), "a.example.org");
        security.server_name = Some("neap.internal".to_owned());
        assert_eq!(name(&security, "https://10.0.0.1:1"), "neap.internal");
    }
}
