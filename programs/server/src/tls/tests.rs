//! Tests of HTTPS: versions, renewed certificates, and invalid files.

use std::{fs, io, net::SocketAddr};

use axum::{Router, routing::get};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};

use super::*;
use crate::listener::{Listener, ListenerSettings};

/// Creates a certificate for `localhost` and its key, in PEM.
fn pair() -> (CertificateDer<'static>, String, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (cert.der().clone(), cert.pem(), signing_key.serialize_pem())
}

struct CertificateFolder {
    folder: TempDir,
    files: TlsFiles,
}

impl CertificateFolder {
    fn new(oldest: TlsVersion) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            certificates: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
            oldest,
        };
        Self { folder, files }
    }

    fn write(&self, certificates: &str, key: &str) {
        fs::write(&self.files.certificates, certificates).unwrap();
        fs::write(&self.files.key, key).unwrap();
    }

    /// Returns the error of the files, without the folder's path.
    fn mistake(&self) -> String {
        let error = TlsContext::open(self.files.clone()).unwrap_err().to_string();
        let folder = format!("{}/", self.folder.path().display());
        error.replace(&folder, "")
    }
}

async fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn answer(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut buffer = [0; 1024];
    let read = stream.read(&mut buffer).await.unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

/// Serves with the files until the test ends.
async fn serve(tls: TlsContext) -> SocketAddr {
    let bound = ListenerSettings::with_tls(Some(tls));
    let listener = Listener::bind("127.0.0.1:0", bound, World::system()).await.unwrap();
    let address = listener.address().unwrap();
    let router = Router::new().route("/", get(async || "hello"));
    tokio::spawn(listener.serve(router, std::future::pending(), Duration::ZERO));
    address
}

#[tokio::test]
async fn new_connections_get_a_renewed_certificate_and_open_ones_continue() {
    let folder = CertificateFolder::new(TlsVersion::Tls12);
    let (first, certificate, key) = pair();
    folder.write(&certificate, &key);
    let tls = TlsContext::open(folder.files.clone()).unwrap();
    let address = serve(tls.clone()).await;
    let mut open = connect(address, &first, &[&TLS13]).await.unwrap();
    assert!(answer(&mut open).await.ends_with("hello"));

    let (second, certificate, key) = pair();
    // A half-finished renewal, and garbage: the old pair stays in use.
    fs::write(&folder.files.certificates, &certificate).unwrap();
    let seen = tls.reload(None);
    assert!(connect(address, &first, &[&TLS13]).await.is_ok());
    folder.write("garbage", "garbage");
    let seen = tls.reload(seen);
    assert!(connect(address, &first, &[&TLS13]).await.is_ok());
    fs::remove_file(&folder.files.key).unwrap();
    let seen = tls.reload(seen);
    assert!(seen.is_none());
    assert!(connect(address, &first, &[&TLS13]).await.is_ok());

    folder.write(&certificate, &key);
    let seen = tls.reload(seen);
    assert!(tls.reload(seen).is_some());
    let mut new = connect(address, &second, &[&TLS13]).await.unwrap();
    assert!(answer(&mut new).await.ends_with("hello"));
    assert!(connect(address, &first, &[&TLS13]).await.is_err());
    assert!(answer(&mut open).await.ends_with("hello"));
}

#[tokio::test]
async fn versions_older_than_the_oldest_are_refused() {
    let (certificate, pem, key) = pair();
    for (oldest, works) in [(TlsVersion::Tls12, true), (TlsVersion::Tls13, false)] {
        let folder = CertificateFolder::new(oldest);
        folder.write(&pem, &key);
        let address = serve(TlsContext::open(folder.files.clone()).unwrap()).await;
        let old = connect(address, &certificate, &[&TLS12]).await;
        assert_eq!(old.is_ok(), works, "{oldest:?}");
        let new = connect(address, &certificate, &[&TLS13]).await;
        assert!(new.is_ok(), "{oldest:?}");
    }
}

#[test]
fn errors_name_the_file() {
    let folder = CertificateFolder::new(TlsVersion::Tls12);
    insta::assert_snapshot!(folder.mistake(), @"cert.pem: No such file or directory (os error 2)");
    let (_, certificate, key) = pair();
    folder.write("", &key);
    insta::assert_snapshot!(folder.mistake(), @"cert.pem: it contains no certificate");
    folder.write(&certificate, "no key");
    insta::assert_snapshot!(folder.mistake(), @"key.pem: there is no private key in it");
    folder.write(&certificate, &pair().2);
    insta::assert_snapshot!(folder.mistake(), @"cert.pem: does not match key.pem: keys may not be consistent: KeyMismatch");
    folder.write(&certificate, &" ".repeat(2 << 20));
    insta::assert_snapshot!(folder.mistake(), @"key.pem: the file has more than 1048576 bytes");
}
