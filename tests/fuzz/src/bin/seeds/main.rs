//! Writes inputs that the product encodes to `corpus`. All others are there already.
//!
//! ```text
//! cargo run --manifest-path tests/fuzz/Cargo.toml --features seeds --bin neap-fuzz-seeds
//! ```
//!
//! Generated inputs have names that start with `seed-`. They are the same in each run, until a format changes. From the first
//! published release on, keep those of earlier versions of a format under another name, because later releases must read them.

mod cluster;
mod files;
mod messages;
mod stepped_clock;
mod tsm_files;

use std::{collections::BTreeMap, fs, io, path::Path};

/// Generated inputs, by target.
#[derive(Debug, Default)]
pub(crate) struct Seeds(BTreeMap<&'static str, Vec<Vec<u8>>>);

impl Seeds {
    pub(crate) fn add(&mut self, target: &'static str, input: impl Into<Vec<u8>>) {
        self.0.entry(target).or_default().push(input.into());
    }

    /// Replaces the generated inputs in a folder.
    fn write(&self, corpora: &Path) -> io::Result<()> {
        for (target, inputs) in &self.0 {
            let folder = corpora.join(target);
            fs::create_dir_all(&folder)?;
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                if is_generated(&path) {
                    fs::remove_file(path)?;
                }
            }
            for (number, input) in inputs.iter().enumerate() {
                fs::write(folder.join(format!("seed-{number:02}")), input)?;
            }
        }
        Ok(())
    }
}

fn is_generated(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("seed-"))
}

fn main() -> io::Result<()> {
    let mut seeds = Seeds::default();
    cluster::add_objects(&mut seeds);
    files::add_files(&mut seeds);
    messages::add_messages(&mut seeds);
    tsm_files::add_files(&mut seeds);
    seeds.write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus"))
}
