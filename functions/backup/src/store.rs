//! Reads and changes the register of backups.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use neap_bucket::{
    Bucket, CommitOutcome, Key, Operation, RECENT_PUT_IDS, Register, RegisterChange, StoreTime,
    VersionedValue,
};

use crate::{BackupError, BackupRegister};

/// Time limit of a read (60 s).
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The register of backups of a bucket.
#[derive(Clone, Debug)]
pub struct BackupStore {
    bucket: Bucket,
    register: Register<BackupRegister>,
    /// The register as this process knows it.
    known: Arc<Mutex<Option<Arc<BackupRegister>>>>,
}

impl BackupStore {
    /// Returns the register of backups of a bucket.
    pub fn new(bucket: &Bucket) -> Self {
        Self {
            register: Register::new(bucket.clone(), Key::Backups, RECENT_PUT_IDS),
            bucket: bucket.clone(),
            known: Arc::default(),
        }
    }

    /// Returns the register as it was read or changed last; `None` if it was not read yet.
    pub(crate) fn last_read(&self) -> Option<Arc<BackupRegister>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    fn remember(&self, register: &Arc<BackupRegister>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Arc::clone(register));
    }

    /// Reads the register. Also returns the store's time.
    ///
    /// # Errors
    /// The store does not answer, or the register is damaged.
    pub async fn read(&self) -> Result<(VersionedValue<BackupRegister>, StoreTime), BackupError> {
        let read = self.register.read(None);
        let key = Key::Backups;
        let value = self.bucket.in_time(READ_TIMEOUT, Operation::Get, key, read).await?;
        self.remember(&value.value);
        Ok((value, self.now()?))
    }

    /// Commits a change of the register. The closure receives the value and the store's time, and may be called several
    /// times. Commits nothing if the value stays the same.
    pub(crate) async fn change<R: Send>(
        &self,
        mut change: impl FnMut(&mut BackupRegister, StoreTime) -> Result<R, BackupError> + Send,
    ) -> Result<R, BackupError> {
        let commit = |base: &VersionedValue<BackupRegister>| {
            let mut next = BackupRegister::clone(&base.value);
            let result = change(&mut next, self.now()?)?;
            Ok(if next == *base.value {
                RegisterChange::Keep(result)
            } else {
                RegisterChange::Put(next, result)
            })
        };
        match self.register.commit(None, commit).await? {
            CommitOutcome::Committed { result, current } => {
                self.remember(&current.value);
                Ok(result)
            }
            CommitOutcome::Refused(error) => Err(error),
            CommitOutcome::Unknown { reason } => Err(BackupError::Unknown(reason)),
        }
    }

    fn now(&self) -> Result<StoreTime, BackupError> {
        self.bucket.clock().now().ok_or(BackupError::NoStoreTime)
    }
}
