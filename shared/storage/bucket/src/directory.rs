//! A store in a directory: one file for each object, safe between processes and across a power failure.
//!
//! ```text
//! <root>/<key>            objects
//! <root>/.neap/clocks/    the newest time that each process issued, see `clock`
//! <root>/.neap/tmp/       files that are being written, and updates in progress, see `conditional_update`
//!
//! put:   write and fsync a temporary file, set its modification time
//!        rename, or link to a new name, or choose it as the successor of a version and rename it
//!        read the time of the answer | fsync the directory | for a conditional put: record that it is durable
//! ```
//!
//! No operation holds a lock, so a process that is suspended or killed at any point stops no other one.
//!
//! A put reads the time of its answer after the object is in place, and a listing or a read before it starts. Therefore
//! every put at or before the `Date` of a listing or a read is in its result. The modification times of the versions of an
//! object strictly increase.

mod access;
mod clock;
mod conditional_update;
mod durable_directories;
mod file_version;
mod files;
mod listing;
mod listing_cache;
mod open_directory;
mod own_directory;
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

pub(crate) use self::uploads::DirectoryUpload;
pub use self::{
    access::{DirectoryAccess, ExposedDirectory},
    clock::DirectoryTime,
};
use self::{
    clock::DirectoryClock,
    durable_directories::DurableDirectories,
    file_version::{UNSETTLED_NANOS, etag, modified},
    files::TempFile,
    listing::PageRequest,
    listing_cache::ListingCache,
    open_directory::OpenDirectory,
    own_directory::OWN_DIRECTORY,
    read_batch::ReadQueue,
};
use crate::{
    Get, GetOptions, ListPage, ListRequest, Object, Operation, Put, PutMode, Store, StoreError,
    StoreResponse, StoreTime, World,
};

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
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use bytes::Bytes;
/// use neap_bucket::{DirectoryStore, Put, PutMode, Store, World};
///
/// let folder = tempfile::tempdir()?;
/// let store = DirectoryStore::open(folder.path().join("data"), &World::system())?;
/// store.put("catalog", Bytes::from_static(b"1"), PutMode::Create).await?;
/// let answer = store.put("catalog", Bytes::from_static(b"2"), PutMode::Create).await?;
/// assert_eq!(answer.value, Put::Refused);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DirectoryStore {
    open: Arc<OpenDirectory>,
    world: World,
    page_keys: usize,
    listings: Arc<ListingCache>,
    small_reads: ReadQueue,
}

impl DirectoryStore {
    /// Opens a directory to which only its owner has access. Creates it if it is missing, and removes temporary files
    /// older than one hour.
    ///
    /// Fails if the directory is not writable, has no locks or hard links, or does not keep modification times to the
    /// nanosecond.
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
        if let Some(above) = root.parent().filter(|above| !above.as_os_str().is_empty()) {
            fs::create_dir_all(above)?;
        }
        access.create_missing_directory(root)?;
        let root = root.canonicalize()?;
        let own = root.join(OWN_DIRECTORY);
        let (temporary, clocks) = (own.join("tmp"), own.join(clock::CLOCKS));
        for directory in [&own, &temporary, &clocks] {
            access.create_missing_directory(directory)?;
        }
        files::sync(&BTreeSet::from([root.clone(), own]))?;
        let new_name = || temporary.join(draw_name(world));
        // Its age is measured by the clock that also gave other files their times.
        let probe = TempFile::write(new_name(), b"", access)?;
        let now = modified(&probe.metadata()?);
        check_file_system(&probe, &new_name())?;
        // The next update of the object puts a successor into place.
        let is_kept = conditional_update::is_successor;
        files::remove_older(&temporary, now.minus(ABANDONED_AGE), is_kept)?;
        let clock = DirectoryClock::open(clocks, &new_name(), access, world)?;
        Ok(Self {
            open: Arc::new(OpenDirectory {
                root,
                temporary,
                access,
                clock,
                durable: DurableDirectories::default(),
            }),
            world: world.clone(),
            page_keys: PAGE_KEYS,
            listings: Arc::new(ListingCache::new()),
            small_reads: ReadQueue::default(),
        })
    }

    /// Returns the same store with at most `page_keys` keys on a page of a listing.
    pub fn with_page_keys(self, page_keys: usize) -> Self {
        Self { page_keys: page_keys.max(1), ..self }
    }

    /// Returns the name of a new temporary file for a put.
    fn temporary_path(&self, mode: &PutMode) -> PathBuf {
        let nonce = draw_name(&self.world);
        let name = match mode {
            PutMode::Update(version) => conditional_update::candidate_name(version, &nonce),
            PutMode::Create | PutMode::Overwrite | PutMode::OverwriteIn(_) => nonce,
        };
        self.open.temporary.join(name)
    }

    /// Returns the file of a key; `None` for keys that do not name a file of their own below the root.
    fn path(&self, key: &str) -> Option<PathBuf> {
        let usable = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        let own = key.split('/').next() == Some(OWN_DIRECTORY);
        (!own && key.split('/').all(usable)).then(|| self.open.root.join(key))
    }

    /// Puts a temporary file into place if the condition holds.
    async fn land(
        &self,
        task: OperationContext<'_>,
        temp: TempFile,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        let Some(path) = self.path(task.1) else {
            return Err(task.rejected("no file can have this name"));
        };
        let open = Arc::clone(&self.open);
        let (value, date) = task.blocking(move || open.place(&path, temp, &mode)).await?;
        let date = date.map_err(|error| task.unavailable(error))?;
        Ok(StoreResponse { value, date: Some(date) })
    }
}

fn draw_name(world: &World) -> String {
    format!("{:032x}", world.entropy.next_u128())
}

/// Checks that the file system has what the store needs, with a file and an unused name.
fn check_file_system(probe: &TempFile, unused: &Path) -> io::Result<()> {
    let fine = StoreTime::from_micros(1_700_000_000_123_457);
    let kept = probe.set_unsettled(fine)?;
    if modified(&kept) != fine || kept.mtime_nsec() % 1000 != UNSETTLED_NANOS {
        return Err(io::Error::other(
            "its file system does not keep modification times to the nanosecond",
        ));
    }
    fs::hard_link(probe.path(), unused)
        .and_then(|()| fs::remove_file(unused))
        .map_err(|error| io::Error::other(format!("its file system has no hard links ({error})")))
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
        let answer = store.small_reads.read(&store.open, work).await;
        answer.map_err(|error| self.failed(error))
    }
}

#[async_trait]
impl Store for DirectoryStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        let task = OperationContext(Operation::Get, key);
        let path = self.path(key);
        let is_whole = options.range.is_none();
        let open = Arc::clone(&self.open);
        let begin = move || match path {
            Some(path) => begin_read(&open, &path, options),
            None => Ok(ObjectRead::MISSING),
        };
        // Most of these objects still have the known version, are missing or are small.
        if is_whole {
            let StoreResponse { value, date } = task.small_read(self, begin).await?;
            let value = match value {
                ObjectRead::Done(value) => value,
                ObjectRead::Open(object) => task.blocking(move || object.read()).await?,
            };
            return Ok(StoreResponse { value, date });
        }
        let open = Arc::clone(&self.open);
        task.blocking(move || {
            let date = open.clock.now()?;
            let value = match begin()? {
                ObjectRead::Done(value) => value,
                ObjectRead::Open(object) => object.read()?,
            };
            Ok(StoreResponse { value, date: Some(date) })
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
        let temporary = self.temporary_path(&mode);
        let access = self.open.access;
        let temp = task.blocking(move || TempFile::write(temporary, &body, access)).await?;
        self.land(task, temp, mode).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        let task = OperationContext(Operation::List, request.prefix);
        let after = request
            .start_after
            .max(request.page_token.as_deref())
            .unwrap_or_default()
            .to_owned();
        let (open, prefix) = (Arc::clone(&self.open), request.prefix.to_owned());
        let (page_keys, listings) = (self.page_keys, Arc::clone(&self.listings));
        task.small_read(self, move || {
            let page = PageRequest { root: &open.root, prefix: &prefix, after: &after, page_keys };
            listing::page(page, &listings, listings.now())
        })
        .await
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        let first = keys.first().map_or("", String::as_str);
        let task = OperationContext(Operation::Delete, first);
        let paths: Vec<_> = keys.iter().filter_map(|key| self.path(key)).collect();
        let open = Arc::clone(&self.open);
        task.blocking(move || {
            let date = open.clock.now()?;
            let mut changed = BTreeSet::new();
            for path in &paths {
                changed.extend(files::remove(&open.root, path)?);
            }
            files::sync(&changed)?;
            Ok(StoreResponse { value: (), date: Some(date) })
        })
        .await
    }

    fn is_sorted(&self) -> bool {
        true
    }

    fn recent_leap(&self) -> Option<Duration> {
        self.open.clock.recent_leap()
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
fn begin_read(open: &OpenDirectory, path: &Path, options: GetOptions) -> io::Result<ObjectRead> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => {
            let absent =
                matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
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
    open.settle(path, &file, &metadata)?;
    if options.if_none_match == Some(etag(&metadata)) {
        return Ok(ObjectRead::Done(Get::Unchanged));
    }
    let length = metadata.len();
    let Range { start, end } = options.range.unwrap_or(0..length);
    let end = end.min(length);
    let object = OpenObject { file, metadata, range: start.min(end)..end };
    if length <= SMALL_OBJECT_BYTES {
        object.read().map(ObjectRead::Done)
    } else {
        Ok(ObjectRead::Open(object))
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

#[cfg(test)]
mod tests;
