//! The file with the sessions of `neap auth login`, and their renewal.
//!
//! Only its owner may read the file. A session has one valid refresh token, so that a process which renews it holds a
//! lock on the file.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use neap_bucket::{World, read_limited_file};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::{ClientError, ClientResult};
use crate::owner_only;

/// Permission bits of group and others.
const GROUP_AND_OTHERS: u32 = 0o077;

/// Maximum bytes of the file.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Maximum time to wait for another process that renews a session.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(60);

/// Interval between two attempts to lock the file.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// Remaining lifetime of an access token at which it is renewed.
const RENEWAL_MARGIN: Duration = Duration::from_secs(30);

/// The answer to a sign-in or a renewal.
#[derive(Deserialize, derive_more::Debug)]
#[debug("SignInResponse")]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignInResponse {
    access_token: String,
    refresh_token: String,
    expires_in: u64,
    /// The name of the user.
    pub(crate) username: String,
}

/// A session with a server. `Debug` hides it.
#[derive(Clone, Deserialize, Serialize, derive_more::Debug)]
#[debug("StoredSession of {username}")]
pub(crate) struct StoredSession {
    pub(super) access_token: String,
    pub(super) refresh_token: String,
    /// In seconds since 1970, by the clock of this machine.
    expires_at: u64,
    username: String,
}

fn now_seconds(world: &World) -> u64 {
    Duration::from_micros(world.clock.wall_micros().unsigned_abs()).as_secs()
}

impl StoredSession {
    /// Creates the session of an answer.
    pub(crate) fn new(response: SignInResponse, world: &World) -> Self {
        Self {
            access_token: response.access_token,
            refresh_token: response.refresh_token,
            expires_at: now_seconds(world).saturating_add(response.expires_in),
            username: response.username,
        }
    }

    /// Returns whether the access token expires soon.
    pub(super) fn is_due(&self, world: &World) -> bool {
        now_seconds(world).saturating_add(RENEWAL_MARGIN.as_secs()) >= self.expires_at
    }
}

#[derive(Default, Deserialize, Serialize)]
struct Sessions {
    /// By the address of the server.
    hosts: BTreeMap<String, StoredSession>,
}

/// The file with the sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CredentialsFile(PathBuf);

/// A lock on the file, until it is dropped.
#[derive(Debug)]
pub(super) struct CredentialsLock(
    #[expect(dead_code, reason = "dropping it releases the lock")] File,
);

impl CredentialsFile {
    /// Returns the file at this path; without one, the file in the user's configuration directory. `None` if there is
    /// no such directory.
    pub(crate) fn at(path: Option<&Path>) -> Option<Self> {
        let default = || dirs::config_dir().map(|folder| folder.join("neap/credentials.json"));
        path.map(Path::to_owned).or_else(default).map(Self)
    }

    fn failed(&self, reason: impl fmt::Display) -> ClientError {
        let path = self.0.display();
        ClientError::Settings(format!("cannot use the credentials in '{path}': {reason}"))
    }

    fn read(&self) -> ClientResult<Sessions> {
        let metadata = match fs::metadata(&self.0) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Sessions::default()),
            Err(error) => return Err(self.failed(error)),
        };
        if metadata.permissions().mode() & GROUP_AND_OTHERS != 0 {
            let path = self.0.display();
            let reason = format!("users other than its owner may read it; chmod 600 {path}");
            return Err(self.failed(reason));
        }
        let text =
            read_limited_file(&self.0, MAX_FILE_BYTES).map_err(|error| self.failed(error))?;
        // The message omits the text, because it contains secrets.
        serde_json::from_slice(&text).map_err(|_| self.failed("the file is damaged"))
    }

    /// Returns the session with a server.
    ///
    /// # Errors
    ///
    /// [`ClientError::Settings`]: the file can't be read, or others may read it.
    pub(crate) fn find(&self, host: &Url) -> ClientResult<Option<StoredSession>> {
        Ok(self.read()?.hosts.remove(host.as_str()))
    }

    /// Locks the file against other processes.
    ///
    /// # Errors
    ///
    /// [`ClientError::Settings`]: the lock can't be taken in time.
    pub(super) async fn lock(&self, world: &World) -> ClientResult<CredentialsLock> {
        if let Some(folder) = owner_only::parent(&self.0) {
            let created = owner_only::create_directories(folder, &|_| Ok(()));
            created.map_err(|error| self.failed(error))?;
        }
        let file = owner_only::create_file(&self.0.with_extension("lock"))
            .map_err(|error| self.failed(error))?;
        let attempt = async {
            loop {
                match file.try_lock() {
                    Ok(()) => return Ok(()),
                    Err(TryLockError::WouldBlock) => world.clock.sleep(LOCK_INTERVAL).await,
                    Err(TryLockError::Error(error)) => return Err(self.failed(error)),
                }
            }
        };
        let locked = world.timeout(MAX_LOCK_WAIT, attempt).await;
        locked.ok_or_else(|| self.failed("another process holds its lock"))??;
        Ok(CredentialsLock(file))
    }

    /// Replaces the session with a server; `None` removes it. The caller holds the lock.
    ///
    /// # Errors
    ///
    /// [`ClientError::Settings`]: the file can't be written.
    pub(super) fn replace(
        &self,
        _lock: &CredentialsLock,
        host: &Url,
        session: Option<StoredSession>,
    ) -> ClientResult {
        let mut sessions = self.read()?;
        match session {
            Some(session) => sessions.hosts.insert(host.to_string(), session),
            None => sessions.hosts.remove(host.as_str()),
        };
        let text = serde_json::to_vec(&sessions).map_err(|error| self.failed(error))?;
        owner_only::replace_file(&self.0, &text).map_err(|error| self.failed(error))
    }

    /// Stores the session with a server; `None` removes it.
    ///
    /// # Errors
    ///
    /// [`ClientError::Settings`]: the file can't be written.
    pub(crate) async fn store(
        &self,
        host: &Url,
        session: Option<StoredSession>,
        world: &World,
    ) -> ClientResult {
        let lock = self.lock(world).await?;
        self.replace(&lock, host, session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(expires_in: u64) -> StoredSession {
        let response = SignInResponse {
            access_token: "a".to_owned(),
            refresh_token: "r".to_owned(),
            expires_in,
            username: "ann".to_owned(),
        };
        StoredSession::new(response, &World::system())
    }

    #[tokio::test]
    async fn sessions_are_kept_by_server_in_a_file_for_the_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("neap/credentials.json");
        let file = CredentialsFile::at(Some(&path)).unwrap();
        let world = World::system();
        let one: Url = "http://one:8181".parse().unwrap();
        let other: Url = "http://other:8181".parse().unwrap();
        assert!(file.find(&one).unwrap().is_none());
        file.store(&one, Some(session(60)), &world).await.unwrap();
        assert!(file.find(&one).unwrap().is_some());
        assert!(file.find(&other).unwrap().is_none());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        file.store(&one, None, &world).await.unwrap();
        assert!(file.find(&one).unwrap().is_none());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = file.find(&one).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_token_is_renewed_before_it_expires() {
        let world = World::system();
        assert!(!session(3_600).is_due(&world));
        assert!(session(20).is_due(&world));
        let shown = format!("{:?}", session(1));
        assert_eq!(shown, "StoredSession of ann");
    }
}
