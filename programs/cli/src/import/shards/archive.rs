//! Extracts the files of a shard from tar archives, which may be compressed with gzip.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::read::MultiGzDecoder;
use neap_bucket::World;
use neap_tsm::{Damage, DecodeError};

use crate::{import::ImportError, owner_only};

/// Size of a record of an archive in bytes.
const RECORD_BYTES: usize = 512;
/// Maximum size of a long name in bytes.
const MAX_NAME_BYTES: u64 = 64 << 10;
/// Extensions of the files that are extracted.
const EXTENSIONS: [&str; 3] = ["tsm", "tombstone", "wal"];

/// A folder that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Creates a folder with a random name in `parent`.
    pub(super) fn create(parent: &Path, world: &World) -> Result<Self, ImportError> {
        let name = format!("neap-import-{:016x}", world.entropy.next_u64());
        let path = parent.join(name);
        let created = owner_only::create_directory(&path);
        created.map_err(|error| ImportError::io(&path, error))?;
        Ok(Self(path))
    }

    /// Returns the path of the folder.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Files that remain cost space only, and there is no one to report them to.
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Extracts the files of a shard into a folder, without the paths of the archive. An archive that ends before its end
/// record may have lost files, and is added to `damage`.
///
/// # Errors
///
/// The archive cannot be read, or a file cannot be written.
pub(super) fn extract(
    archive: &Path,
    folder: &Path,
    damage: &mut Vec<Damage>,
) -> Result<(), ImportError> {
    let file = File::open(archive).map_err(|error| ImportError::io(archive, error))?;
    let mut file = BufReader::new(file);
    let mut start = Vec::new();
    let read = file.by_ref().take(2).read_to_end(&mut start);
    read.map_err(|error| ImportError::io(archive, error))?;
    let is_compressed = start == [0x1f, 0x8b];
    let whole = io::Cursor::new(start).chain(file);
    let extracted = if is_compressed {
        extract_records(&mut MultiGzDecoder::new(BufReader::new(whole)), folder)
    } else {
        extract_records(&mut BufReader::new(whole), folder)
    };
    let is_complete = extracted.map_err(|error| ImportError::invalid(archive, error))?;
    if !is_complete {
        damage.push(Damage {
            path: Arc::new(archive.to_owned()),
            offset: 0,
            key: None,
            reason: DecodeError::Truncated("archive"),
        });
    }
    Ok(())
}

/// Extracts files. Returns whether the archive has its end record.
fn extract_records(archive: &mut impl Read, folder: &Path) -> io::Result<bool> {
    let mut long_name = None;
    loop {
        let mut record = [0; RECORD_BYTES];
        match archive.read_exact(&mut record) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
        if record.iter().all(|byte| *byte == 0) {
            return Ok(true);
        }
        let header = TarHeader::parse(&record)?;
        let mut contents = archive.by_ref().take(header.size);
        match header.kind {
            b'L' | b'x' if header.size <= MAX_NAME_BYTES => {
                let mut text = Vec::new();
                contents.read_to_end(&mut text)?;
                long_name = name_of_extension(header.kind, &text).or(long_name);
            }
            b'0' | 0 => {
                let name = long_name.take().unwrap_or(header.name);
                match file_name(&name) {
                    Some(name) => {
                        let mut file = owner_only::create_file(&folder.join(name))?;
                        io::copy(&mut contents, &mut file)?;
                    }
                    None => drop(io::copy(&mut contents, &mut io::sink())?),
                }
            }
            _ => drop(io::copy(&mut contents, &mut io::sink())?),
        }
        if contents.limit() > 0 {
            return Err(io::Error::other("a file of the archive ends early"));
        }
        let padding = header.size.next_multiple_of(RECORD_BYTES as u64) - header.size;
        io::copy(&mut archive.by_ref().take(padding), &mut io::sink())?;
    }
}

/// The header of a file in an archive.
struct TarHeader {
    name: String,
    size: u64,
    kind: u8,
}

impl TarHeader {
    fn parse(record: &[u8; RECORD_BYTES]) -> io::Result<Self> {
        let field = |start: usize, length: usize| {
            let bytes = record.get(start..start + length).unwrap_or_default();
            let end = bytes.iter().position(|byte| *byte == 0);
            bytes.get(..end.unwrap_or(length)).unwrap_or_default()
        };
        let text = |start, length| String::from_utf8_lossy(field(start, length)).into_owned();
        let name = match (text(0, 100), text(345, 155)) {
            (name, prefix) if prefix.is_empty() || field(257, 5) != b"ustar" => name,
            (name, prefix) => format!("{prefix}/{name}"),
        };
        let size = record.get(124..136).unwrap_or_default();
        let size = parse_size(size).ok_or_else(|| {
            io::Error::other(format!("the archive has an invalid size of '{name}'"))
        })?;
        let kind = record.get(156).copied().unwrap_or_default();
        Ok(Self { name, size, kind })
    }
}

/// Parses an octal size, or a binary one, which has its first bit set.
fn parse_size(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let bytes = rest.last_chunk::<8>()?;
        return Some(u64::from_be_bytes(*bytes)).filter(|size| size >> 63 == 0);
    }
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches(['\0', ' ']);
    u64::from_str_radix(digits, 8).ok()
}

/// Returns the name in a GNU or PAX header.
fn name_of_extension(kind: u8, text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    match kind {
        b'L' => Some(text.trim_end_matches('\0').to_owned()),
        _ => text.lines().find_map(|line| {
            let (_, pair) = line.split_once(' ')?;
            Some(pair.strip_prefix("path=")?.to_owned())
        }),
    }
}

/// Returns the last part of a name, if it is a file of a shard.
fn file_name(name: &str) -> Option<&str> {
    let name = name.rsplit(['/', '\\']).next()?;
    let (stem, extension) = name.rsplit_once('.')?;
    (!stem.is_empty() && EXTENSIONS.contains(&extension)).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = Vec::new();
        for (name, contents) in files {
            let mut header = [0; RECORD_BYTES];
            header[..name.len()].copy_from_slice(name.as_bytes());
            let size = format!("{:011o}", contents.len());
            header[124..135].copy_from_slice(size.as_bytes());
            header[156] = b'0';
            header[257..262].copy_from_slice(b"ustar");
            archive.extend(header);
            archive.extend(*contents);
            archive.resize(archive.len().next_multiple_of(RECORD_BYTES), 0);
        }
        archive.resize(archive.len() + 2 * RECORD_BYTES, 0);
        archive
    }

    fn extracted(archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive");
        fs::write(&path, archive).unwrap();
        let into = folder.path().join("into");
        fs::create_dir(&into).unwrap();
        let mut damage = Vec::new();
        extract(&path, &into, &mut damage).map_err(|error| error.to_string())?;
        if let Some(damage) = damage.first() {
            return Err(damage.reason.to_string());
        }
        let mut files: Vec<_> = fs::read_dir(&into)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        Ok(files)
    }

    #[test]
    fn files_of_a_shard_are_extracted_without_their_paths() {
        let long = vec![7; 1_000];
        let archive = tar(&[
            ("home/autogen/2/000000001-000000001.tsm", &long),
            ("home/autogen/2/fields.idx", b"x"),
            ("../../000000001-000000001.tombstone", b"t"),
        ]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&archive).unwrap();
        for archive in [archive, gzip.finish().unwrap()] {
            assert_eq!(
                extracted(&archive).unwrap(),
                [
                    ("000000001-000000001.tombstone".to_owned(), b"t".to_vec()),
                    ("000000001-000000001.tsm".to_owned(), long.clone()),
                ]
            );
        }
    }

    #[test]
    fn an_archive_that_is_cut_off_or_no_archive_is_an_error() {
        let archive = tar(&[("1.tsm", &[1; 600])]);
        assert!(extracted(&archive[..900]).is_err());
        assert!(extracted(&[b'x'; 600]).is_err());
        let without_end = &archive[..archive.len() - 2 * RECORD_BYTES];
        for cut in [&archive[..0], &archive[..100], without_end] {
            assert_eq!(extracted(cut).unwrap_err(), "the archive ends early");
        }
    }

    #[test]
    fn extracted_files_are_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("archive");
        fs::write(&path, tar(&[("1.tsm", b"x")])).unwrap();
        let folder = TemporaryFolder::create(parent.path(), &World::system()).unwrap();
        extract(&path, folder.path(), &mut Vec::new()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(&folder.path().join("1.tsm")), 0o600);
    }
}
