//! Tests of stores behind TLS with a certificate that the system does not trust.

use std::sync::Arc;

use neap_s3_server::{Options, S3Server};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use super::*;
use crate::{Get, GetOptions, PutMode, StoreError};

/// An S3 server behind TLS, with a certificate of a private authority.
struct TlsServer {
    server: S3Server,
    port: u16,
    folder: TempDir,
}

impl TlsServer {
    async fn start() -> Self {
        let server = S3Server::start(Options::default()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = authority.self_signed(&authority_key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let names = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = names.signed_by(&key, &issuer).unwrap();
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let plain = server.endpoint().replace("http://", "");
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            while let Ok((connection, _)) = listener.accept().await {
                let (acceptor, plain) = (acceptor.clone(), plain.clone());
                tokio::spawn(async move {
                    let mut outside = acceptor.accept(connection).await?;
                    let mut inside = TcpStream::connect(plain).await?;
                    copy_bidirectional(&mut outside, &mut inside).await
                });
            }
        });
        Self { server, port, folder }
    }

    fn config(&self) -> StoreConfig {
        StoreConfig {
            bucket: Some(self.server.bucket().to_owned()),
            aws: AwsConfig {
                aws_endpoint: Some(format!("https://localhost:{}", self.port)),
                aws_access_key_id: S3Server::ACCESS_KEY.parse().ok(),
                aws_secret_access_key: S3Server::SECRET_KEY.parse().ok(),
                ..AwsConfig::default()
            },
            connection: ConnectionConfig {
                object_store_max_retries: Some(0),
                ..ConnectionConfig::default()
            },
            ..StoreConfig::default()
        }
    }
}

async fn write_and_read(config: &StoreConfig) -> Result<Get, StoreError> {
    let store = config.open(&World::system(), None).unwrap().main;
    store.put("catalog", "body".into(), PutMode::Overwrite).await?;
    Ok(store.get("catalog", GetOptions::default()).await?.value)
}

#[tokio::test]
async fn a_private_authority_is_trusted_if_it_is_configured() {
    let store = TlsServer::start().await;
    let mut config = store.config();
    config.connection.object_store_tls_ca = Some(store.folder.path().join("ca.pem"));
    let read = write_and_read(&config).await.unwrap();
    assert!(matches!(read, Get::Found(_)), "{read:?}");
}

#[tokio::test]
async fn an_unknown_certificate_is_refused_unless_any_is_accepted() {
    let store = TlsServer::start().await;
    let mut config = store.config();
    let refused = write_and_read(&config).await.unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
    config.connection.object_store_tls_allow_insecure = true;
    let read = write_and_read(&config).await.unwrap();
    assert!(matches!(read, Get::Found(_)), "{read:?}");
}

#[test]
fn the_error_for_a_file_without_a_certificate_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, "no certificate").unwrap();
    let config = StoreConfig {
        bucket: Some("b".to_owned()),
        connection: ConnectionConfig {
            object_store_tls_ca: Some(path),
            ..ConnectionConfig::default()
        },
        ..StoreConfig::default()
    };
    let error = config.open(&World::system(), None).unwrap_err().to_string();
    assert!(error.starts_with("--object-store-tls-ca: '"), "{error}");
    assert!(error.ends_with("': it contains no certificate"), "{error}");
}
