//! AWS credentials that expire and are renewed before they expire: from a file that another program renews, or from a
//! credential source of the program.
//!
//! Fixed keys, as on the command line or in the environment of a Lambda function, do not need this module.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use object_store::{CredentialProvider, aws::AwsCredential};
use serde::Deserialize;

use crate::{ClockReading, World, read_limited_file_async};

/// Time before their expiry at which credentials are renewed.
const RENEWAL_MARGIN: Duration = Duration::from_secs(300);

/// Maximum wait for credentials when there are no valid ones.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Maximum wait for a renewal while the old credentials are valid.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Pause after a failed renewal while the old credentials are valid.
const RENEWAL_RETRY_PAUSE: Duration = Duration::from_secs(30);

/// Time after a failure without valid credentials in which all requests get its error, without another attempt.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);

/// Maximum bytes of a file with credentials.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Credentials and their expiry.
#[derive(Clone, Debug)]
pub struct AwsLease {
    /// The credentials.
    pub credential: Arc<AwsCredential>,
    /// The expiry in microseconds since the Unix epoch; `None` if they do not expire.
    pub ends_micros: Option<i64>,
}

impl AwsLease {
    fn lasts(&self, now_micros: i64, margin: Duration) -> bool {
        let margin = i64::try_from(margin.as_micros()).unwrap_or(i64::MAX);
        self.ends_micros.is_none_or(|ends| now_micros.saturating_add(margin) < ends)
    }
}

/// A source of AWS credentials.
#[async_trait]
pub trait AwsCredentialSource: fmt::Debug + Send + Sync + 'static {
    /// Fetches new credentials. The caller applies a time limit.
    ///
    /// # Errors
    /// [`object_store::Error::Unauthenticated`] if there are no credentials and a retry cannot help. Other errors may
    /// be temporary.
    async fn lease(&self) -> Result<AwsLease, object_store::Error>;
}

/// The newest credentials, and the last failure to renew them since they were fetched.
#[derive(Debug, Default)]
struct CachedLease {
    lease: Option<AwsLease>,
    failed: Option<LeaseFailure>,
}

/// A failure to fetch credentials.
#[derive(Debug)]
struct LeaseFailure {
    at: ClockReading,
    reason: String,
    /// Whether a retry cannot help.
    is_final: bool,
}

impl LeaseFailure {
    fn new(error: &object_store::Error, at: ClockReading) -> Self {
        let (reason, is_final) = match error {
            object_store::Error::Unauthenticated { source, .. } => (source.to_string(), true),
            object_store::Error::Generic { source, .. } => (source.to_string(), false),
            error => (error.to_string(), false),
        };
        Self { at, reason, is_final }
    }

    fn error(&self) -> object_store::Error {
        let reason = self.reason.clone();
        if self.is_final {
            unusable(reason)
        } else {
            object_store::Error::Generic { store: "AWS credentials", source: reason.into() }
        }
    }
}

/// A provider of AWS credentials that renews them from five minutes before they expire.
///
/// While the old credentials are valid, one request at a time tries to renew them, for at most 3 s and no earlier than
/// 30 s after a failure; all other requests use the old ones. After the old credentials have expired, requests wait for
/// new ones.
#[derive(Debug)]
pub struct AwsCredentials {
    source: Arc<dyn AwsCredentialSource>,
    kept: Mutex<CachedLease>,
    /// Held by the request that renews the credentials.
    turn: tokio::sync::Mutex<()>,
    world: World,
}

impl AwsCredentials {
    /// Reads the credentials from a JSON file with `aws_access_key_id`, `aws_secret_access_key` and optionally
    /// `aws_session_token` and `expiry` in seconds since the Unix epoch, the format of `influxdb3`. The file is read
    /// again before the expiry.
    pub fn from_file(path: impl Into<PathBuf>, world: World) -> Self {
        Self::new(Arc::new(CredentialsFileSource(path.into())), world)
    }

    /// Fetches the credentials from a source.
    pub fn new(source: Arc<dyn AwsCredentialSource>, world: World) -> Self {
        Self {
            source,
            kept: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            world,
        }
    }

    fn kept(&self) -> MutexGuard<'_, CachedLease> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the cached credentials, if they are valid, and whether to renew them now.
    fn cached(&self) -> (Option<Arc<AwsCredential>>, bool) {
        let now = self.world.clock.wall_micros();
        let kept = self.kept();
        let Some(lease) = kept.lease.as_ref().filter(|it| it.lasts(now, Duration::ZERO)) else {
            return (None, true);
        };
        let paused = |failed: &LeaseFailure| self.world.elapsed(&failed.at) < RENEWAL_RETRY_PAUSE;
        let due = !lease.lasts(now, RENEWAL_MARGIN) && !kept.failed.as_ref().is_some_and(paused);
        (Some(Arc::clone(&lease.credential)), due)
    }

    /// Returns the error of a failure that was a moment ago. Otherwise, requests that wait for each other would wait for the
    /// same failure again, one after the other.
    fn recent_failure(&self) -> Option<object_store::Error> {
        let kept = self.kept();
        let failed = kept.failed.as_ref()?;
        (self.world.elapsed(&failed.at) < FAILURE_PAUSE).then(|| failed.error())
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
        if let (Some(credential), false) = self.cached() {
            return Ok(credential);
        }
        let turn = self.turn.try_lock();
        let _turn = match (turn, self.cached().0) {
            (Ok(turn), _) => turn,
            (Err(_), Some(credential)) => return Ok(credential),
            (Err(_), None) => self.turn.lock().await,
        };
        // The request that held the lock before may have renewed them, or failed to.
        let (old, due) = self.cached();
        let limit = match &old {
            Some(credential) if !due => return Ok(Arc::clone(credential)),
            Some(_) => RENEWAL_TIMEOUT,
            None => match self.recent_failure() {
                Some(error) => return Err(error),
                None => TIMEOUT,
            },
        };
        let renewed = self.renew(limit).await;
        if let Err(error) = &renewed {
            let failure = LeaseFailure::new(error, self.world.clock_reading());
            self.kept().failed = Some(failure);
        }
        match (renewed, old) {
            (Ok(lease), _) => {
                let credential = Arc::clone(&lease.credential);
                *self.kept() = CachedLease { lease: Some(lease), failed: None };
                Ok(credential)
            }
            (Err(error), Some(credential)) => {
                tracing::warn!(%error, "AWS credentials could not be renewed and will expire soon");
                Ok(credential)
            }
            (Err(error), None) => Err(error),
        }
    }
}

/// Error for missing or malformed credentials, which a retry does not fix.
fn unusable(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Unauthenticated {
        path: "AWS credentials".to_owned(),
        source: reason.into(),
    }
}

#[derive(Debug)]
struct CredentialsFileSource(PathBuf);

#[async_trait]
impl AwsCredentialSource for CredentialsFileSource {
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
    let text = read_limited_file_async(path.to_owned(), MAX_FILE_BYTES)
        .await
        .map_err(|error| unusable(format!("'{name}' can't be read: {error}")))?;
    // The parser's message may quote the file, which holds secrets. Therefore the error contains only the position.
    let file: CredentialsFile = serde_json::from_slice(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        unusable(format!("'{name}' is not JSON with credentials: line {line}, column {column}"))
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

    /// A clock that is stopped at a time that the test sets.
    #[derive(Debug)]
    struct StoppedClock(std::sync::atomic::AtomicI64);

    impl crate::Clock for StoppedClock {
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
    async fn a_file_is_read_again_before_expiry_and_the_old_credentials_stay_while_it_is_broken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials.json");
        let write = |key: &str, expiry: i64| {
            let text = format!(
                r#"{{"aws_access_key_id":"{key}","aws_secret_access_key":"s","expiry":{expiry}}}"#
            );
            std::fs::write(&path, text).unwrap();
        };
        let clock = Arc::new(StoppedClock(0.into()));
        let at = |seconds: i64| {
            let micros = seconds * 1_000_000;
            clock.0.store(micros, Ordering::Relaxed);
        };
        let world = World { clock: Arc::<StoppedClock>::clone(&clock), ..World::system() };
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
        assert!(error.contains("is not JSON with credentials: line 1"), "{error}");
        assert!(!error.contains("secret_access"), "{error}");
    }

    /// A source that has no credentials, or never answers.
    #[derive(Debug)]
    struct EmptySource {
        asked: Arc<AtomicUsize>,
        answers: bool,
    }

    #[async_trait]
    impl AwsCredentialSource for EmptySource {
        async fn lease(&self) -> Result<AwsLease, object_store::Error> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if !self.answers {
                std::future::pending::<()>().await;
            }
            Err(unusable("no profile"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_do_not_wait_for_the_same_failure_one_after_the_other() {
        for answers in [true, false] {
            let clock = Arc::new(StoppedClock(0.into()));
            let world = World { clock: Arc::<StoppedClock>::clone(&clock), ..World::system() };
            let asked = Arc::new(AtomicUsize::new(0));
            let source = EmptySource { asked: Arc::clone(&asked), answers };
            let credentials = AwsCredentials::new(Arc::new(source), world);
            let requests = (0..3).map(|_| credentials.get_credential());
            let first = futures::future::join_all(requests).await;
            assert_eq!(asked.load(Ordering::Relaxed), 1);
            clock.0.store(4_999_999, Ordering::Relaxed);
            let again = credentials.get_credential().await;
            assert_eq!(asked.load(Ordering::Relaxed), 1);
            for failed in first.into_iter().chain([again]) {
                let error = failed.unwrap_err();
                let is_final = matches!(error, object_store::Error::Unauthenticated { .. });
                assert_eq!(is_final, answers, "{error}");
            }
            clock.0.store(5_000_000, Ordering::Relaxed);
            assert!(credentials.get_credential().await.is_err());
            assert_eq!(asked.load(Ordering::Relaxed), 2);
        }
    }

    /// A source whose first credentials expire at second 1000 and that never answers again.
    #[derive(Debug)]
    struct SingleLeaseSource(Arc<AtomicUsize>);

    #[async_trait]
    impl AwsCredentialSource for SingleLeaseSource {
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
    async fn valid_credentials_are_returned_while_they_cannot_be_renewed() {
        let clock = Arc::new(StoppedClock(0.into()));
        let at = |seconds: i64| clock.0.store(seconds * 1_000_000, Ordering::Relaxed);
        let world = World { clock: Arc::<StoppedClock>::clone(&clock), ..World::system() };
        let asked = Arc::new(AtomicUsize::new(0));
        let source = Arc::new(SingleLeaseSource(Arc::clone(&asked)));
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
        assert!(is_old(world.timeout(RENEWAL_TIMEOUT * 2, renewal).await));
        assert_eq!(asked(), 2);
        at(829);
        assert!(is_old(credentials.get_credential().now_or_never()));
        assert_eq!(asked(), 2, "a failure is remembered");
        at(830);
        let renewal = credentials.get_credential();
        assert!(is_old(world.timeout(RENEWAL_TIMEOUT * 2, renewal).await));
        assert_eq!(asked(), 3);

        at(1000);
        let renewal = credentials.get_credential();
        let waits = world.timeout(RENEWAL_TIMEOUT * 2, renewal).await;
        assert!(waits.is_none());
        assert!(credentials.get_credential().await.is_err());
    }
}
