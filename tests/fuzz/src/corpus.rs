//! The committed inputs.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{TARGETS, targets::is_target_of_any_build};

/// The committed inputs can't be replayed.
#[derive(Debug)]
pub enum CorpusError {
    /// A file or folder can't be read.
    Io(PathBuf, io::Error),
    /// A target has no inputs.
    NoInputs(&'static str),
    /// The inputs of a folder belong to no target.
    UnknownTarget(PathBuf),
}

/// Runs all targets on their committed inputs. Calls `start` with the path of each input before it runs, so that a panic
/// can be attributed.
///
/// # Errors
/// See [`CorpusError`].
///
/// # Panics
/// An input is a finding.
pub fn replay_corpora(mut start: impl FnMut(&Path)) -> Result<(), CorpusError> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let unknown = sorted_entries(&corpora)?.into_iter().find(|folder| {
        let name = folder.file_name().and_then(|name| name.to_str());
        !name.is_some_and(is_target_of_any_build)
    });
    if let Some(folder) = unknown {
        return Err(CorpusError::UnknownTarget(folder));
    }
    for target in TARGETS {
        let inputs = sorted_entries(&corpora.join(target.name))?;
        if inputs.is_empty() {
            return Err(CorpusError::NoInputs(target.name));
        }
        for path in inputs {
            let input = fs::read(&path).map_err(|error| CorpusError::Io(path.clone(), error))?;
            start(&path);
            (target.run)(&input);
        }
    }
    Ok(())
}

fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let failed = |error| CorpusError::Io(folder.to_owned(), error);
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}
