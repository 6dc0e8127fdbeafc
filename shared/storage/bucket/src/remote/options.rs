//! Time limits, retries and other options of a store's HTTP clients.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};

use super::{
    connection_health::{ConnectionHealth, IDLE_LIMIT, ReconnectingConnector},
    observing_connector::ObservingConnector,
};

/// Factor by which the time limit of large requests is longer.
const LARGE_REQUEST_FACTOR: u32 = 10;

/// The connection options of a store behind a network.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// Maximum number of concurrent requests.
    pub connection_limit: usize,
    /// Maximum number of retries of a request within a call.
    pub max_retries: usize,
    /// Time after which a request is not retried any more.
    pub retry_timeout: Duration,
    /// Maximum time to establish a connection.
    pub connect_timeout: Duration,
    /// Maximum wait for the first answer of a call, if connections may have died unnoticed and the request is small.
    /// After that, reads and unconditional puts are retried over a new connection; the outcome of a conditional put is
    /// unknown. Has no effect without retries, or if it is not shorter than [`RemoteOptions::retry_timeout`].
    pub first_answer_timeout: Duration,
    /// Time without an answer from the store after which connections may have died.
    pub doubt_after: Duration,
    /// Maximum time for a request and its answer; ten times as long for large requests. A call that is retried after
    /// the short first wait waits this long once.
    pub request_timeout: Duration,
    /// Allow plain HTTP if the endpoint's URL has that scheme.
    pub allow_http: bool,
    /// Use HTTP/2 only.
    pub http2_only: bool,
    /// Maximum size of an HTTP/2 frame, in bytes.
    pub http2_max_frame_size: Option<u32>,
    /// Accept any TLS certificate.
    pub tls_allow_insecure: bool,
    /// Certificates of authorities to trust in addition to those of the system.
    pub root_certificates: Vec<Certificate>,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            connection_limit: 16,
            max_retries: 3,
            retry_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            // Rules W1 and W2 allow 5 s.
            first_answer_timeout: Duration::from_secs(3),
            doubt_after: Duration::from_secs(2),
            request_timeout: Duration::from_secs(30),
            allow_http: false,
            http2_only: false,
            http2_max_frame_size: None,
            tls_allow_insecure: false,
            root_certificates: Vec::new(),
        }
    }
}

impl RemoteOptions {
    pub(crate) fn client(&self) -> ClientOptions {
        let agent = concat!("neap/", env!("CARGO_PKG_VERSION"));
        let mut options = ClientOptions::new()
            .with_user_agent(HeaderValue::from_static(agent))
            .with_allow_http(self.allow_http)
            .with_allow_invalid_certificates(self.tls_allow_insecure)
            .with_connect_timeout(self.connect_timeout)
            .with_pool_idle_timeout(IDLE_LIMIT)
            .with_timeout(self.request_timeout);
        if self.http2_only {
            options = options.with_http2_only();
        }
        if let Some(bytes) = self.http2_max_frame_size {
            options = options.with_http2_max_frame_size(bytes);
        }
        let certificates = self.root_certificates.iter().cloned();
        certificates.fold(options, ClientOptions::with_root_certificate)
    }

    /// Returns the same options with the time limit of large requests.
    pub(super) fn patient(&self) -> Self {
        Self {
            request_timeout: self.request_timeout.saturating_mul(LARGE_REQUEST_FACTOR),
            ..self.clone()
        }
    }

    /// Returns the connector that creates a store's clients, which discard their connections together.
    pub(super) fn connector(&self) -> ObservingConnector {
        ObservingConnector(ReconnectingConnector(Arc::new(self.connection_health())))
    }

    pub(super) fn connection_health(&self) -> ConnectionHealth {
        let is_repeated = self.max_retries > 0 && self.first_answer_timeout < self.retry_timeout;
        let first_answer = is_repeated.then_some(self.first_answer_timeout);
        ConnectionHealth::new(first_answer, self.doubt_after)
    }

    pub(super) fn retry(&self) -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_secs(1),
                base: 2.0,
            },
            max_retries: self.max_retries,
            retry_timeout: self.retry_timeout,
        }
    }
}
