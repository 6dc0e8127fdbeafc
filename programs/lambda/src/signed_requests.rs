//! Signed requests to AWS services.
//!
//! A request is signed by `object_store`, which the functions contain anyway. An SDK would be as large as everything else
//! that such a request needs.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use neap_bucket::{AwsConfig, StoreConfigError, World};
use object_store::{
    ClientOptions,
    aws::{AwsAuthorizer, AwsCredentialProvider},
    client::{HttpClient, HttpConnector, HttpRequest, ReqwestConnector},
};

/// Maximum time that an idle connection is kept. It is short because a connection may break while the function is
/// frozen.
const IDLE_LIMIT: Duration = Duration::from_secs(15);

/// Maximum length of an error message in characters.
const MAX_MESSAGE: usize = 200;

/// The time limits of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLimits {
    /// Maximum time for establishing a connection.
    pub(crate) connection: Duration,
    /// Maximum time for a request.
    pub(crate) request: Duration,
}

/// Reason why a client can't be created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("{0}")]
    Url(String),
    #[error(transparent)]
    Credentials(#[from] StoreConfigError),
    #[error("{0}")]
    Http(String),
}

/// Reason why a request has no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// There are no credentials. A retry fails as well.
    #[error("{0}")]
    Credentials(String),
    #[error("{0}")]
    Connection(String),
}

#[derive(Debug)]
pub(crate) struct SignedResponse {
    pub(crate) status: StatusCode,
    #[cfg(feature = "query")]
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl SignedResponse {
    /// Returns the status and the start of the body, for error messages.
    pub(crate) fn summary(&self) -> String {
        let text: String = String::from_utf8_lossy(&self.body).chars().take(MAX_MESSAGE).collect();
        format!("{} {text}", self.status)
    }
}

/// A client of one service.
#[derive(Debug)]
pub(crate) struct SignedClient {
    client: HttpClient,
    credentials: AwsCredentialProvider,
    /// Scheme and authority.
    root: String,
    host: String,
    service: &'static str,
    region: String,
}

impl SignedClient {
    /// Creates a client for the service at the host of a URL.
    ///
    /// # Errors
    /// The URL is invalid, or one key of the pair is missing.
    pub(crate) fn new(
        service: &'static str,
        url: &str,
        limits: RequestLimits,
        aws: &AwsConfig,
        world: &World,
    ) -> Result<Self, ClientError> {
        let uri: Uri = url
            .parse()
            .map_err(|error| ClientError::Url(format!("'{url}' is not a URL: {error}")))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(ClientError::Url(format!("'{url}' is not a URL")));
        };
        let options = ClientOptions::new()
            .with_allow_http(scheme == "http")
            .with_connect_timeout(limits.connection)
            .with_pool_idle_timeout(IDLE_LIMIT)
            .with_timeout(limits.request);
        let client = ReqwestConnector::default().connect(&options);
        Ok(Self {
            client: client.map_err(|error| ClientError::Http(error.to_string()))?,
            credentials: aws.credentials(world, None)?,
            root: format!("{scheme}://{authority}"),
            host: authority.host().to_owned(),
            service,
            region: aws.region().to_owned(),
        })
    }

    /// Signs requests for this region.
    pub(crate) fn with_region(self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self }
    }

    /// The host name of the service.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Sends a POST request once. `path` starts with a slash and may have a query.
    pub(crate) async fn post(
        &self,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<SignedResponse, RequestError> {
        let credential = self
            .credentials
            .get_credential()
            .await
            .map_err(|error| RequestError::Credentials(error.to_string()))?;
        let uri: Uri = format!("{}{path}", self.root)
            .parse()
            .map_err(|_| RequestError::Credentials(format!("invalid path {path}")))?;
        let mut request = HttpRequest::new(body.into());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        AwsAuthorizer::new(&credential, self.service, &self.region).authorize(&mut request, None);
        let lost =
            |error: object_store::client::HttpError| RequestError::Connection(error.to_string());
        let response = self.client.execute(request).await.map_err(lost)?;
        let (head, body) = response.into_parts();
        Ok(SignedResponse {
            status: head.status,
            #[cfg(feature = "query")]
            headers: head.headers,
            body: body.bytes().await.map_err(lost)?,
        })
    }
}
