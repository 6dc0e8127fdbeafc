//! A client of the AWS SDK with the credentials and the connections of the store.

use std::time::Duration;

use aws_credential_types::provider::{error::CredentialsError, future};
use aws_sdk_s3::{
    Client, Config,
    config::{
        BehaviorVersion, Credentials, IdentityCache, ProvideCredentials, Region,
        http::{HttpRequest, HttpResponse},
        retry::RetryConfig,
        timeout::TimeoutConfig,
    },
    error::ConnectorError,
    primitives::SdkBody,
};
use aws_smithy_runtime_api::{
    client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    http::HttpError,
};
use neap_bucket::AwsConfig;
use object_store::{
    aws::AwsCredentialProvider,
    client::{HttpClient, HttpErrorKind, HttpRequestBody},
};

/// Maximum time for a request with its repetitions.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns a client. Without credentials, requests are not signed.
pub(crate) fn client(
    aws: &AwsConfig,
    connection: HttpClient,
    credentials: Option<AwsCredentialProvider>,
) -> Client {
    let connector = SharedHttpConnector::new(StoreConnector(connection));
    let timeouts = TimeoutConfig::builder().operation_timeout(REQUEST_TIMEOUT).build();
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(aws.region().to_owned()))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        // The store's credentials are kept where they come from.
        .identity_cache(IdentityCache::no_cache())
        .retry_config(RetryConfig::standard())
        .timeout_config(timeouts)
        // Names of buckets are not in the DNS of compatible stores.
        .force_path_style(aws.endpoint().is_some());
    config.set_endpoint_url(aws.endpoint().map(str::to_owned));
    let signed = match credentials {
        Some(credentials) => config.credentials_provider(StoreCredentials(credentials)),
        None => config.allow_no_auth(),
    };
    Client::from_conf(signed.build())
}

/// The credentials that sign requests about objects. Their `Debug` output, which the SDK logs, has no secrets.
#[derive(Debug)]
struct StoreCredentials(AwsCredentialProvider);

impl ProvideCredentials for StoreCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move {
            let found = self.0.get_credential().await.map_err(CredentialsError::provider_error)?;
            let token = found.token.clone();
            Ok(Credentials::new(&found.key_id, &found.secret_key, token, None, "neap"))
        })
    }
}

/// Sends requests as those about objects are sent: with the same proxies, certificates and time limits.
#[derive(Debug)]
struct StoreConnector(HttpClient);

impl HttpConnector for StoreConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move { send(&client, request).await })
    }
}

async fn send(client: &HttpClient, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let malformed = |error: HttpError| ConnectorError::user(error.into());
    // Requests about buckets have their body in memory.
    let bytes = |body: SdkBody| HttpRequestBody::from(body.bytes().unwrap_or_default().to_vec());
    let sent = request.try_into_http1x().map_err(malformed)?.map(bytes);
    let answer = client.execute(sent).await.map_err(|error| match error.kind() {
        HttpErrorKind::Timeout => ConnectorError::timeout(error.into()),
        HttpErrorKind::Connect | HttpErrorKind::Request | HttpErrorKind::Interrupted => {
            ConnectorError::io(error.into())
        }
        _ => ConnectorError::other(error.into(), None),
    })?;
    HttpResponse::try_from(answer.map(SdkBody::from_body_1_x)).map_err(malformed)
}
