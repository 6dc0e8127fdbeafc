//! Command-line flags for the connections to a store behind a network.

use std::{fmt, path::PathBuf, time::Duration};

use clap::{Args, builder::BoolishValueParser};
use object_store::{
    Certificate,
    client::{HttpClient, HttpConnector, ReqwestConnector},
};

use super::flag::{StoreConfigError, given, invalid};
use crate::{MAX_PEM_BYTES, RemoteOptions, read_limited_file};

/// The flags of connections.
#[derive(Args, Clone, Debug, Default)]
pub struct ConnectionConfig {
    /// Maximum number of concurrent requests to the store [default: 16]
    #[arg(long, env = "OBJECT_STORE_CONNECTION_LIMIT", value_name = "NUMBER")]
    pub object_store_connection_limit: Option<usize>,

    /// Use HTTP/2 only
    #[arg(long, env = "OBJECT_STORE_HTTP2_ONLY", value_parser = BoolishValueParser::new())]
    pub object_store_http2_only: bool,

    /// Maximum size of an HTTP/2 frame, in bytes
    #[arg(long, env = "OBJECT_STORE_HTTP2_MAX_FRAME_SIZE", value_name = "BYTES")]
    pub object_store_http2_max_frame_size: Option<u32>,

    /// Maximum number of retries of a request [default: 3]
    #[arg(long, env = "OBJECT_STORE_MAX_RETRIES", value_name = "NUMBER")]
    pub object_store_max_retries: Option<usize>,

    /// Time after which a request is not retried any more [default: 5s]
    #[arg(
        long,
        env = "OBJECT_STORE_RETRY_TIMEOUT",
        value_name = "DURATION",
        value_parser = humantime::parse_duration
    )]
    pub object_store_retry_timeout: Option<Duration>,

    /// Accepted for compatibility with influxdb3; has no effect
    #[arg(
        long,
        env = "OBJECT_STORE_CACHE_ENDPOINT",
        value_name = "URL",
        hide = true
    )]
    pub object_store_cache_endpoint: Option<String>,

    /// Accept any TLS certificate of the store
    #[arg(long, env = "OBJECT_STORE_TLS_ALLOW_INSECURE", value_parser = BoolishValueParser::new())]
    pub object_store_tls_allow_insecure: bool,

    /// A PEM file with certificates of authorities to trust
    #[arg(long, env = "OBJECT_STORE_TLS_CA", value_name = "FILE")]
    pub object_store_tls_ca: Option<PathBuf>,
}

impl ConnectionConfig {
    /// Returns an HTTP client with these settings, for requests to the store that are not about objects.
    ///
    /// # Errors
    /// The certificates can't be read.
    pub fn http_client(&self, allow_http: bool) -> Result<HttpClient, StoreConfigError> {
        let options = RemoteOptions { allow_http, ..self.options()? };
        let client = ReqwestConnector::default().connect(&options.client());
        client.map_err(|error| invalid("object-store-tls-ca", error))
    }

    pub(crate) fn options(&self) -> Result<RemoteOptions, StoreConfigError> {
        if given(&self.object_store_cache_endpoint).is_some() {
            tracing::warn!("--object-store-cache-endpoint has no effect");
        }
        let defaults = RemoteOptions::default();
        let root_certificates = match &self.object_store_tls_ca {
            None => Vec::new(),
            Some(path) => {
                let failed = |error: &dyn fmt::Display| {
                    let path = path.display();
                    invalid("object-store-tls-ca", format!("'{path}': {error}"))
                };
                let pem = read_limited_file(path, MAX_PEM_BYTES).map_err(|error| failed(&error))?;
                let certificates =
                    Certificate::from_pem_bundle(&pem).map_err(|error| failed(&error))?;
                if certificates.is_empty() {
                    return Err(failed(&"it contains no certificate"));
                }
                certificates
            }
        };
        Ok(RemoteOptions {
            connection_limit: self
                .object_store_connection_limit
                .unwrap_or(defaults.connection_limit),
            max_retries: self.object_store_max_retries.unwrap_or(defaults.max_retries),
            retry_timeout: self.object_store_retry_timeout.unwrap_or(defaults.retry_timeout),
            http2_only: self.object_store_http2_only,
            http2_max_frame_size: self.object_store_http2_max_frame_size,
            tls_allow_insecure: self.object_store_tls_allow_insecure,
            root_certificates,
            ..defaults
        })
    }
}
