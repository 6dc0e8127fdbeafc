//! AWS credentials that end, and are renewed before: from a file that another program renews, or from whatever a
//! program knows to ask.
//!
//! Fixed keys, as on the command line or in the environment of a Lambda function, need none of this.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use object_store::{CredentialProvider, aws::AwsCredential};
use serde::Deserialize;

use crate::{Moment, World};

/// How long before their end credentials are renewed.
const RENEWAL: Duration = Duration::from_secs(300);

/// The longest wait for credentials when there are none that last.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The longest wait for a renewal while the old credentials last.
const EARLY_TIMEOUT: Duration = Duration::from_secs(3);

/// The pause after a renewal that failed while the old credentials last.
const PAUSE: Duration = Duration::from_secs(30);

/// Credentials and their end.
#[derive(Clone, Debug)]
pub struct AwsLease {
    /// The credentials.
    pub credential: Arc<AwsCredential>,
    /// When they end, in microseconds since the Unix epoch, if they do.
    pub ends_micros: Option<i64>,
}

impl AwsLease {
    fn lasts(&self, now_micros: i64, margin: Duration) -> bool {
        let margin = i64::try_from(margin.as_micros()).unwrap_or(i64::MAX);
        self.ends_micros
            .is_none_or(|ends| now_micros.saturating_add(margin) < ends)
    }
}

/// Who gives out credentials.
#[async_trait]
pub trait AwsCredentialSource: fmt::Debug + Send + Sync + 'static {
    /// New credentials. Who asks has a time limit.
    ///
    /// # Errors
    /// [`object_store::Error::Unauthenticated`]: there are none, however long one waits. Others may pass.
    async fn lease(&self) -> Result<AwsLease, object_store::Error>;
}

/// The newest credentials, and when a renewal failed since they came.
#[derive(Debug, Default)]
struct Kept {
    lease: Option<AwsLease>,
    failed: Option<Moment>,
}

/// Credentials for AWS, renewed from five minutes before they end.
///
/// While the old ones last, one request at a time tries to renew them, briefly, and half a minute after a
/// failure at the earliest; all others go on with the old ones. Once they have ended, requests wait.
#[derive(Debug)]
pub struct AwsCredentials {
    source: Arc<dyn AwsCredentialSource>,
    kept: Mutex<Kept>,
    /// Held by whoever renews.
    turn: tokio::sync::Mutex<()>,
    world: World,
}

impl AwsCredentials {
    /// From a JSON file with `aws_access_key_id`, `aws_secret_access_key` and, where there are any,
    /// `aws_session_token` and `expiry` in seconds since the Unix epoch, as `influxdb3` reads it. It is read
    /// again before the expiry.
    pub fn from_file(path: impl Into<PathBuf>, world: World) -> Self {
        Self::new(Arc::new(File(path.into())), world)
    }

    /// From a source.
    pub fn new(source: Arc<dyn AwsCredentialSource>, world: World) -> Self {
        Self {
            source,
            kept: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            world,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The credentials that are kept, if they last, and whether they should be renewed now.
    fn lasting(&self) -> (Option<Arc<AwsCredential>>, bool) {
        let now = self.world.clock.wall_micros();
        let kept = self.kept();
        let Some(lease) = kept
            .lease
            .as_ref()
            .filter(|it| it.lasts(now, Duration::ZERO))
        else {
            return (None, true);
        };
        let paused = |failed: &Moment| self.world.elapsed(failed) < PAUSE;
        let due = !lease.lasts(now, RENEWAL) && !kept.failed.as_ref().is_some_and(paused);
        (Some(Arc::clone(&lease.credential)), due)
    }

    async fn renew(&self, limit: Duration) -> Result<AwsLease, object_store::Error> {
        let renewed = self.world.timeout(limit, self.source.lease());
        renewed.await.unwrap_or_else(|| {
            Err(object_store::Error::Generic {
                store: "AWS credentials",
                source: "the source of credentials does not answer".into(),
            })
        })
    }
}

#[async_trait]
impl CredentialProvider for AwsCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>, object_store::Error> {
        if let (Some(credential), false) = self.lasting() {
            return Ok(credential);
        }
        let turn = self.turn.try_lock();
        let _turn = match (turn, self.lasting().0) {
            (Ok(turn), _) => turn,
            (Err(_), Some(credential)) => return Ok(credential),
            (Err(_), None) => self.turn.lock().await,
        };
        // Whoever had the turn before may have renewed them, or failed to.
        let (old, due) = self.lasting();
        let limit = match &old {
            Some(credential) if !due => return Ok(Arc::clone(credential)),
            Some(_) => EARLY_TIMEOUT,
            None => TIMEOUT,
        };
        match (self.renew(limit).await, old) {
            (Ok(lease), _) => {
                let credential = Arc::clone(&lease.credential);
                *self.kept() = Kept {
                    lease: Some(lease),
                    failed: None,
                };
                Ok(credential)
            }
            (Err(error), Some(credential)) => {
                tracing::warn!(%error, "AWS credentials could not be renewed and will end soon");
                self.kept().failed = Some(self.world.moment());
                Ok(credential)
            }
            (Err(error), None) => Err(error),
        }
    }
}

/// Credentials that there are none of, or that are no such, whatever is waited for.
fn unusable(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Unauthenticated {
        path: "AWS credentials".to_owned(),
        source: reason.into(),
    }
}

/// A file with credentials.
#[derive(Debug)]
struct File(PathBuf);

#[async_trait]
impl AwsCredentialSource for File {
    async fn lease(&self) -> Result<AwsLease, object_store::Error> {
        read_file(&self.0).await
    }
}

#[derive(Deserialize)]
struct CredentialsFile {
    aws_access_key_id: String,
    aws_secret_access_key: String,
    aws_session_token: Option<String>,
    expiry: Option<i64>,
}

async fn read_file(path: &Path) -> Result<AwsLease, object_store::Error> {
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
    Ok(AwsLease {
        credential: Arc::new(credential),
        ends_micros: file.expiry.map(|expiry| expiry.saturating_mul(1_000_000)),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt;

    use super::*;
    use crate::SystemClock;

    /// A clock that stands at a time that a test sets.
    #[derive(Debug)]
    struct Standing(std::sync::atomic::AtomicI64);

    impl crate::Clock for Standing {
        fn wall_micros(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
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
            clock.0.store(micros, Ordering::Relaxed);
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

    /// Gives out credentials that end at second 1000, and never answers again.
    #[derive(Debug)]
    struct Once(Arc<AtomicUsize>);

    #[async_trait]
    impl AwsCredentialSource for Once {
        async fn lease(&self) -> Result<AwsLease, object_store::Error> {
            if self.0.fetch_add(1, Ordering::Relaxed) > 0 {
                std::future::pending::<()>().await;
            }
            Ok(AwsLease {
                credential: Arc::new(AwsCredential {
                    key_id: "old".to_owned(),
                    secret_key: "s".to_owned(),
                    token: None,
                }),
                ends_micros: Some(1000 * 1_000_000),
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_that_last_are_given_out_though_they_cannot_be_renewed() {
        let clock = Arc::new(Standing(0.into()));
        let at = |seconds: i64| clock.0.store(seconds * 1_000_000, Ordering::Relaxed);
        let world = World {
            clock: Arc::<Standing>::clone(&clock),
            ..World::system()
        };
        let asked = Arc::new(AtomicUsize::new(0));
        let source = Arc::new(Once(Arc::clone(&asked)));
        let credentials = AwsCredentials::new(source, world.clone());
        let asked = || asked.load(Ordering::Relaxed);
        let is_old = |got: Option<Result<Arc<AwsCredential>, _>>| match got {
            Some(Ok(credential)) => credential.key_id == "old",
            Some(Err(_)) | None => false,
        };
        assert!(is_old(credentials.get_credential().now_or_never()));

        at(800);
        let mut renewal = credentials.get_credential();
        assert!(renewal.as_mut().now_or_never().is_none());
        assert!(is_old(credentials.get_credential().now_or_never()));
        assert!(is_old(world.timeout(EARLY_TIMEOUT * 2, renewal).await));
        assert_eq!(asked(), 2);
        at(829);
        assert!(is_old(credentials.get_credential().now_or_never()));
        assert_eq!(asked(), 2, "a failure is remembered");
        at(830);
        let renewal = credentials.get_credential();
        assert!(is_old(world.timeout(EARLY_TIMEOUT * 2, renewal).await));
        assert_eq!(asked(), 3);

        at(1000);
        let renewal = credentials.get_credential();
        let waits = world.timeout(EARLY_TIMEOUT * 2, renewal).await;
        assert!(waits.is_none());
        assert!(credentials.get_credential().await.is_err());
    }
}
