//! Extracts the files of a shard from tar archives, which may be compressed with gzip.
//!
//! The crate `tar` reads the headers. Its `Archive` neither reports a missing end nor bounds the length of long names.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::read::MultiGzDecoder;
use neap_bucket::World;
use neap_tsm::{Damage, DecodeError};
use tar::{EntryType, Header, PaxExtensions};

use crate::{import::ImportError, owner_only};

/// Size of a record of an archive in bytes.
const RECORD_BYTES: u64 = 512;
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
        let mut header = Header::new_old();
        match archive.read_exact(header.as_mut_bytes()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            // The rest has the checksum of a compressed archive.
            return match io::copy(archive, &mut io::sink()) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
                read => read.map(|_| true),
            };
        }
        if !is_intact(&header) {
            return Err(io::Error::other("a header of the archive is damaged"));
        }
        let size = header.entry_size()?;
        let mut contents = archive.by_ref().take(size);
        match header.entry_type() {
            kind @ (EntryType::GNULongName | EntryType::XHeader) => {
                if size > MAX_NAME_BYTES {
                    return Err(io::Error::other("a name in the archive is too long"));
                }
                let mut extension = Vec::new();
                contents.read_to_end(&mut extension)?;
                long_name = name_of_extension(kind, &extension).or(long_name);
            }
            EntryType::Regular | EntryType::Continuous => {
                let name = long_name.take().unwrap_or_else(|| text(&header.path_bytes()));
                match file_name(&name) {
                    Some(name) => {
                        let mut file = owner_only::create_file(&folder.join(name))?;
                        io::copy(&mut contents, &mut file)?;
                    }
                    None => drop(io::copy(&mut contents, &mut io::sink())?),
                }
            }
            kind => {
                io::copy(&mut contents, &mut io::sink())?;
                // The long name of a folder is not that of the next file.
                if !matches!(kind, EntryType::GNULongLink | EntryType::XGlobalHeader) {
                    long_name = None;
                }
            }
        }
        if contents.limit() > 0 {
            return Err(io::Error::other("a file of the archive ends early"));
        }
        let padding = size.next_multiple_of(RECORD_BYTES) - size;
        io::copy(&mut archive.by_ref().take(padding), &mut io::sink())?;
    }
}

/// Returns whether a header has the checksum of its bytes, of which those of the checksum count as blanks.
fn is_intact(header: &Header) -> bool {
    let blanks = 148..156;
    let bytes = header.as_bytes().iter().enumerate();
    let counted = bytes.map(|(at, byte)| if blanks.contains(&at) { b' ' } else { *byte });
    let sum: u32 = counted.map(u32::from).sum();
    header.cksum().is_ok_and(|stored| stored == sum)
}

/// Returns the name in a GNU or PAX header.
fn name_of_extension(kind: EntryType, extension: &[u8]) -> Option<String> {
    if kind == EntryType::GNULongName {
        return Some(text(extension).trim_end_matches('\0').to_owned());
    }
    PaxExtensions::new(extension)
        .filter_map(Result::ok)
        .find(|field| field.key_bytes() == b"path")
        .map(|field| text(field.value_bytes()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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

    use tar::Builder;

    use super::*;

    fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        for (name, contents) in files {
            let mut header = header(contents);
            // `set_path` refuses paths that leave the folder.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, *contents).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn header(contents: &[u8]) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(contents.len() as u64);
        header
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
    fn a_compressed_archive_is_read_to_its_checksum() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar(&[("1.tsm", b"x")])).unwrap();
        let archive = gzip.finish().unwrap();
        assert!(extracted(&archive).is_ok());
        for length in 2..archive.len() {
            assert!(extracted(&archive[..length]).is_err(), "{length}");
        }
        for from_end in 1..=8 {
            let mut damaged = archive.clone();
            damaged[archive.len() - from_end] ^= 1;
            assert!(extracted(&damaged).is_err(), "{from_end}");
        }
    }

    #[test]
    fn a_damaged_header_is_an_error() {
        let archive = tar(&[("1.tsm", b"x")]);
        for at in [0, 100, 150] {
            let mut damaged = archive.clone();
            damaged[at] ^= 1;
            assert!(extracted(&damaged).is_err(), "{at}");
        }
    }

    #[test]
    fn the_long_name_of_a_folder_is_not_that_of_the_next_file() {
        let mut archive = Builder::new(Vec::new());
        let mut folder = header(b"");
        folder.set_entry_type(EntryType::Directory);
        archive.append_data(&mut folder, "autogen/".repeat(20), &b""[..]).unwrap();
        archive.append_data(&mut header(b"x"), "2/1.tsm", &b"x"[..]).unwrap();
        let files = extracted(&archive.into_inner().unwrap()).unwrap();
        assert_eq!(files, [("1.tsm".to_owned(), b"x".to_vec())]);
    }

    #[test]
    fn long_names_are_those_of_the_extensions() {
        let mut archive = Builder::new(Vec::new());
        let long_path = format!("{}1.tsm", "autogen/".repeat(20));
        archive.append_data(&mut header(b"x"), long_path, &b"x"[..]).unwrap();
        let path = [("path", &b"autogen/2.tsm"[..])];
        archive.append_pax_extensions(path).unwrap();
        archive.append_data(&mut header(b"y"), "short", &b"y"[..]).unwrap();
        assert_eq!(
            extracted(&archive.into_inner().unwrap()).unwrap(),
            [("1.tsm", b"x"), ("2.tsm", b"y")]
                .map(|(name, contents)| (name.to_owned(), contents.to_vec()))
        );
    }

    #[test]
    fn an_archive_that_is_cut_off_or_no_archive_is_an_error() {
        let archive = tar(&[("1.tsm", &[1; 600])]);
        assert!(extracted(&archive[..900]).is_err());
        assert!(extracted(&[b'x'; 600]).is_err());
        let without_end = &archive[..archive.len() - 1024];
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
