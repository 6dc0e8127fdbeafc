//! Compresses the built page (`web/dist`) and lists its files for the crate. Without a built page, the list is empty.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, GzBuilder};

/// The folder of the built page.
const BUILT_PAGE: &str = "web/dist";

/// The folders of the built page whose files are served. All names below contain a hash of the content.
const ASSETS: &str = "console/assets";

fn main() -> io::Result<()> {
    let page = Path::new(BUILT_PAGE);
    // Cargo would run this script each time if the folder did not exist. The sources may be read-only.
    fs::create_dir_all(page).ok();
    tell_cargo("rerun-if-changed=build.rs");
    tell_cargo(&format!("rerun-if-changed={BUILT_PAGE}"));
    let is_embedded = env::var_os("CARGO_FEATURE_EMBEDDED").is_some();
    let files = if is_embedded && page.join("index.html").is_file() {
        files_of(page)?
    } else {
        Vec::new()
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut list = String::from("&[");
    for (index, file) in files.iter().enumerate() {
        let compressed = out.join(format!("{index}.gz"));
        fs::write(&compressed, gzip(&fs::read(page.join(file))?)?)?;
        let bytes = format!("include_bytes!({:?})", compressed.display().to_string());
        list.push_str(&format!("PageFile {{ path: {:?}, gzip: {bytes} }},\n", path_of(file)));
    }
    list.push(']');
    fs::write(out.join("files.rs"), list)
}

/// Returns the files of the page, relative to its folder, sorted by the paths of [`path_of`].
fn files_of(page: &Path) -> io::Result<Vec<String>> {
    let mut files = vec!["index.html".to_owned()];
    let assets = page.join(ASSETS);
    if assets.is_dir() {
        for entry in fs::read_dir(assets)? {
            let entry = entry?;
            let name = entry
                .file_name()
                .into_string()
                .map_err(|name| io::Error::other(format!("{name:?} is not text")))?;
            if entry.file_type()?.is_file() {
                files.push(format!("{ASSETS}/{name}"));
            }
        }
    }
    files.sort_by_key(|file| path_of(file));
    Ok(files)
}

/// Returns the path of a file in URLs.
fn path_of(file: &str) -> String {
    match file {
        "index.html" => "/".to_owned(),
        asset => format!("/{asset}"),
    }
}

/// Compresses a file. The result depends on the content only, so that builds are reproducible.
fn gzip(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}

fn tell_cargo(instruction: &str) {
    println!("cargo::{instruction}");
}
