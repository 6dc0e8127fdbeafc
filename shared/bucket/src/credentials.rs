//! AWS credentials: from the AWS SDK's chain, or from a file that another program renews.
//!
//! The chain knows profiles, SSO, web identities, credential processes, and the roles of instances and
//! tasks. It is loaded at the first request. Fixed keys, as on the command line or in the environment of a
//! Lambda function, need none of this.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_credential_types::provider::{
    ProvideCredentials, SharedCredentialsProvider, error::CredentialsError,
};
use object_store::{CredentialProvider, aws::AwsCredential};
use serde::Deserialize;
use tokio::sync::{Mutex, OnceCell};

use crate::World;

/// How long before their end credentials are renewed.
const RENEWAL: Duration = Duration::from_secs(300);

/// The longest wait for credentials.
const TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug)]
enum Source {
    Chain(OnceCell<SharedCredentialsProvider>),
    File(PathBuf),
}

/// Credentials with the time of their end, in microseconds since the Unix epoch.
#[derive(Clone, Debug)]
struct Lease {
    credential: Arc<AwsCredential>,
    ends: Option<i64>,
}

impl Lease {
    fn lasts(&self, now_micros: i64, margin: Duration) -> bool {
        let margin = i64::try_from(margin.as_micros()).unwrap_or(i64::MAX);
        self.ends
            .is_none_or(|ends| now_micros.saturating_add(margin) < ends)
    }
}

/// Credentials for AWS, kept until five minutes before they end.
#[derive(Debug)]
pub struct AwsCredentials {
    source: Source,
    lease: Mutex<Option<Lease>>,
    world: World,
}

impl AwsCredentials {
    /// From the AWS SDK's default chain.
    pub fn from_chain(world: World) -> Self {
        Self::new(Source::Chain(OnceCell::new()), world)
    }

    /// From a JSON file with `aws_access_key_id`, `aws_secret_access_key` and, where there are any,
    /// `aws_session_token` and `expiry` in seconds since the Unix epoch, as `influxdb3` reads it. It is read
    /// again before the expiry.
    pub fn from_file(path: impl Into<PathBuf>, world: World) -> Self {
        Self::new(Source::File(path.into()), world)
    }

    fn new(source: Source, world: World) -> Self {
        Self {
            source,
            lease: Mutex::new(None),
            world,
        }
    }

    async fn renew(&self) -> Result<Lease, object_store::Error> {
        let renewed = self.world.timeout(TIMEOUT, async {
            match &self.source {
                Source::File(path) => read_file(path).await,
                Source::Chain(chain) => {
                    let provider = chain.get_or_try_init(load_chain).await?;
                    lease(provider).await
                }
            }
        });
        renewed
            .await
            .unwrap_or_else(|| Err(unavailable("the source of credentials does not answer")))
    }
}

#[async_trait]
impl CredentialProvider for AwsCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>, object_store::Error> {
        let mut kept = self.lease.lock().await;
        let now = self.world.clock.wall_micros();
        if let Some(lease) = kept.as_ref().filter(|lease| lease.lasts(now, RENEWAL)) {
            return Ok(Arc::clone(&lease.credential));
        }
        match (self.renew().await, kept.as_ref()) {
            (Ok(lease), _) => Ok(Arc::clone(&kept.insert(lease).credential)),
            (Err(error), Some(lease)) if lease.lasts(now, Duration::ZERO) => {
                tracing::warn!(%error, "AWS credentials could not be renewed and will end soon");
                Ok(Arc::clone(&lease.credential))
            }
            (Err(error), _) => Err(error),
        }
    }
}

fn unavailable(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic {
        store: "AWS credentials",
        source: reason.into(),
    }
}

/// Credentials that there are none of, or that are no such, whatever is waited for.
fn unusable(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Unauthenticated {
        path: "AWS credentials".to_owned(),
        source: reason.into(),
    }
}

async fn load_chain() -> Result<SharedCredentialsProvider, object_store::Error> {
    let config = aws_config::defaults(BehaviorVersion::latest()).load().await;
    config
        .credentials_provider()
        .ok_or_else(|| unusable("the AWS SDK found no source of credentials"))
}

async fn lease(provider: &SharedCredentialsProvider) -> Result<Lease, object_store::Error> {
    let found = provider
        .provide_credentials()
        .await
        .map_err(|error| match error {
            CredentialsError::CredentialsNotLoaded(_)
            | CredentialsError::InvalidConfiguration(_) => unusable(error),
            _ => unavailable(error),
        })?;
    let ends = found
        .expiry()
        .and_then(|expiry| expiry.duration_since(UNIX_EPOCH).ok())
        .and_then(|expiry| i64::try_from(expiry.as_micros()).ok());
    let credential = AwsCredential {
        key_id: found.access_key_id().to_owned(),
        secret_key: found.secret_access_key().to_owned(),
        token: found.session_token().map(str::to_owned),
    };
    Ok(Lease {
        credential: Arc::new(credential),
        ends,
    })
}

#[derive(Deserialize)]
struct CredentialsFile {
    aws_access_key_id: String,
    aws_secret_access_key: String,
    aws_session_token: Option<String>,
    expiry: Option<i64>,
}

async fn read_file(path: &Path) -> Result<Lease, object_store::Error> {
    let name = path.display();
    let text = tokio::fs::read(path)
        .await
        .map_err(|error| unusable(format!("'{name}' can't be read: {error}")))?;
    // The parser's message may quote the file, which holds secrets: only the place is told.
    let file: CredentialsFile = serde_json::from_slice(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        unusable(format!(
            "'{name}' is not JSON with credentials: line {line}, column {column}"
        ))
    })?;
    let credential = AwsCredential {
        key_id: file.aws_access_key_id,
        secret_key: file.aws_secret_access_key,
        token: file.aws_session_token,
    };
    Ok(Lease {
        credential: Arc::new(credential),
        ends: file.expiry.map(|expiry| expiry.saturating_mul(1_000_000)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    /// A clock that stands at a time that a test sets.
    #[derive(Debug)]
    struct Standing(std::sync::atomic::AtomicI64);

    impl crate::Clock for Standing {
        fn wall_micros(&self) -> i64 {
            self.0.load(std::sync::atomic::Ordering::Relaxed)
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }

        fn sleep(&self, duration: Duration) -> futures::future::BoxFuture<'static, ()> {
            SystemClock::new().sleep(duration)
        }
    }

    #[tokio::test]
    async fn a_file_is_read_again_before_its_credentials_end_and_kept_while_it_is_broken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials.json");
        let write = |key: &str, expiry: i64| {
            let text = format!(
                r#"{{"aws_access_key_id":"{key}","aws_secret_access_key":"s","expiry":{expiry}}}"#
            );
            std::fs::write(&path, text).unwrap();
        };
        let clock = Arc::new(Standing(0.into()));
        let at = |seconds: i64| {
            let micros = seconds * 1_000_000;
            clock.0.store(micros, std::sync::atomic::Ordering::Relaxed);
        };
        let world = World {
            clock: Arc::<Standing>::clone(&clock),
            ..World::system()
        };
        let credentials = AwsCredentials::from_file(&path, world);
        let key = async || {
            Ok::<_, String>(match credentials.get_credential().await {
                Ok(credential) => credential.key_id.clone(),
                Err(error) => return Err(error.to_string()),
            })
        };

        write("first", 1000);
        assert_eq!(key().await.unwrap(), "first");
        write("second", 2000);
        assert_eq!(key().await.unwrap(), "first");
        at(800);
        assert_eq!(key().await.unwrap(), "second");
        std::fs::write(&path, "{\"aws_secret_access_key\": secret").unwrap();
        at(1800);
        assert_eq!(key().await.unwrap(), "second");
        at(2100);
        let error = key().await.unwrap_err();
        assert!(
            error.contains("is not JSON with credentials: line 1"),
            "{error}"
        );
        assert!(!error.contains("secret_access"), "{error}");
    }
}
