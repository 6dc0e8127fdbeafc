//! Registers: small objects with fixed keys, changed by compare-and-swap.
//!
//! ```text
//!   instance                               store
//!     |-- GET ------------------------------> |
//!     |   apply a closure to the value        |
//!     |-- PUT if it is still that one ------> |   crash before: nothing happened
//!     |<----------------------------- 200 --- |   crash after: committed, the caller does not know
//!     |        412, 409, timeout, broken connection: nothing is proven
//!     |-- GET ------------------------------> |
//!     |        our put_id among the last 64   ->  committed
//!     |        the base, unchanged            ->  put the same bytes again
//!     |        more than 64 versions past ours->  unknown
//!     |        missing, but the base existed  ->  the register is lost: it is not created again
//!     |        else                           ->  lost race: apply the closure to the new value
//! ```
//!
//! Correctness does not depend on clocks: a writer that was suspended for a week fails the condition. Closures should
//! commute where possible, so that a lost race is a retry and not an error.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};

use crate::{
    Bucket, ClockReading, ETag, FormatError, Get, GetOptions, Key, MissingObject, Object,
    ObjectFormat, Put, PutMode, StoreError, StoreResponse, StoreTime, compression,
};

/// The value type of a register.
pub trait RegisterValue:
    Clone + fmt::Debug + Default + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The magic, name and version of the object.
    const FORMAT: ObjectFormat;
}

/// A type that a register's value can be read as: the whole value, or a part of it, which cannot be committed.
pub trait RegisterRead:
    Clone + fmt::Debug + Default + DeserializeOwned + Send + Sync + 'static
{
    /// The magic, name and version of the object.
    const READ_FORMAT: ObjectFormat;
}

impl<T: RegisterValue> RegisterRead for T {
    const READ_FORMAT: ObjectFormat = T::FORMAT;
}

/// Error of a read or a commit. A commit that returns it had no effect and will have none.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegisterError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object is damaged or too new.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The object is lost.
    #[error(transparent)]
    Missing(#[from] MissingObject),
}

#[derive(Serialize, Deserialize)]
struct RegisterBody<T> {
    version: u64,
    /// The `put_id`s of the versions before this one, newest first, as hexadecimal text.
    recent: Vec<String>,
    value: T,
}

/// A value of a register, with the version that a commit needs to replace it.
#[derive(Clone, Debug)]
pub struct VersionedValue<T> {
    /// The value; the default one when there is no object yet.
    pub value: Arc<T>,
    /// The number of commits that led to it; 0 when there is no object yet.
    pub version: u64,
    /// When it was committed, by the store's clock; `None` when there is no object yet.
    pub committed: Option<StoreTime>,
    /// The store's time of the answer that confirmed the value as current.
    pub current_at: Option<StoreTime>,
    /// The start of the request that confirmed the value as current, on this machine's clocks: the value was current
    /// then or later. `None` if no request confirmed it.
    pub asked: Option<ClockReading>,
    etag: Option<ETag>,
    put_id: u128,
    recent: Arc<Vec<String>>,
}

impl<T: Default> VersionedValue<T> {
    /// The value of a register that has no object yet.
    pub fn absent(current_at: Option<StoreTime>) -> Self {
        Self {
            value: Arc::default(),
            version: 0,
            committed: None,
            current_at,
            asked: None,
            etag: None,
            put_id: 0,
            recent: Arc::default(),
        }
    }
}

impl<T> VersionedValue<T> {
    /// Returns a value that is derived from this one, such as an earlier version, with this one's confirmation. It is
    /// only for reading: do not start a commit from it.
    pub fn view(&self, value: Arc<T>, version: u64) -> Self {
        Self {
            value,
            version,
            committed: self.committed,
            current_at: self.current_at,
            asked: self.asked,
            etag: self.etag.clone(),
            put_id: self.put_id,
            recent: Arc::clone(&self.recent),
        }
    }

    fn names(&self, put_id: u128) -> bool {
        self.put_id == put_id || self.recent.contains(&id_text(put_id))
    }
}

fn id_text(put_id: u128) -> String {
    format!("{put_id:032x}")
}

/// The change that a commit's closure returns for the value that it is given.
#[derive(Debug)]
pub enum RegisterChange<T, R> {
    /// A new value to commit, and a result for the caller.
    Put(T, R),
    /// Nothing to change.
    Keep(R),
}

/// The outcome of a commit.
#[derive(Debug)]
pub enum CommitOutcome<T, R, E> {
    /// The change is in the register, or was not needed. `current` is the newest value known, which may
    /// already contain later commits.
    Committed {
        /// The newest value known.
        current: VersionedValue<T>,
        /// The result that the closure returned with the committed value.
        result: R,
    },
    /// The closure returned an error for a value that was current.
    Refused(E),
    /// It is unknown whether the change is in the register.
    Unknown {
        /// The cause, in a form for users.
        reason: String,
    },
}

/// A register: a fixed key, and the type of its value.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::convert::Infallible;
///
/// use neap_bucket::{
///     Bucket, Key, ObjectFormat, RECENT_PUT_IDS, Register, RegisterChange, RegisterValue, World,
/// };
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, Default, Serialize, Deserialize)]
/// struct Counter {
///     count: u64,
/// }
///
/// impl RegisterValue for Counter {
///     const FORMAT: ObjectFormat = ObjectFormat {
///         magic: *b"CNTR",
///         kind: "counter",
///         version: 1,
///     };
/// }
///
/// # let bucket = Bucket::in_memory(World::system());
/// let register = Register::<Counter>::new(bucket, Key::RootCatalog, RECENT_PUT_IDS);
/// let increment = register.commit(None, |current| {
///     let count = current.value.count + 1;
///     Ok::<_, Infallible>(RegisterChange::Put(Counter { count }, ()))
/// });
/// increment.await?;
/// assert_eq!(register.read(None).await?.value.count, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Register<T> {
    bucket: Bucket,
    key: Key,
    recent_put_ids: usize,
    deadline: Duration,
    kind: PhantomData<fn() -> T>,
}

/// Time after which an undecided commit ends as unknown.
const COMMIT_DEADLINE: Duration = Duration::from_secs(10);

/// Minimum number of times that the closure is applied if the commit loses races, so that one request that takes longer
/// than the deadline does not end the commit.
const MIN_APPLICATIONS: u32 = 3;

/// Maximum pause before the first retry (10 ms), and of all retries (1 s). The maximum doubles with each retry, with
/// full jitter.
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const MAX_RETRY_BACKOFF: Duration = Duration::from_secs(1);

impl<T: RegisterRead> Register<T> {
    /// Returns the register under `key`, which keeps `recent_put_ids` `put_id`s.
    pub fn new(bucket: Bucket, key: Key, recent_put_ids: usize) -> Self {
        Self {
            bucket,
            key,
            recent_put_ids,
            deadline: COMMIT_DEADLINE,
            kind: PhantomData,
        }
    }

    /// The key of the register.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Reads the value. With a `known` value the request is conditional; if the register is unchanged, returns the
    /// known value with a new confirmation.
    pub async fn read(
        &self,
        known: Option<&VersionedValue<T>>,
    ) -> Result<VersionedValue<T>, RegisterError> {
        let etag = known.and_then(|known| known.etag.clone());
        let options = GetOptions { range: None, if_none_match: etag };
        let asked = Some(self.bucket.world().clock_reading());
        let StoreResponse { value, date } = self.bucket.get(&self.key, options).await?;
        let found = match (value, known) {
            (Get::Found(object), _) => self.decode(object, date)?,
            (Get::Missing, _) | (Get::Unchanged, None) => VersionedValue::absent(date),
            (Get::Unchanged, Some(known)) => VersionedValue { current_at: date, ..known.clone() },
        };
        Ok(VersionedValue { asked, ..found })
    }

    fn decode(
        &self,
        object: Object,
        current_at: Option<StoreTime>,
    ) -> Result<VersionedValue<T>, FormatError> {
        let key = self.key.to_string();
        let (put_id, body) = decode_body::<T>(T::READ_FORMAT, &key, &object.bytes)?;
        Ok(VersionedValue {
            value: Arc::new(body.value),
            version: body.version,
            committed: Some(object.last_modified),
            current_at,
            asked: None,
            etag: Some(object.etag),
            put_id,
            recent: Arc::new(body.recent),
        })
    }
}

/// Decodes the object of a register. Returns its `put_id` and its body.
fn decode_body<T: DeserializeOwned>(
    format: ObjectFormat,
    key: &str,
    object: &Bytes,
) -> Result<(u128, RegisterBody<T>), FormatError> {
    let (put_id, payload) = format.decode(key, object)?;
    let damaged = |reason: String| FormatError::Damaged { key: key.to_owned(), reason };
    let json = compression::decompress(&payload).map_err(|error| damaged(error.to_string()))?;
    let body = serde_json::from_slice(&json).map_err(|error| damaged(error.to_string()))?;
    Ok((put_id, body))
}

fn encode_body<T: RegisterValue>(
    key: &Key,
    put_id: u128,
    body: &RegisterBody<T>,
) -> Result<Bytes, FormatError> {
    let damaged = |reason: String| FormatError::Damaged { key: key.to_string(), reason };
    let json = serde_json::to_vec(body).map_err(|error| damaged(error.to_string()))?;
    let payload = compression::compress(&json).map_err(|error| damaged(error.to_string()))?;
    Ok(T::FORMAT.encode(put_id, &payload))
}

/// Changes the value in the object of a register for a copy in another bucket, where it has the same version. Returns
/// `None` if `change` returns that nothing has changed.
///
/// # Errors
/// The object is damaged or too new.
pub fn rewrite_register<T: RegisterValue>(
    key: &Key,
    object: &Bytes,
    change: impl FnOnce(&mut T) -> bool,
) -> Result<Option<Bytes>, FormatError> {
    let (put_id, mut body) = decode_body::<T>(T::FORMAT, &key.to_string(), object)?;
    if !change(&mut body.value) {
        return Ok(None);
    }
    encode_body(key, put_id, &body).map(Some)
}

/// Verifies the object of a register of any type as a reader does, apart from the fields of its value.
pub(crate) fn verify_register(
    format: ObjectFormat,
    key: &str,
    object: &Bytes,
) -> Result<(), FormatError> {
    decode_body::<IgnoredAny>(format, key, object).map(|_| ())
}

impl<T: RegisterValue> Register<T> {
    /// Commits the change that `change` returns for the current value.
    ///
    /// The closure is applied to `known` first, if given, and to each newer value after a lost race. An error of the
    /// closure counts only for a value that was read for this commit. A commit that loses every race ends as unknown
    /// after ten seconds, but not before the third race.
    pub async fn commit<R: Send, E: Send>(
        &self,
        known: Option<VersionedValue<T>>,
        mut change: impl FnMut(&VersionedValue<T>) -> Result<RegisterChange<T, R>, E> + Send,
    ) -> Result<CommitOutcome<T, R, E>, RegisterError> {
        let mut answer = None;
        let mut apply = |base: &VersionedValue<T>| {
            let (step, result) = match change(base) {
                Ok(RegisterChange::Put(value, result)) => (ChangeStep::Put(value), Ok(result)),
                Ok(RegisterChange::Keep(result)) => (ChangeStep::Keep, Ok(result)),
                Err(refusal) => (ChangeStep::Refuse, Err(refusal)),
            };
            answer = Some(result);
            step
        };
        let end = self.commit_steps(known, &mut apply).await?;
        Ok(match (end, answer) {
            (CommitEnd::Decided(current), Some(Ok(result))) => {
                CommitOutcome::Committed { current, result }
            }
            (CommitEnd::Decided(_), Some(Err(refusal))) => CommitOutcome::Refused(refusal),
            (CommitEnd::Decided(_), None) => {
                CommitOutcome::Unknown { reason: "the change was not applied".to_owned() }
            }
            (CommitEnd::Unknown(reason), _) => CommitOutcome::Unknown { reason },
        })
    }

    /// Commits the step that `apply` returns for the current value. This code is compiled once for a type of values, not
    /// for each closure that changes them.
    fn commit_steps<'a>(
        &'a self,
        known: Option<VersionedValue<T>>,
        apply: &'a mut (dyn FnMut(&VersionedValue<T>) -> ChangeStep<T> + Send),
    ) -> BoxFuture<'a, Result<CommitEnd<T>, RegisterError>> {
        Box::pin(async move {
            let started_at = self.bucket.world().clock_reading();
            let mut fresh = known.is_none();
            let mut base = match known {
                Some(known) => known,
                None => self.read(None).await?,
            };
            for attempt in 0.. {
                let value = match apply(&base) {
                    ChangeStep::Put(value) => value,
                    ChangeStep::Keep => return Ok(CommitEnd::Decided(base)),
                    ChangeStep::Refuse if fresh => return Ok(CommitEnd::Decided(base)),
                    ChangeStep::Refuse => {
                        let current = self.read(Some(&base)).await?;
                        base = self.successor(&base, current)?;
                        fresh = true;
                        continue;
                    }
                };
                match self.put(&base, value, &started_at).await? {
                    PutAttempt::Committed(current) => return Ok(CommitEnd::Decided(current)),
                    PutAttempt::Unknown(reason) => return Ok(CommitEnd::Unknown(reason)),
                    PutAttempt::Lost(_)
                        if attempt + 1 >= MIN_APPLICATIONS
                            && self.bucket.world().elapsed(&started_at) >= self.deadline =>
                    {
                        break;
                    }
                    PutAttempt::Lost(newer) => {
                        base = newer;
                        fresh = true;
                        self.back_off(attempt).await;
                    }
                }
            }
            let reason = "every attempt lost to another commit until the deadline";
            Ok(CommitEnd::Unknown(reason.to_owned()))
        })
    }

    /// Puts one value on the condition that `base` is current, and retries until the outcome is known. An error means
    /// that the put had no effect and will have none.
    async fn put(
        &self,
        base: &VersionedValue<T>,
        value: T,
        started_at: &ClockReading,
    ) -> Result<PutAttempt<T>, RegisterError> {
        let put_id = self.bucket.world().entropy.next_u128();
        let (bytes, mut next) = self.encode(base, value, put_id)?;
        let mut etag = base.etag.clone();
        for attempt in 0.. {
            let mode = etag.map_or(PutMode::Create, PutMode::Update);
            let asked = self.bucket.world().clock_reading();
            match self.bucket.put(&self.key, bytes.clone(), mode).await {
                Ok(StoreResponse { value: Put::Done(etag), date }) => {
                    next.etag = Some(etag);
                    next.current_at = date;
                    next.asked = Some(asked);
                    next.committed = date;
                    return Ok(PutAttempt::Committed(next));
                }
                Err(error @ StoreError::Rejected { .. }) if attempt == 0 => {
                    return Err(error.into());
                }
                // An earlier attempt may still take effect.
                Err(error @ StoreError::Rejected { .. }) => {
                    return Ok(PutAttempt::Unknown(error.to_string()));
                }
                Ok(StoreResponse { value: Put::Refused, .. })
                | Err(StoreError::Unavailable { .. }) => {}
            }
            let found = match self.read_until_deadline(started_at).await {
                Ok(found) => found,
                Err(reason) => return Ok(PutAttempt::Unknown(reason)),
            };
            if found.names(put_id) && self.recent_put_ids > 0 {
                return Ok(PutAttempt::Committed(found));
            }
            if found.put_id != base.put_id {
                let newer = self.successor(base, found)?;
                let reached = next.version + newer.recent.len() as u64;
                return Ok(if newer.version > reached {
                    PutAttempt::Unknown(
                        "too many later commits to tell whether it took effect".to_owned(),
                    )
                } else {
                    PutAttempt::Lost(newer)
                });
            }
            if self.bucket.world().elapsed(started_at) >= self.deadline {
                break;
            }
            // The same version may have another ETag by now, as after a restore of the bucket.
            etag = found.etag;
            self.back_off(attempt).await;
        }
        Ok(PutAttempt::Unknown(
            "the store did not confirm the commit before the deadline".to_owned(),
        ))
    }

    /// Returns a value that was read after `base`. A register that existed is not created again: it is lost.
    fn successor(
        &self,
        base: &VersionedValue<T>,
        found: VersionedValue<T>,
    ) -> Result<VersionedValue<T>, MissingObject> {
        if base.version > 0 && found.version == 0 {
            return Err(MissingObject::vanished(&self.key));
        }
        Ok(found)
    }

    fn encode(
        &self,
        base: &VersionedValue<T>,
        value: T,
        put_id: u128,
    ) -> Result<(Bytes, VersionedValue<T>), FormatError> {
        let mut recent = Vec::with_capacity(self.recent_put_ids);
        if base.version > 0 {
            recent.push(id_text(base.put_id));
        }
        recent.extend(base.recent.iter().cloned());
        recent.truncate(self.recent_put_ids);
        let body = RegisterBody { version: base.version + 1, recent, value };
        let object = encode_body(&self.key, put_id, &body)?;
        let next = VersionedValue {
            value: Arc::new(body.value),
            version: body.version,
            committed: None,
            current_at: None,
            asked: None,
            etag: None,
            put_id,
            recent: Arc::new(body.recent),
        };
        Ok((object, next))
    }

    /// Reads the register and retries while the store does not answer. Returns the reason if the deadline passes or if
    /// a retry cannot help.
    async fn read_until_deadline(
        &self,
        started_at: &ClockReading,
    ) -> Result<VersionedValue<T>, String> {
        for attempt in 0.. {
            match self.read(None).await {
                Ok(found) => return Ok(found),
                Err(RegisterError::Store(StoreError::Unavailable { reason, .. })) => {
                    if self.bucket.world().elapsed(started_at) >= self.deadline {
                        return Err(reason);
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
            self.back_off(attempt).await;
        }
        Err("the attempts are used up".to_owned())
    }

    async fn back_off(&self, attempt: u32) {
        let limit = FIRST_BACKOFF.saturating_mul(1 << attempt.min(10)).min(MAX_RETRY_BACKOFF);
        let world = self.bucket.world();
        world.clock.sleep(world.entropy.below(limit)).await;
    }
}

/// What a change does to the value that it is given, without its result.
enum ChangeStep<T> {
    Put(T),
    Keep,
    Refuse,
}

/// The end of a commit, without the result of its change.
enum CommitEnd<T> {
    /// The last step counts, and this is the newest value known.
    Decided(VersionedValue<T>),
    Unknown(String),
}

enum PutAttempt<T> {
    Committed(VersionedValue<T>),
    Lost(VersionedValue<T>),
    Unknown(String),
}

#[cfg(test)]
mod tests;
