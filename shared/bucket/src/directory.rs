//! A store in a directory: one file for each object, safe between processes and across a power failure.
//!
//! ```text
//! <root>/<key>            objects
//! <root>/.neap/lock       locked by `flock`; contains the newest time that was issued
//! <root>/.neap/tmp/       files that are being written
//!
//! put:   write and fsync a temporary file
//!        lock | check the condition, set the modification time, rename | unlock
//!        fsync the directory: for a conditional put before the unlock, because otherwise a writer could build
//!        on a version that a power failure undoes; a new directory's parent always before the unlock
//! ```
//!
//! The store's time is read under the lock. Therefore every put at or before the `Date` of a listing or a read was
//! renamed into place before that listing or read started, even if the putting process was suspended in between. The
//! modification times of puts strictly increase, so they serve as versions.

mod access;
mod files;
mod listing;
mod listing_cache;
mod lock;
mod read_batch;
mod uploads;

use std::{
    collections::BTreeSet,
    fs::{self, File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;

pub use self::access::{DirectoryAccess, ExposedDirectory};
pub(crate) use self::uploads::DirectoryUpload;
use self::{
    files::TempFile,
    listing::PageRequest,
    listing_cache::ListingCache,
    lock::{DirectoryLock, DirectoryLockGuard},
    read_batch::ReadQueue,
};
use crate::{
    ETag, Get, GetOptions, ListPage, ListRequest, Object, Operation, Put, PutMode, Store,
    StoreError, StoreResponse, StoreTime, World,
};

/// The store's own directory in the root.
const OWN_DIRECTORY: &str = ".neap";

/// Age from which a temporary file counts as abandoned.
const ABANDONED_AGE: Duration = Duration::from_secs(3600);

/// Maximum size of an object that is read within a batch of small reads.
const SMALL_OBJECT_BYTES: u64 = 64 << 10;

/// The number of keys on one page of a listing, as on S3.
const PAGE_KEYS: usize = 1000;

/// Error for a directory that cannot hold a store.
#[derive(Debug, thiserror::Error)]
#[error("the data directory '{}' can't be used: {reason}", path.display())]
pub struct DirectoryError {
    path: PathBuf,
    reason: String,
}

/// A store in a directory. Any number of processes on one machine may open it.
///
/// No key may be a directory of another key, as `a` is of `a/b`. This holds for all [`crate::Key`]s.
#[derive(Debug)]
pub struct DirectoryStore {
    root: Arc<Path>,
    access: DirectoryAccess,
    lock: DirectoryLock,
    world: World,
    page_keys: usize,
    listings: Arc<ListingCache>,
    small_reads: ReadQueue,
}

impl DirectoryStore {
    /// Opens a directory to which only its owner has access. Creates it if it is missing, and removes temporary files
    /// older than one hour.
    ///
    /// Fails if the directory is not writable, has no locks, or does not keep modification times to the microsecond.
    pub fn open(root: impl Into<PathBuf>, world: &World) -> Result<Self, DirectoryError> {
        Self::open_with(root, DirectoryAccess::Owner, world)
    }

    /// Opens a directory to which other users may have access. Existing files and directories keep their mode.
    ///
    /// # Errors
    /// As for [`DirectoryStore::open`].
    pub fn open_with(
        root: impl Into<PathBuf>,
        access: DirectoryAccess,
        world: &World,
    ) -> Result<Self, DirectoryError> {
        let root = root.into();
        Self::prepare(&root, access, world).map_err(|error| DirectoryError {
            path: root,
            reason: match error.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    format!("it is not writable ({error})")
                }
                _ => error.to_string(),
            },
        })
    }

    fn prepare(root: &Path, access: DirectoryAccess, world: &World) -> io::Result<Self> {
        let own = root.join(OWN_DIRECTORY);
        let temporary = own.join("tmp");
        if let Some(above) = root.parent().filter(|above| !above.as_os_str().is_empty()) {
            fs::create_dir_all(above)?;
        }
        for directory in [root, &own, &temporary] {
            access.create_missing_directory(directory)?;
        }
        files::sync(&BTreeSet::from([root.to_owned(), own.clone()]))?;
        let lock = DirectoryLock::open(&own.join("lock"), access, world)?;
        let now = StoreTime::from_micros(world.clock.wall_micros());
        files::remove_older(&temporary, now.minus(ABANDONED_AGE))?;
        let store = Self {
            root: root.canonicalize()?.into(),
            access,
            lock,
            world: world.clone(),
            page_keys: PAGE_KEYS,
            listings: Arc::new(ListingCache::new()),
            small_reads: ReadQueue::default(),
        };
        let fine = StoreTime::from_micros(1_700_000_000_123_457);
        let probe = TempFile::write(store.temporary_path(), b"", access)?;
        if modified(&probe.set_modified(fine)?) != fine {
            return Err(io::Error::other(
                "its file system does not keep modification times to the microsecond",
            ));
        }
        Ok(store)
    }

    /// Returns the same store with at most `page_keys` keys on a page of a listing.
    pub fn with_page_keys(self, page_keys: usize) -> Self {
        Self {
            page_keys: page_keys.max(1),
            ..self
        }
    }

    fn temporary_path(&self) -> PathBuf {
        let name = format!("{:032x}", self.world.entropy.next_u128());
        self.root.join(OWN_DIRECTORY).join("tmp").join(name)
    }

    /// Returns the file of a key; `None` for keys that do not name a file of their own below the root.
    fn path(&self, key: &str) -> Option<PathBuf> {
        let usable = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        let own = key.split('/').next() == Some(OWN_DIRECTORY);
        (!own && key.split('/').all(usable)).then(|| self.root.join(key))
    }

    /// Renames the temporary file of a put into place if the condition holds.
    async fn land(
        &self,
        task: OperationContext<'_>,
        temp: TempFile,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        let Some(path) = self.path(task.1) else {
            return Err(task.rejected("no file can have this name"));
        };
        let held = task.lock(&self.lock).await?;
        let root = Arc::clone(&self.root);
        let (answer, synced) = task
            .blocking(move || land(&root, &path, temp, &mode, held))
            .await?;
        // The object is in place, but a power failure may undo the put.
        synced.map_err(|error| task.unavailable(error))?;
        Ok(answer)
    }
}

/// Returns the time at which a file was last modified.
fn modified(metadata: &Metadata) -> StoreTime {
    let micros = metadata.mtime().saturating_mul(1_000_000);
    StoreTime::from_micros(micros.saturating_add(metadata.mtime_nsec() / 1000))
}

fn etag(metadata: &Metadata) -> ETag {
    let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
    ETag::new(format!("\"{seconds:x}-{nanos:x}-{:x}\"", metadata.len()))
}

/// A running operation and its key, for error messages.
#[derive(Clone, Copy)]
struct OperationContext<'a>(Operation, &'a str);

impl OperationContext<'_> {
    fn unavailable(self, reason: impl ToString) -> StoreError {
        StoreError::Unavailable {
            operation: self.0,
            key: self.1.to_owned(),
            reason: reason.to_string(),
        }
    }

    fn rejected(self, reason: impl ToString) -> StoreError {
        StoreError::Rejected {
            operation: self.0,
            key: self.1.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// Converts the error of an operation that had no effect.
    fn failed(self, error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::DirectoryNotEmpty => self.rejected(error),
            _ => self.unavailable(error),
        }
    }

    /// Runs blocking file operations on a separate thread.
    async fn blocking<T: Send + 'static>(
        self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done.map_err(|error| self.failed(error)),
            Err(error) => Err(self.unavailable(error)),
        }
    }

    /// Runs a read that takes microseconds in most cases, beside others.
    async fn small_read<T: Send + 'static>(
        self,
        store: &DirectoryStore,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<StoreResponse<T>, StoreError> {
        let answer = store.small_reads.read(&store.lock, work).await;
        answer.map_err(|error| self.failed(error))
    }

    async fn lock(self, lock: &DirectoryLock) -> Result<DirectoryLockGuard, StoreError> {
        lock.acquire().await.map_err(|error| self.failed(error))
    }
}

#[async_trait]
impl Store for DirectoryStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        let task = OperationContext(Operation::Get, key);
        let path = self.path(key);
        let is_whole = options.range.is_none();
        let begin = move || path.map_or(Ok(ObjectRead::MISSING), |path| begin_read(&path, options));
        // Most of these objects still have the known version, are missing or are small.
        if is_whole {
            let StoreResponse { value, date } = task.small_read(self, begin).await?;
            let value = match value {
                ObjectRead::Done(value) => value,
                ObjectRead::Open(object) => task.blocking(move || object.read()).await?,
            };
            return Ok(StoreResponse { value, date });
        }
        let held = task.lock(&self.lock).await?;
        task.blocking(move || {
            let date = held.now()?;
            drop(held);
            let value = match begin()? {
                ObjectRead::Done(value) => value,
                ObjectRead::Open(object) => object.read()?,
            };
            Ok(StoreResponse {
                value,
                date: Some(date),
            })
        })
        .await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        let task = OperationContext(Operation::Put, key);
        let temporary = self.temporary_path();
        let access = self.access;
        let temp = task
            .blocking(move || TempFile::write(temporary, &body, access))
            .await?;
        self.land(task, temp, mode).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        let task = OperationContext(Operation::List, request.prefix);
        let after = request
            .start_after
            .max(request.page_token.as_deref())
            .unwrap_or_default()
            .to_owned();
        let (root, prefix) = (Arc::clone(&self.root), request.prefix.to_owned());
        let (page_keys, listings) = (self.page_keys, Arc::clone(&self.listings));
        task.small_read(self, move || {
            let page = PageRequest {
                root: &root,
                prefix: &prefix,
                after: &after,
                page_keys,
            };
            listing::page(page, &listings, listings.now())
        })
        .await
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        let first = keys.first().map_or("", String::as_str);
        let task = OperationContext(Operation::Delete, first);
        let paths: Vec<_> = keys.iter().filter_map(|key| self.path(key)).collect();
        let held = task.lock(&self.lock).await?;
        let root = Arc::clone(&self.root);
        task.blocking(move || {
            let date = held.now()?;
            let mut changed = BTreeSet::new();
            for path in &paths {
                changed.extend(files::remove(&root, path)?);
            }
            drop(held);
            files::sync(&changed)?;
            Ok(StoreResponse {
                value: (),
                date: Some(date),
            })
        })
        .await
    }

    fn is_sorted(&self) -> bool {
        true
    }
}

/// The outcome of the first part of a read.
enum ObjectRead {
    Done(Get),
    /// The rest may take a while.
    Open(OpenObject),
}

impl ObjectRead {
    const MISSING: Self = Self::Done(Get::Missing);
}

/// An object whose bytes have not been read.
struct OpenObject {
    file: File,
    metadata: Metadata,
    range: Range<u64>,
}

/// Opens an object, and reads it if that takes microseconds.
fn begin_read(path: &Path, options: GetOptions) -> io::Result<ObjectRead> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => {
            let absent = matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            );
            return if absent {
                Ok(ObjectRead::MISSING)
            } else {
                Err(error)
            };
        }
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(ObjectRead::MISSING);
    }
    if options.if_none_match == Some(etag(&metadata)) {
        return Ok(ObjectRead::Done(Get::Unchanged));
    }
    let length = metadata.len();
    let Range { start, end } = options.range.unwrap_or(0..length);
    let end = end.min(length);
    let object = OpenObject {
        file,
        metadata,
        range: start.min(end)..end,
    };
    match length <= SMALL_OBJECT_BYTES {
        true => object.read().map(ObjectRead::Done),
        false => Ok(ObjectRead::Open(object)),
    }
}

impl OpenObject {
    /// Reads the bytes of the range.
    fn read(mut self) -> io::Result<Get> {
        let Range { start, end } = self.range;
        if start > 0 {
            self.file.seek(SeekFrom::Start(start))?;
        }
        let capacity = usize::try_from(end - start).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(capacity);
        self.file.take(end - start).read_to_end(&mut bytes)?;
        Ok(Get::Found(Object {
            bytes: bytes.into(),
            etag: etag(&self.metadata),
            last_modified: modified(&self.metadata),
        }))
    }
}

/// The outcome of a put, and the result of the sync that makes it survive a power failure.
type PutAndSync = (StoreResponse<Put>, io::Result<()>);

/// Renames a temporary file into place if the condition holds. An error means that the put had no effect.
fn land(
    root: &Path,
    path: &Path,
    temp: TempFile,
    mode: &PutMode,
    held: DirectoryLockGuard,
) -> io::Result<PutAndSync> {
    if !condition_holds(mode, path)? {
        let date = held.now()?;
        let refused = StoreResponse {
            value: Put::Refused,
            date: Some(date),
        };
        return Ok((refused, Ok(())));
    }
    let metadata = temp.set_modified(held.next()?)?;
    let directory = temp.land(root, path, files::sync_directory)?;
    let answer = StoreResponse {
        value: Put::Done(etag(&metadata)),
        date: Some(modified(&metadata)),
    };
    // An unconditional put writes a key that no other writer builds on. Release the lock before the sync, so that other
    // operations do not wait for the disk.
    let held = (*mode != PutMode::Overwrite).then_some(held);
    let synced = files::sync_directory(directory);
    drop(held);
    Ok((answer, synced))
}

/// Whether the condition of a put holds. The caller holds the lock.
fn condition_holds(mode: &PutMode, path: &Path) -> io::Result<bool> {
    let there = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Some(etag(&metadata)),
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(match mode {
        PutMode::Overwrite => true,
        PutMode::Create => there.is_none(),
        PutMode::Update(base) => there.as_ref() == Some(base),
    })
}

#[cfg(test)]
mod tests;
