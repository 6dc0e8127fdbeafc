//! How patient the clients of a store are, and what else they are told.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};

use super::{
    exchange::WatchingConnector,
    silence::{RenewingConnector, Silence},
};

/// How long a connection is kept that nobody uses. Stores close theirs after about as long.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(15);

/// How many times longer requests may take that carry many megabytes.
const PATIENCE: u32 = 10;

/// How to speak with a store behind a network.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// The largest number of requests under way at once.
    pub connection_limit: usize,
    /// How often a request is repeated within a call.
    pub max_retries: usize,
    /// The time after which a request is not repeated any more.
    pub retry_timeout: Duration,
    /// The longest time for a connection.
    pub connect_timeout: Duration,
    /// The longest wait for the first answer of a call where connections may have died unnoticed, unless much is sent
    /// with it. What may be repeated then is repeated over a new one: reads
    /// and unconditional puts. Of a conditional put the outcome is not known. Without effect where nothing is
    /// repeated, as after [`RemoteOptions::retry_timeout`].
    pub first_answer_timeout: Duration,
    /// After how long without an answer from the store connections may have died.
    pub doubt_after: Duration,
    /// The longest time for a request and its answer; ten times that for those that carry many megabytes.
    /// A call that is repeated waits so long once, after the first wait.
    pub request_timeout: Duration,
    /// Speak plain HTTP where the endpoint says so.
    pub allow_http: bool,
    /// Speak HTTP/2 only.
    pub http2_only: bool,
    /// The largest HTTP/2 frame, in bytes.
    pub http2_max_frame_size: Option<u32>,
    /// Accept any certificate.
    pub tls_allow_insecure: bool,
    /// Certificates of authorities to trust besides those of the system.
    pub root_certificates: Vec<Certificate>,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            connection_limit: 16,
            max_retries: 3,
            retry_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            // Rules W1 and W2 bear five seconds.
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
    pub(super) fn client(&self) -> ClientOptions {
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

    /// The same for requests that carry much.
    pub(super) fn patient(&self) -> Self {
        Self {
            request_timeout: self.request_timeout.saturating_mul(PATIENCE),
            ..self.clone()
        }
    }

    /// What makes the clients of a store, which give up their connections together.
    pub(super) fn connector(&self) -> WatchingConnector {
        let is_repeated = self.max_retries > 0 && self.first_answer_timeout < self.retry_timeout;
        let first_answer = is_repeated.then_some(self.first_answer_timeout);
        let silence = Silence::new(first_answer, self.doubt_after);
        WatchingConnector(RenewingConnector(Arc::new(silence)))
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
