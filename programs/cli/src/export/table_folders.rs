//! The paths of exported files.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest, Sha256};

use super::{TimeRange, manifest::PartRecord};

/// Names in the directory of an export that no table can have.
const RESERVED: [&str; 4] = ["export.json", "export.json.new", "sha256sums", "sha256sums.new"];

/// The number of digits of the offset in the name of a part: that of the nanoseconds of a day.
const OFFSET_DIGITS: usize = 14;

/// Maximum bytes of a folder's name without a suffix such as `~2`. File systems allow 255 bytes with it.
const MAX_FOLDER_BYTES: usize = 230;

/// The number of hexadecimal digits of the checksum that stands for the end of a long name.
const CHECKSUM_DIGITS: usize = 16;

/// A table and the folder of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExportTable {
    pub(super) name: String,
    /// The folder below the directory of the export.
    folder: String,
}

impl ExportTable {
    /// Returns the path of a slice, relative to the directory of the export.
    pub(super) fn part_path(&self, times: TimeRange, extension: &str) -> String {
        let (folder, day, offset) = (&self.folder, times.day(), times.offset_nanos());
        format!("{folder}/day={day}/part-{offset:0OFFSET_DIGITS$}.{extension}")
    }
}

/// Gives each table a folder of its own, also on file systems that do not tell upper from lower case: a table whose
/// folder another one has gets a suffix such as `~2`. Tables of finished parts keep their folder.
pub(super) fn table_folders(mut names: Vec<String>, finished: &[PartRecord]) -> Vec<ExportTable> {
    names.sort();
    names.dedup();
    let folders = finished.iter().filter_map(|part| {
        let (folder, _) = part.path.as_ref()?.split_once('/')?;
        Some((part.table.as_deref()?, folder))
    });
    let kept: BTreeMap<&str, &str> = folders.collect();
    let mut used: HashSet<String> = RESERVED.map(str::to_owned).into();
    used.extend(kept.values().map(|folder| folder.to_ascii_lowercase()));
    let tables = names.into_iter().map(|name| {
        let folder = match kept.get(name.as_str()) {
            Some(folder) => (*folder).to_owned(),
            None => unused(&folder_name(&name), &mut used),
        };
        ExportTable { name, folder }
    });
    tables.collect()
}

/// Returns the folder with the first suffix that makes it unused. No escaped name has `~`.
fn unused(folder: &str, used: &mut HashSet<String>) -> String {
    let mut candidate = folder.to_owned();
    let mut number = 1_u64;
    while !used.insert(candidate.to_ascii_lowercase()) {
        number += 1;
        candidate = format!("{folder}~{number}");
    }
    candidate
}

/// Whether a path relative to the directory of an export is one that only an export gives its files.
pub(super) fn is_part_path(path: &str, extension: &str) -> bool {
    let mut parts = path.split('/');
    let [Some(_), Some(day), Some(file), None] = std::array::from_fn(|_| parts.next()) else {
        return false;
    };
    let offset = file
        .strip_prefix("part-")
        .and_then(|file| file.strip_suffix(extension)?.strip_suffix('.'));
    let is_offset =
        |text: &str| text.len() == OFFSET_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    day.starts_with("day=") && offset.is_some_and(is_offset)
}

/// Returns the escaped name of a table. If it is too long for a file system, `~` and a checksum of the name replace its
/// end, so that the same table has the same folder in each export.
fn folder_name(name: &str) -> String {
    let escaped = escape(name);
    if escaped.len() <= MAX_FOLDER_BYTES {
        return escaped;
    }
    let begin: String = escaped.chars().take(MAX_FOLDER_BYTES - CHECKSUM_DIGITS - 1).collect();
    // An escape that is cut through would be another character, or none.
    let whole: &str = match begin.rfind('%') {
        Some(at) if at + 3 > begin.len() => begin.get(..at).unwrap_or_default(),
        _ => &begin,
    };
    let checksum = hex::encode(Sha256::digest(name));
    format!("{whole}~{checksum:.CHECKSUM_DIGITS$}")
}

/// Returns a name that is a plain file name on every system: letters, digits, `-`, `_` and inner dots as they are, and
/// all other bytes as `%XX`.
fn escape(name: &str) -> String {
    let mut escaped = String::new();
    for (at, byte) in name.bytes().enumerate() {
        let is_plain =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && at > 0);
        if is_plain {
            escaped.push(char::from(byte))
        } else {
            escaped.push_str(&format!("%{byte:02X}"))
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(names: &[&str], finished: &[PartRecord]) -> Vec<(String, String)> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let tables = table_folders(names, finished).into_iter();
        tables.map(|table| (table.name, table.folder)).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let pairs = expected.iter().copied();
        pairs.map(|(name, folder)| (name.to_owned(), folder.to_owned())).collect()
    }

    #[test]
    fn tables_of_any_name_have_a_directory_of_their_own() {
        assert_eq!(escape("cpu_1.5-x"), "cpu_1.5-x");
        assert_eq!(escape("../a/b"), "%2E.%2Fa%2Fb");
        assert_eq!(escape(".."), "%2E.");
        assert_eq!(escape("%41 ä"), "%2541%20%C3%A4");
    }

    #[test]
    fn a_folder_fits_into_a_file_system_however_long_the_name_of_its_table_is() {
        for unit in ["a", "é", "表", "😀"] {
            for length in [1, 29, 76, 77, 229, 230, 231, 5_000] {
                let name = format!("x{}", unit.repeat(length));
                let folder = folder_name(&name);
                assert!(folder.len() <= MAX_FOLDER_BYTES, "{folder}");
                assert_eq!(folder, folder_name(&name));
                let begin = folder.split('~').next().unwrap();
                assert!(escape(&name).starts_with(begin), "{folder}");
                assert!(begin.split('%').skip(1).all(|digits| digits.len() == 2), "{folder}");
                assert_ne!(folder, folder_name(&format!("{name}{unit}")));
            }
        }
        let [one, other] = ["A", "a"].map(|end| format!("{}{end}", "a".repeat(300)));
        assert_ne!(folder_name(&one), folder_name(&other));
        assert!(folder_name(&"表".repeat(29)).contains('~'));
    }

    #[test]
    fn folders_differ_in_more_than_upper_and_lower_case() {
        let expected = [("CPU", "CPU"), ("Cpu", "Cpu~2"), ("cpu", "cpu~3")];
        assert_eq!(folders(&["cpu", "CPU", "Cpu", "cpu"], &[]), pairs(&expected));
        let expected = [("cpu~2", "cpu%7E2"), ("export.json", "export.json~2")];
        assert_eq!(folders(&["export.json", "cpu~2"], &[]), pairs(&expected));
    }

    #[test]
    fn a_table_keeps_the_folder_of_its_finished_parts() {
        let finished = PartRecord {
            table: Some("cpu".to_owned()),
            times: TimeRange::ALL,
            path: Some("cpu/day=2026-11-01/part-00000000000000.csv".to_owned()),
            rows: 1,
            bytes: 1,
            sha256: String::new(),
        };
        let expected = [("CPU", "CPU~2"), ("cpu", "cpu")];
        assert_eq!(folders(&["cpu", "CPU"], &[finished]), pairs(&expected));
    }

    #[test]
    fn only_paths_of_parts_are_recognized_as_such() {
        let [table] = &table_folders(vec!["a/b".to_owned()], &[])[..] else {
            panic!("one table has one folder");
        };
        let path = table.part_path(TimeRange { first: 5, last: 9 }, "csv.gz");
        assert_eq!(path, "a%2Fb/day=1970-01-01/part-00000000000005.csv.gz");
        assert!(is_part_path(&path, "csv.gz"));
        for other in [
            "export.json",
            "a/part-00000000000005.csv",
            "a/day=1970-01-01/notes.csv",
            "a/day=1970-01-01/part-5.csv",
            "a/day=1970-01-01/part-0000000000000x.csv",
            "a/day=1970-01-01/part-00000000000005.parquet",
            "a/b/day=1970-01-01/part-00000000000005.csv",
        ] {
            assert!(!is_part_path(other, "csv"), "{other}");
        }
    }
}
