//! Compares the files of an export with its manifest.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use neap_bucket::read_limited_text;

use super::{
    ExportError, ExportFormat, ExportResult,
    directory::{CHECKSUMS, MANIFEST, MAX_FILE_BYTES, PARTIAL, checksums, read_manifest},
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

/// Compares each file of an export with its checksum, its size and its number of rows, and the list of checksums with that
/// of the export. Reports differences and files that do not belong to the export.
///
/// # Errors
/// There is no complete export, a directory can't be read, or there are differences.
pub(crate) fn verify(root: &Path, mut report: impl FnMut(&str)) -> ExportResult<VerifyStats> {
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
    for difference in list_differences(root, &manifest.parts) {
        differences += 1;
        report(&format!("{CHECKSUMS}: {difference}"));
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

/// Returns how the list of checksums, with which others verify the export, differs from the manifest.
fn list_differences(root: &Path, parts: &[PartRecord]) -> BTreeSet<String> {
    let list = match read_limited_text(&root.join(CHECKSUMS), MAX_FILE_BYTES) {
        Ok(list) => list,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return BTreeSet::from(["it is missing".to_owned()]);
        }
        Err(error) => return BTreeSet::from([error.to_string()]),
    };
    let expected_list = checksums(parts);
    let listed: BTreeSet<&str> = list.lines().collect();
    let exported: BTreeSet<&str> = expected_list.lines().collect();
    let differing = listed.symmetric_difference(&exported);
    let described = differing.map(|line| {
        let path = line.split_once("  ").map_or(*line, |(_, path)| path);
        format!("the checksum of '{path}' is another one, or missing")
    });
    described.collect()
}

/// Visits all files below a directory. Symbolic links are not followed.
fn visit_files(root: &Path, directory: &Path, visit: &mut impl FnMut(PathBuf)) -> ExportResult {
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

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::export::{
        TimeRange,
        manifest::{ExportManifest, request},
    };

    /// Creates an export of two files.
    fn export(root: &Path) {
        let mut manifest = ExportManifest::new(request());
        manifest.request.format = ExportFormat::Lp;
        for name in ["a.lp", "b.lp"] {
            fs::write(root.join(name), name).unwrap();
            let part = PartRecord {
                table: None,
                times: TimeRange::ALL,
                path: Some(name.to_owned()),
                rows: 1,
                bytes: 4,
                sha256: hex::encode(Sha256::digest(name)),
            };
            manifest.add(part).unwrap();
        }
        manifest.complete = true;
        fs::write(root.join(MANIFEST), manifest.encode().unwrap()).unwrap();
        fs::write(root.join(CHECKSUMS), checksums(&manifest.parts)).unwrap();
    }

    fn differences(root: &Path) -> Vec<String> {
        let mut reported = Vec::new();
        let verified = verify(root, |difference| reported.push(difference.to_owned()));
        assert_eq!(verified.is_ok(), reported.is_empty());
        reported
    }

    #[test]
    fn the_list_of_checksums_is_part_of_the_export() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        export(root);
        assert!(differences(root).is_empty());
        let list = root.join(CHECKSUMS);
        let sums = fs::read_to_string(&list).unwrap();
        let second = sums.lines().nth(1).unwrap();
        let of =
            |path: &str| format!("SHA256SUMS: the checksum of '{path}' is another one, or missing");
        let zeros = "0".repeat(64);
        for (changed, expected) in [
            (second.to_owned(), vec![of("a.lp")]),
            (format!("{zeros}  a.lp\n{second}\n"), vec![of("a.lp")]),
            (format!("{sums}{zeros}  c.lp\n"), vec![of("c.lp")]),
            (String::new(), vec![of("a.lp"), of("b.lp")]),
        ] {
            fs::write(&list, &changed).unwrap();
            assert_eq!(differences(root), expected, "{changed}");
        }
        fs::remove_file(&list).unwrap();
        assert_eq!(differences(root), ["SHA256SUMS: it is missing"]);
    }
}
