//! A cache on local disk for code from the bucket, with least-recently-used eviction.
//!
//! ```text
//! <cache folder>/neap-plugins-XXXX/   the folder of this process; removed when it ends
//!   .lock                             locked by the process; other processes remove folders without a lock holder
//!   <hash>/<name>                     a file, or a package
//! ```

use std::{
    collections::HashMap,
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use neap_bucket::CodeHash;
use tempfile::TempDir;

use super::{PluginCodeError, PluginSource, blocking_io::blocking};
use crate::PluginOnDisk;

const PREFIX: &str = "neap-plugins-";
const LOCK: &str = ".lock";
/// Returns the mode of the folder. Only the owner has access, because code may hold secrets and the parent folder is
/// often shared. Plugins of a server of root have another user, which enters the folder and can't list it: the paths of
/// code contain its hash.
fn folder_mode() -> u32 {
    if rustix::process::geteuid().is_root() {
        0o711
    } else {
        0o700
    }
}

/// The cache of plugin code on the disk of this process.
#[derive(Debug)]
pub(super) struct CodeCache(Arc<CodeCacheInner>);

#[derive(Debug)]
struct CodeCacheInner {
    parent: PathBuf,
    max_bytes: u64,
    laid: Mutex<CodeCacheState>,
}

#[derive(Debug, Default)]
struct CodeCacheState {
    home: Option<CacheFolder>,
    plugins: HashMap<(CodeHash, String), CachedPlugin>,
    bytes: u64,
    uses: u64,
}

#[derive(Debug)]
struct CachedPlugin {
    on_disk: PluginOnDisk,
    bytes: u64,
    last_use: u64,
}

/// The cache folder of this process.
#[derive(Debug)]
struct CacheFolder {
    folder: TempDir,
    _lock: File,
}

impl CodeCache {
    pub(super) fn new(parent: Option<PathBuf>, max_bytes: u64) -> Self {
        Self(Arc::new(CodeCacheInner {
            parent: parent.unwrap_or_else(std::env::temp_dir),
            max_bytes,
            laid: Mutex::default(),
        }))
    }

    pub(super) fn get(&self, hash: CodeHash, name: &str) -> Option<PluginOnDisk> {
        let mut laid = self.0.laid();
        laid.uses += 1;
        let uses = laid.uses;
        let plugin = laid.plugins.get_mut(&(hash, name.to_owned()))?;
        // Other programs may clean folders for temporary files.
        if !plugin.on_disk.path.exists() {
            return None;
        }
        plugin.last_use = uses;
        Some(plugin.on_disk.clone())
    }

    /// Writes code into the cache, atomically.
    /// Fails with `Io`.
    pub(super) async fn lay_down(
        &self,
        hash: CodeHash,
        name: String,
        files: Arc<PluginSource>,
    ) -> Result<PluginOnDisk, PluginCodeError> {
        let shared = Arc::clone(&self.0);
        blocking(move || {
            let laid = shared.lay_down(hash, &name, &files);
            laid.map_err(|error| PluginCodeError::Io(error.to_string()))
        })
        .await
    }
}

impl CodeCacheInner {
    fn laid(&self) -> MutexGuard<'_, CodeCacheState> {
        self.laid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lay_down(
        &self,
        hash: CodeHash,
        name: &str,
        files: &PluginSource,
    ) -> io::Result<PluginOnDisk> {
        let home = self.home()?;
        let new = tempfile::tempdir_in(&home)?;
        let made = new.path().join(name);
        match files.file_name() {
            Some(_) => {
                let content = files.iter().next().map_or("", |(_, content)| content);
                fs::write(&made, content)?;
            }
            None => write_folder(&made, files)?,
        }
        let place = home.join(hash.to_string());
        fs::create_dir_all(&place)?;
        let path = place.join(name);
        match fs::rename(&made, &path) {
            Ok(()) => {}
            // Another task wrote the same files first.
            Err(_) if path.is_dir() => {}
            Err(error) => return Err(error),
        }
        let on_disk = PluginOnDisk { path, version: hash.to_string().into() };
        for gone in self.record((hash, name.to_owned()), &on_disk, files.bytes()) {
            remove(&gone)?;
        }
        Ok(on_disk)
    }

    /// Records a plugin in the cache, and returns the paths of the plugins to evict for it.
    fn record(&self, key: (CodeHash, String), on_disk: &PluginOnDisk, bytes: u64) -> Vec<PathBuf> {
        let mut laid = self.laid();
        laid.uses += 1;
        let plugin = CachedPlugin { on_disk: on_disk.clone(), bytes, last_use: laid.uses };
        let before = laid.plugins.insert(key.clone(), plugin);
        laid.bytes += bytes;
        laid.bytes -= before.map_or(0, |before| before.bytes);
        let mut gone = Vec::new();
        while laid.bytes > self.max_bytes {
            let others = laid.plugins.iter().filter(|(other, _)| **other != key);
            let oldest = others.min_by_key(|(_, plugin)| plugin.last_use);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            if let Some(plugin) = laid.plugins.remove(&oldest) {
                laid.bytes -= plugin.bytes;
                gone.push(plugin.on_disk.path);
            }
        }
        gone
    }

    fn home(&self) -> io::Result<PathBuf> {
        let mut laid = self.laid();
        if let Some(home) = &laid.home
            && home.folder.path().is_dir()
        {
            return Ok(home.folder.path().to_owned());
        }
        let home = CacheFolder::new(&self.parent)?;
        let path = home.folder.path().to_owned();
        laid.home = Some(home);
        Ok(path)
    }
}

impl CacheFolder {
    fn new(parent: &Path) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        remove_stale_folders(parent);
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(folder_mode()))
            .tempdir_in(parent)?;
        // The file is locked before it gets the name that other processes look for.
        let unnamed = folder.path().join(".locking");
        let lock = File::create(&unnamed)?;
        lock.lock()?;
        fs::rename(&unnamed, folder.path().join(LOCK))?;
        Ok(Self { folder, _lock: lock })
    }
}

/// Removes the folders of killed processes. A folder that can't be removed is logged and skipped.
fn remove_stale_folders(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let is_home = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let lock = is_home.then(|| File::open(entry.path().join(LOCK)));
        if let Some(Ok(lock)) = lock
            && lock.try_lock().is_ok()
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            let folder = entry.path();
            tracing::warn!(folder = %folder.display(), %error, "failed to remove the plugin code of an ended process");
        }
    }
}

fn write_folder(folder: &Path, files: &PluginSource) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (path, content) in files.iter() {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, content)?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::PluginSourceFile;

    fn package(text: &str) -> Arc<PluginSource> {
        let file = |path: &str, content: &str| PluginSourceFile {
            path: path.to_owned(),
            content: content.to_owned(),
        };
        let files = [file("__init__.py", text), file("deep/x.py", "x")];
        Arc::new(PluginSource::folder(files).unwrap())
    }

    async fn materialize(disk: &CodeCache, files: &Arc<PluginSource>) -> PluginOnDisk {
        let name = "pack".to_owned();
        disk.lay_down(files.hash(), name, Arc::clone(files)).await.unwrap()
    }

    #[tokio::test]
    async fn code_is_written_whole_under_its_name() {
        let parent = tempfile::tempdir().unwrap();
        let disk = CodeCache::new(Some(parent.path().to_owned()), 1 << 20);
        let files = package("text");
        assert_eq!(disk.get(files.hash(), "pack"), None);
        let laid = materialize(&disk, &files).await;
        assert_eq!(disk.get(files.hash(), "pack"), Some(laid.clone()));
        assert_eq!(materialize(&disk, &files).await, laid);
        assert!(laid.path.ends_with("pack"));
        let home = fs::read_dir(parent.path()).unwrap().next().unwrap().unwrap();
        let mode = home.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, folder_mode());
        assert_eq!(fs::read_to_string(laid.path.join("deep/x.py")).unwrap(), "x");
        let single = Arc::new(PluginSource::single("old.py", "y".to_owned()).unwrap());
        let name = "new.py".to_owned();
        let laid = disk.lay_down(single.hash(), name, single).await.unwrap();
        assert!(laid.path.ends_with("new.py"));
        assert_eq!(fs::read_to_string(laid.path).unwrap(), "y");
    }

    #[tokio::test]
    async fn least_recently_used_code_is_evicted_and_missing_code_is_written_again() {
        let parent = tempfile::tempdir().unwrap();
        let text = "x".repeat(399);
        let files = ["a", "b", "c"].map(|it| package(&format!("{it}{text}")));
        let disk = CodeCache::new(Some(parent.path().to_owned()), 1_000);
        let first = materialize(&disk, &files[0]).await;
        let second = materialize(&disk, &files[1]).await;
        assert!(disk.get(files[0].hash(), "pack").is_some());
        materialize(&disk, &files[2]).await;
        assert!(first.path.exists());
        assert!(!second.path.exists());
        assert_eq!(disk.get(files[1].hash(), "pack"), None);
        fs::remove_dir_all(&first.path).unwrap();
        assert_eq!(disk.get(files[0].hash(), "pack"), None);
        assert_eq!(materialize(&disk, &files[0]).await, first);
        assert!(disk.0.laid().bytes <= 1_000);
    }

    #[tokio::test]
    async fn only_folders_of_dead_processes_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join(format!("{PREFIX}dead"));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        let other = parent.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join(LOCK), "").unwrap();
        let alive = CodeCache::new(Some(parent.path().to_owned()), 1 << 20);
        let laid = materialize(&alive, &package("a")).await;
        let second = CodeCache::new(Some(parent.path().to_owned()), 1 << 20);
        materialize(&second, &package("a")).await;
        assert!(laid.path.exists() && other.exists() && !dead.exists());
        drop((alive, second));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
