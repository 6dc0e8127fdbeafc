//! Compares the files of an export with its manifest.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    ExportError, ExportFormat,
    directory::{CHECKSUMS, MANIFEST, PARTIAL, read_manifest},
    encode::parquet_rows,
    manifest::PartRecord,
    part_file::digest,
};

/// The totals of a verified export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VerifyStats {
    /// The number of files.
    pub(crate) files: u64,
    /// The number of rows.
    pub(crate) rows: u64,
    /// The number of bytes.
    pub(crate) bytes: u64,
}

/// Compares each file of an export with its checksum, its size and its number of rows, and reports differences and files
/// that do not belong to the export.
///
/// # Errors
/// There is no complete export, a directory can't be read, or there are differences.
pub(crate) fn verify(
    root: &Path,
    mut report: impl FnMut(&str),
) -> Result<VerifyStats, ExportError> {
    let shown = root.display().to_string();
    let manifest =
        read_manifest(&root.join(MANIFEST))?.ok_or_else(|| ExportError::NoExport(shown.clone()))?;
    if !manifest.complete {
        return Err(ExportError::Incomplete(shown));
    }
    let mut stats = VerifyStats::default();
    let mut differences = 0;
    let mut expected = BTreeSet::new();
    for part in &manifest.parts {
        let Some(path) = &part.path else { continue };
        let file = root.join(path);
        let is_parquet = manifest.request.format == ExportFormat::Parquet;
        if let Some(difference) = difference(&file, part, is_parquet) {
            differences += 1;
            report(&format!("{path}: {difference}"));
        }
        expected.insert(file);
        stats.files += 1;
        stats.rows = stats.rows.saturating_add(part.rows);
        stats.bytes = stats.bytes.saturating_add(part.bytes);
    }
    for name in [MANIFEST, CHECKSUMS] {
        expected.insert(root.join(name));
    }
    visit_files(root, root, &mut |file| {
        if !expected.contains(&file) {
            differences += 1;
            report(&format!("{}: it is not part of the export", file.display()));
        }
    })?;
    match differences {
        0 => Ok(stats),
        differences => Err(ExportError::Different(differences)),
    }
}

/// Returns how a file differs from its record.
fn difference(file: &Path, part: &PartRecord, is_parquet: bool) -> Option<String> {
    let found = match digest(file) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Some("it is missing".to_owned());
        }
        Err(error) => return Some(error.to_string()),
    };
    if found.bytes != part.bytes {
        let (expected, found) = (part.bytes, found.bytes);
        return Some(format!("it has {found} bytes instead of {expected}"));
    }
    if found.sha256 != part.sha256 {
        return Some("its checksum is another one".to_owned());
    }
    let rows = is_parquet.then(|| parquet_rows(file, found.bytes))?;
    match rows {
        Ok(rows) if rows == part.rows => None,
        Ok(rows) => Some(format!("it has {rows} rows instead of {}", part.rows)),
        Err(error) => Some(error.to_string()),
    }
}

/// Visits all files below a directory. Symbolic links are not followed.
fn visit_files(
    root: &Path,
    directory: &Path,
    visit: &mut impl FnMut(PathBuf),
) -> Result<(), ExportError> {
    let failed = |error| ExportError::of_file(directory, error);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if !entry.file_type().map_err(failed)?.is_dir() {
            visit(path);
        } else if directory != root || entry.file_name() != PARTIAL {
            visit_files(root, &path, visit)?;
        }
    }
    Ok(())
}
