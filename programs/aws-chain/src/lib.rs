//! For programs that people start on AWS: credentials from the AWS SDK's default chain of sources (profiles, SSO, web
//! identities, processes, and the roles of instances and tasks).
//!
//! The chain is large, and functions have the credentials of their role, so they do not include it.

use std::{error::Error, sync::Arc, time::UNIX_EPOCH};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::{
    ProvideCredentials, SharedCredentialsProvider, error::CredentialsError,
};
use aws_smithy_http_client::{
    Builder as HttpClientBuilder, ConnectorBuilder,
    proxy::ProxyConfig,
    tls::{self, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::SharedHttpClient, runtime_components::RuntimeComponents,
};
use neap_bucket::{AwsCredentialSource, AwsLease, StoreConfig, with_causes};
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

/// The AWS SDK's default credential chain. It is searched on the first request for credentials.
#[derive(Debug)]
pub struct AwsCredentialChain {
    region: Option<String>,
    /// `None` before the first request, and after a failure: the sources of a chain do not begin again, so that another
    /// attempt would fail for another reason.
    provider: Mutex<Option<SharedCredentialsProvider>>,
}

impl AwsCredentialChain {
    /// Returns the chain for a store. It asks the services of the region of the store, such as those of web identities. If none
    /// is given, the SDK looks for it in the environment, in profiles and at the instance.
    pub fn for_store(config: &StoreConfig) -> Arc<dyn AwsCredentialSource> {
        Arc::new(Self {
            region: config.aws.aws_default_region.clone(),
            provider: Mutex::default(),
        })
    }

    async fn provider(&self) -> Result<SharedCredentialsProvider, object_store::Error> {
        let mut kept = self.provider.lock().await;
        if let Some(provider) = &*kept {
            return Ok(provider.clone());
        }
        let mut loader =
            aws_config::defaults(BehaviorVersion::latest()).http_client(https_client());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let provider = loader
            .load()
            .await
            .credentials_provider()
            .ok_or_else(|| unusable("the AWS SDK found no source of credentials"))?;
        Ok(kept.insert(provider).clone())
    }
}

#[async_trait]
impl AwsCredentialSource for AwsCredentialChain {
    async fn lease(&self) -> Result<AwsLease, object_store::Error> {
        let provider = self.provider().await?;
        let found = match provider.provide_credentials().await {
            Ok(found) => found,
            Err(error) => {
                *self.provider.lock().await = None;
                let profile = profile_source(|name| std::env::var(name).ok());
                return Err(failure(&error, &profile));
            }
        };
        let ends_micros = found
            .expiry()
            .and_then(|expiry| expiry.duration_since(UNIX_EPOCH).ok())
            .and_then(|expiry| i64::try_from(expiry.as_micros()).ok());
        let credential = AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        };
        Ok(AwsLease { credential: credential.into(), ends_micros })
    }
}

/// Returns the SDK's own client (`default_https_client` of aws-smithy-runtime 1.16), with its proxies of the environment, but with
/// the TLS library that all other clients use.
fn https_client() -> SharedHttpClient {
    HttpClientBuilder::new().build_with_connector_fn(|settings, components| {
        let tls = tls::Provider::Rustls(CryptoMode::Ring);
        let mut connector = ConnectorBuilder::default().tls_provider(tls);
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    })
}

/// Converts an error of the SDK. Its text has all causes, which name what is missing, and the profile that was searched for.
fn failure(error: &CredentialsError, profile: &str) -> object_store::Error {
    let text = with_causes(error);
    // The SDK lists the sources that it has tried in lines.
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let reason = format!("{} ({profile})", lines.join("; "));
    match error {
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
            unusable(reason)
        }
        _ => object_store::Error::Generic { store: "AWS credentials", source: reason.into() },
    }
}

/// Names the profile that the SDK uses, and its files, by the variables of the process.
fn profile_source(variable: impl Fn(&str) -> Option<String>) -> String {
    let value = |name: &str, default: &str| {
        let set = variable(name).filter(|value| !value.is_empty());
        set.unwrap_or_else(|| default.to_owned())
    };
    let profile = value("AWS_PROFILE", "default");
    let config = value("AWS_CONFIG_FILE", "~/.aws/config");
    let credentials = value("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials");
    format!("profile '{profile}' of {config} and {credentials}")
}

/// Converts the reason why there are no credentials, or invalid ones, to an error that a retry cannot resolve.
fn unusable(reason: impl Into<Box<dyn Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Unauthenticated {
        path: "AWS credentials".to_owned(),
        source: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_credential_types::{Credentials, provider::future};

    use super::*;

    #[derive(Debug)]
    struct StubProvider(Result<Credentials, &'static str>);

    impl ProvideCredentials for StubProvider {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(match &self.0 {
                Ok(credentials) => Ok(credentials.clone()),
                Err("none") => Err(CredentialsError::not_loaded("none")),
                Err(reason) => Err(CredentialsError::provider_error(*reason)),
            })
        }
    }

    async fn lease(of: Result<Credentials, &'static str>) -> Result<AwsLease, object_store::Error> {
        let provider = SharedCredentialsProvider::new(StubProvider(of));
        let chain = AwsCredentialChain { region: None, provider: Mutex::new(Some(provider)) };
        let leased = chain.lease().await;
        assert_eq!(chain.provider.lock().await.is_some(), leased.is_ok());
        leased
    }

    #[tokio::test]
    async fn credentials_keep_their_token_and_expiry() {
        let ends = UNIX_EPOCH + Duration::from_secs(1000);
        let token = Some("t".to_owned());
        let found = Credentials::new("k", "s", token, Some(ends), "test");
        let lease = lease(Ok(found)).await.unwrap();
        assert_eq!(lease.ends_micros, Some(1000 * 1_000_000));
        assert_eq!(lease.credential.key_id, "k");
        assert_eq!(lease.credential.secret_key, "s");
        assert_eq!(lease.credential.token.as_deref(), Some("t"));
    }

    #[tokio::test]
    async fn missing_credentials_are_distinguished_from_a_failing_source() {
        let none = lease(Err("none")).await.unwrap_err();
        assert!(matches!(none, object_store::Error::Unauthenticated { .. }), "{none:?}");
        let failed = lease(Err("busy")).await.unwrap_err();
        assert!(matches!(failed, object_store::Error::Generic { .. }), "{failed:?}");
    }

    #[test]
    fn errors_name_the_cause_the_profile_and_its_files() {
        let missing = CredentialsError::not_loaded("two\n  sources");
        let variables = |name: &str| match name {
            "AWS_PROFILE" => Some("prod".to_owned()),
            "AWS_CONFIG_FILE" => Some("/etc/aws".to_owned()),
            _ => Some(String::new()),
        };
        let error = failure(&missing, &profile_source(variables)).to_string();
        let expected = "the credential provider was not enabled: two; sources (profile 'prod' of /etc/aws and ~/.aws/credentials)";
        assert!(error.contains(expected), "{error}");
        let usual = profile_source(|_| None);
        assert_eq!(usual, "profile 'default' of ~/.aws/config and ~/.aws/credentials");
    }
}
