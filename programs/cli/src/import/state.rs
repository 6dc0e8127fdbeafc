//! The state of an import, for continuing it after it was interrupted.
//!
//! ```text
//! { "version": 1, "source": ..., "target": ..., "options": ..., "units": { "home/autogen/2": { "position": ..., ... } } }
//! ```
//!
//! A unit is a shard, a file, or a table of a running server. Its position says up to where everything is answered. The
//! file is replaced atomically, so that it is complete whenever the process is killed.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use neap_bucket::{ClockReading, World, read_limited_file};
use serde::{Deserialize, Serialize};

use super::{ImportError, ImportSummary, problems::UnitProblems, table_counts::TableCountMap};
use crate::owner_only;

/// Version of the file's format.
const VERSION: u32 = 1;
/// Time between two replacements of the file. After a kill, what was sent since then is sent again.
const SAVE_INTERVAL: Duration = Duration::from_millis(500);
/// Maximum size of the file in bytes: several millions of tables of shards.
const MAX_FILE_BYTES: u64 = 1 << 30;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ImportState {
    version: u32,
    source: String,
    target: String,
    options: String,
    units: BTreeMap<String, UnitState>,
}

impl ImportState {
    /// Creates the state of an import that has not begun. `options` determine what is imported.
    pub(crate) fn new(source: String, target: String, options: String) -> Self {
        Self {
            version: VERSION,
            source,
            target,
            options,
            units: BTreeMap::new(),
        }
    }
}

/// What is answered of a unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct UnitState {
    /// The files of the unit, with their sizes. If they have changed, the unit is imported again.
    pub(crate) files: String,
    /// Everything is answered.
    pub(crate) is_done: bool,
    /// Everything up to this position is answered.
    pub(crate) position: Option<String>,
    /// What was sent up to the position, by database and table.
    pub(crate) tables: TableCountMap,
    /// What is missing up to the position.
    #[serde(default)]
    pub(crate) problems: UnitProblems,
}

#[derive(Debug)]
pub(crate) struct StateFile {
    /// `None`: the state is not kept.
    path: Option<PathBuf>,
    state: ImportState,
    world: World,
    saved: ClockReading,
}

impl StateFile {
    /// Opens the state of an import, or begins a new one if the file does not exist.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or belongs to another import.
    pub(crate) fn open(path: PathBuf, new: ImportState, world: World) -> Result<Self, ImportError> {
        let state = match read(&path)? {
            None => new,
            Some(state) if state.version != VERSION => {
                let reason = format!("unknown version {}", state.version);
                return Err(ImportError::invalid(&path, reason));
            }
            Some(state) => {
                let is_same = |field: fn(&ImportState) -> &str| field(&state) == field(&new);
                let is_same_import = is_same(|state| &state.source)
                    && is_same(|state| &state.target)
                    && is_same(|state| &state.options);
                if !is_same_import {
                    return Err(ImportError::OtherState {
                        path: path.display().to_string(),
                        other: format!("{} to {}", state.source, state.target),
                    });
                }
                state
            }
        };
        Ok(Self { path: Some(path), state, saved: world.clock_reading(), world })
    }

    /// Creates a state without a file.
    pub(crate) fn in_memory(world: World) -> Self {
        Self {
            path: None,
            state: ImportState::default(),
            saved: world.clock_reading(),
            world,
        }
    }

    /// Returns whether an earlier import is continued.
    pub(crate) fn is_continued(&self) -> bool {
        !self.state.units.is_empty()
    }

    /// Returns what is missing of all units so far.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut summary = ImportSummary::default();
        for unit in self.state.units.values() {
            summary.add_unit(&unit.problems);
        }
        summary.problems()
    }

    /// Returns the state of a unit whose files are still the same.
    pub(crate) fn unit(&self, name: &str, files: &str) -> Option<&UnitState> {
        let unit = self.state.units.get(name);
        unit.filter(|unit| unit.files == files)
    }

    /// Replaces the state of a unit, and saves the file if the last time is long enough ago.
    pub(crate) fn update(&mut self, name: &str, unit: UnitState) -> Result<(), ImportError> {
        self.state.units.insert(name.to_owned(), unit);
        if self.world.elapsed(&self.saved) >= SAVE_INTERVAL {
            self.save()
        } else {
            Ok(())
        }
    }

    /// Replaces the file.
    pub(crate) fn save(&mut self) -> Result<(), ImportError> {
        self.saved = self.world.clock_reading();
        match &self.path {
            // An import that has not begun has nothing to continue.
            _ if self.state.units.is_empty() => Ok(()),
            Some(path) => {
                let text = serde_json::to_vec(&self.state).map_err(io::Error::from);
                let replaced = text.and_then(|text| owner_only::replace_file(path, &text));
                replaced.map_err(|error| ImportError::io(path, error))
            }
            None => Ok(()),
        }
    }

    /// Removes the file after everything is imported.
    ///
    /// # Errors
    ///
    /// The file cannot be removed.
    pub(crate) fn remove(&mut self) -> Result<(), ImportError> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ImportError::io(path, error))
            }
            _ => Ok(()),
        }
    }
}

fn read(path: &Path) -> Result<Option<ImportState>, ImportError> {
    let failed = |error| ImportError::io(path, error);
    let text = match read_limited_file(path, MAX_FILE_BYTES) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let state = serde_json::from_slice(&text);
    state.map(Some).map_err(|error| ImportError::invalid(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_state(target: &str) -> ImportState {
        ImportState::new("/data".to_owned(), target.to_owned(), String::new())
    }

    fn open(path: &Path, target: &str) -> Result<StateFile, String> {
        let opened = StateFile::open(path.to_owned(), new_state(target), World::system());
        opened.map_err(|error| error.to_string())
    }

    #[test]
    fn a_saved_state_is_continued_if_the_files_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut state = open(&path, "http://a").unwrap();
        assert!(!state.is_continued());
        let unit = UnitState {
            files: "1.tsm 5".to_owned(),
            position: Some("6d".to_owned()),
            ..UnitState::default()
        };
        state.update("home/autogen/2", unit.clone()).unwrap();
        state.save().unwrap();
        let mut state = open(&path, "http://a").unwrap();
        assert!(state.is_continued());
        assert_eq!(state.unit("home/autogen/2", "1.tsm 5"), Some(&unit));
        assert_eq!(state.unit("home/autogen/2", "1.tsm 6"), None);
        state.remove().unwrap();
        assert!(!open(&path, "http://a").unwrap().is_continued());
    }

    #[test]
    fn problems_from_before_an_interruption_are_kept_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(folder.path().join("state.json.new"), "left by a kill").unwrap();
        let mut state = open(&path, "http://a").unwrap();
        let mut unit = UnitState::default();
        unit.problems.add_damage("1.tsm at byte 5: damaged");
        state.update("home/autogen/2", unit).unwrap();
        state.save().unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let state = open(&path, "http://a").unwrap();
        assert_eq!(state.problems(), ["1.tsm at byte 5: damaged"]);
    }

    #[test]
    fn the_state_of_another_import_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut state = open(&path, "http://a").unwrap();
        state.save().unwrap();
        assert!(!path.exists(), "nothing has begun");
        state.update("unit", UnitState::default()).unwrap();
        state.save().unwrap();
        let error = open(&path, "http://b").unwrap_err();
        assert!(
            error.contains("is the state of another import or other options, of /data to http://a"),
            "{error}"
        );
        fs::write(&path, "{").unwrap();
        assert!(open(&path, "http://a").is_err());
    }
}
