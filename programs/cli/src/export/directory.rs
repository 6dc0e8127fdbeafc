//! The directory of an export.

use std::{
    collections::HashSet,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use neap_bucket::{World, read_limited_file};

use super::{
    ExportError, ExportRequest, ExportResult,
    manifest::{ExportManifest, PartRecord},
    part_file::PartFile,
    table_folders::is_part_path,
};
use crate::owner_only;

/// The name of the manifest.
pub(super) const MANIFEST: &str = "export.json";

/// The name of the file with checksums, in the format of `sha256sum`.
pub(super) const CHECKSUMS: &str = "SHA256SUMS";

/// Maximum size in bytes of the manifest and of the file with checksums: several millions of files.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 30;

/// The directory of files that are being written.
pub(super) const PARTIAL: &str = ".partial";

/// Minimum time between two writes of the manifest. An export that is killed repeats the parts of that time.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// The directory of an export that is running, which no other process uses.
#[derive(Debug)]
pub(super) struct ExportDirectory {
    root: PathBuf,
    manifest: ExportManifest,
    world: World,
    /// The monotonic time at which the manifest was written last.
    saved: Duration,
    is_changed: bool,
    next_temporary: u64,
    /// Locked until the export ends.
    _lock: File,
}

impl ExportDirectory {
    /// Opens a directory: creates it, or continues the export in it.
    ///
    /// # Errors
    /// The directory has another export or other files, another process uses it, or it is not writable.
    pub(super) fn open(root: &Path, request: ExportRequest, world: &World) -> ExportResult<Self> {
        let shown = root.display().to_string();
        let manifest_path = root.join(MANIFEST);
        let existing = read_manifest(&manifest_path)?;
        if existing.is_none() && has_files(root)? {
            return Err(ExportError::ForeignFiles(shown));
        }
        let partial = root.join(PARTIAL);
        let created = owner_only::create_directories(&partial, &owner_only::sync_directory);
        created.map_err(|error| ExportError::of_file(&partial, error))?;
        let lock = lock(&partial, &shown)?;
        let manifest = match existing {
            None => ExportManifest::new(request),
            Some(manifest) => {
                manifest.check(&request, &shown)?;
                manifest
            }
        };
        let mut directory = Self {
            root: root.to_owned(),
            manifest,
            world: world.clone(),
            saved: world.clock.monotonic(),
            is_changed: false,
            next_temporary: 0,
            _lock: lock,
        };
        directory.remove_partial()?;
        directory.forget_missing_files();
        directory.save()?;
        Ok(directory)
    }

    pub(super) fn manifest(&self) -> &ExportManifest {
        &self.manifest
    }

    /// The directory.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the file of a path of the manifest.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(super) fn temporary_file(&mut self) -> ExportResult<PartFile> {
        self.next_temporary += 1;
        let name = self.next_temporary.to_string();
        PartFile::create(self.root.join(PARTIAL).join(name))
    }

    /// Sets the stamp as of which all parts are, and removes the parts of another stamp.
    pub(super) fn set_as_of(&mut self, as_of: Option<u64>) -> ExportResult {
        if self.manifest.as_of != as_of {
            for part in std::mem::take(&mut self.manifest.parts) {
                let Some(path) = &part.path else { continue };
                remove(&self.root.join(path))?;
            }
            self.manifest.as_of = as_of;
        }
        self.save()
    }

    /// Records a finished part.
    pub(super) fn add(&mut self, part: PartRecord) -> ExportResult {
        self.manifest.add(part)?;
        self.is_changed = true;
        let now = self.world.clock.monotonic();
        if now.saturating_sub(self.saved) >= SAVE_INTERVAL {
            self.save()
        } else {
            Ok(())
        }
    }

    /// Writes the manifest.
    pub(super) fn save(&mut self) -> ExportResult {
        let path = self.root.join(MANIFEST);
        let text = self
            .manifest
            .encode()
            .map_err(|reason| ExportError::Manifest { path: path.display().to_string(), reason })?;
        owner_only::replace_file(&path, &text)
            .map_err(|error| ExportError::of_file(&path, error))?;
        self.is_changed = false;
        self.saved = self.world.clock.monotonic();
        Ok(())
    }

    /// Writes the manifest if it has changed, for an export that ends early.
    pub(super) fn save_if_changed(&mut self) {
        if self.is_changed
            && let Err(error) = self.save()
        {
            tracing::warn!(%error, "the manifest of an export could not be written");
        }
    }

    /// Marks the export as complete, and writes the checksums.
    pub(super) fn complete(&mut self) -> ExportResult {
        self.manifest.parts.sort_by(|one, other| {
            let key = |part: &PartRecord| (part.table.clone(), part.times);
            key(one).cmp(&key(other))
        });
        self.remove_strays()?;
        let checksums = checksums(&self.manifest.parts);
        let path = self.root.join(CHECKSUMS);
        owner_only::replace_file(&path, checksums.as_bytes())
            .map_err(|error| ExportError::of_file(&path, error))?;
        self.manifest.complete = true;
        self.save()?;
        self.remove_partial()?;
        let partial = self.root.join(PARTIAL);
        remove(&partial.join(LOCK))?;
        fs::remove_dir(&partial).map_err(|error| ExportError::of_file(&partial, error))
    }

    /// Removes the temporary files of an export that was killed.
    fn remove_partial(&self) -> ExportResult {
        let partial = self.root.join(PARTIAL);
        let failed = |error| ExportError::of_file(&partial, error);
        for entry in fs::read_dir(&partial).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.file_name().is_some_and(|name| name != LOCK) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Removes files with names of parts that the manifest does not have: those of a state that the export began with
    /// before, or of a process that was killed before it wrote the manifest. Readers would take them for rows.
    fn remove_strays(&self) -> ExportResult {
        let request = &self.manifest.request;
        let extension = request.format.extension(request.compression);
        // The file system may not tell upper from lower case.
        let paths = self.manifest.parts.iter().filter_map(|part| part.path.as_ref());
        let expected: HashSet<String> = paths.map(|path| path.to_ascii_lowercase()).collect();
        for folder in directories(&self.root)? {
            for day in directories(&folder)? {
                for file in entries(&day)? {
                    let Ok(relative) = file.strip_prefix(&self.root) else {
                        continue;
                    };
                    let Some(relative) = relative.to_str() else {
                        continue;
                    };
                    let is_stray = is_part_path(relative, &extension)
                        && !expected.contains(&relative.to_ascii_lowercase());
                    if is_stray {
                        remove(&file)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Forgets the parts whose files are gone or have another size, so that they are exported again.
    fn forget_missing_files(&mut self) {
        let root = &self.root;
        let before = self.manifest.parts.len();
        self.manifest.parts.retain(|part| match &part.path {
            None => true,
            Some(path) => {
                let metadata = fs::metadata(root.join(path));
                metadata.is_ok_and(|metadata| metadata.len() == part.bytes)
            }
        });
        if self.manifest.parts.len() != before {
            self.manifest.complete = false;
        }
    }
}

/// The name of the file that a running export locks.
const LOCK: &str = "lock";

fn lock(partial: &Path, shown: &str) -> ExportResult<File> {
    let path = partial.join(LOCK);
    let failed = |error| ExportError::of_file(&path, error);
    let file = owner_only::create_file(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ExportError::InUse(shown.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Reads a manifest; `None` if there is none.
///
/// # Errors
/// The file can't be read or is not a manifest.
pub(super) fn read_manifest(path: &Path) -> ExportResult<Option<ExportManifest>> {
    let text = match read_limited_file(path, MAX_FILE_BYTES) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ExportError::of_file(path, error)),
    };
    let manifest = ExportManifest::decode(&text);
    manifest
        .map(Some)
        .map_err(|reason| ExportError::Manifest { path: path.display().to_string(), reason })
}

/// Whether a directory has files. The directory for temporary files does not count.
fn has_files(root: &Path) -> ExportResult<bool> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(ExportError::of_file(root, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| ExportError::of_file(root, error))?;
        if entry.file_name() != PARTIAL {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the paths in a directory.
fn entries(directory: &Path) -> ExportResult<Vec<PathBuf>> {
    let failed = |error| ExportError::of_file(directory, error);
    let entries = fs::read_dir(directory).map_err(failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed));
    paths.collect()
}

/// Returns the directories in a directory. Symbolic links are not followed.
fn directories(directory: &Path) -> ExportResult<Vec<PathBuf>> {
    let mut paths = entries(directory)?;
    paths.retain(|path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()));
    Ok(paths)
}

/// Removes a file, unless there is none.
fn remove(path: &Path) -> ExportResult {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ExportError::of_file(path, error))
        }
        _ => Ok(()),
    }
}

/// Returns the checksums of all files in the format of `sha256sum`.
pub(super) fn checksums(parts: &[PartRecord]) -> String {
    let lines = parts.iter().filter_map(|part| {
        let path = part.path.as_ref()?;
        Some(format!("{}  {path}\n", part.sha256))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{ExportFormat, TimeRange, manifest::request, table_folders::table_folders};

    fn part_path(table: &str, times: TimeRange, extension: &str) -> String {
        let tables = table_folders(vec![table.to_owned()], &[]);
        tables[0].part_path(times, extension)
    }

    fn open(root: &Path) -> ExportResult<ExportDirectory> {
        ExportDirectory::open(root, request(), &World::system())
    }

    fn part(directory: &mut ExportDirectory, table: &str) -> PartRecord {
        let path = part_path(table, TimeRange { first: 0, last: 9 }, "parquet");
        let mut file = directory.temporary_file().unwrap();
        io::Write::write_all(&mut file, b"x").unwrap();
        let digest = file.move_to(directory.root(), &directory.file(&path)).unwrap();
        PartRecord {
            table: Some(table.to_owned()),
            times: TimeRange { first: 0, last: 9 },
            path: Some(path),
            rows: 1,
            bytes: digest.bytes,
            sha256: digest.sha256,
        }
    }

    #[test]
    fn an_interrupted_export_continues_with_its_finished_parts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("new/export");
        let mut directory = open(&root).unwrap();
        directory.set_as_of(Some(7)).unwrap();
        for table in ["a", "b"] {
            let part = part(&mut directory, table);
            directory.add(part).unwrap();
        }
        directory.save_if_changed();
        // The process is killed while it writes a file.
        fs::write(root.join(PARTIAL).join("9"), "half").unwrap();
        drop(directory);
        fs::remove_file(root.join("b/day=1970-01-01/part-00000000000000.parquet")).unwrap();

        let mut again = open(&root).unwrap();
        assert_eq!(again.manifest().as_of, Some(7));
        assert_eq!(again.manifest().finished("a").len(), 1);
        assert_eq!(again.manifest().finished("b").len(), 0);
        assert!(!root.join(PARTIAL).join("9").exists());
        again.complete().unwrap();
        let sums = fs::read_to_string(root.join(CHECKSUMS)).unwrap();
        assert!(sums.ends_with("  a/day=1970-01-01/part-00000000000000.parquet\n"), "{sums}");
        assert!(!root.join(PARTIAL).exists());
    }

    #[test]
    fn another_stamp_discards_the_parts() {
        let folder = tempfile::tempdir().unwrap();
        let mut directory = open(folder.path()).unwrap();
        directory.set_as_of(Some(7)).unwrap();
        let part = part(&mut directory, "a");
        let path = directory.file(part.path.as_ref().unwrap());
        directory.add(part).unwrap();
        directory.set_as_of(Some(8)).unwrap();
        assert!(directory.manifest().parts.is_empty());
        assert!(!path.exists());
    }

    #[test]
    fn files_of_parts_that_the_manifest_does_not_have_are_removed_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut directory = open(folder.path()).unwrap();
        let kept = part(&mut directory, "a");
        let kept_path = kept.path.clone().unwrap();
        directory.add(kept).unwrap();
        let day = folder.path().join("a/day=1970-01-01");
        let [stray, notes] = ["part-00000000000007.parquet", "notes.parquet"];
        let temporary = directory.temporary_file().unwrap();
        temporary.move_to(folder.path(), &day.join(stray)).unwrap();
        fs::write(day.join(notes), "").unwrap();
        directory.complete().unwrap();
        assert!(!day.join(stray).exists());
        assert!(day.join(notes).exists());
        assert!(folder.path().join(kept_path).exists());
    }

    #[test]
    fn only_the_owner_has_access_to_an_export() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("new/export");
        let mut directory = open(&root).unwrap();
        let part = part(&mut directory, "a");
        let file = directory.file(part.path.as_ref().unwrap());
        directory.add(part).unwrap();
        directory.complete().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for private in [&file, &root.join(MANIFEST), &root.join(CHECKSUMS)] {
            assert_eq!(mode(private), 0o600, "{}", private.display());
        }
        let folders = file.ancestors().skip(1).take(4);
        for private in folders {
            assert_eq!(mode(private), 0o700, "{}", private.display());
        }
    }

    #[test]
    fn directories_with_other_files_or_in_use_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x"), "").unwrap();
        assert!(matches!(open(folder.path()), Err(ExportError::ForeignFiles(_))));
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path()).unwrap();
        assert!(matches!(open(folder.path()), Err(ExportError::InUse(_))));
        drop(first);
        let other = ExportRequest { format: ExportFormat::Lp, ..request() };
        let other = ExportDirectory::open(folder.path(), other, &World::system());
        assert!(matches!(other, Err(ExportError::OtherExport { .. })));
        fs::write(folder.path().join(MANIFEST), "{").unwrap();
        assert!(matches!(open(folder.path()), Err(ExportError::Manifest { .. })));
    }
}
