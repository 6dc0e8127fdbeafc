//! Parses and compares the locations of other stores, whose connection settings are those of a known one.

use std::path::{Path, PathBuf};

use neap_bucket::{ObjectStoreKind, StoreConfig};

/// Parses a directory or a URL; its connection settings are those of `like`.
///
/// # Errors
///
/// The scheme is unknown, or the place is missing.
pub fn parse(text: &str, like: &StoreConfig) -> Result<StoreConfig, String> {
    let (scheme, place) = text.split_once("://").unwrap_or(("file", text));
    let kind = match scheme {
        "file" => ObjectStoreKind::File,
        "s3" => ObjectStoreKind::S3,
        "gs" => ObjectStoreKind::Google,
        "az" => ObjectStoreKind::Azure,
        other => return Err(format!("'{other}' is not one of file, s3, gs, az")),
    };
    let mut config = StoreConfig {
        object_store: Some(kind),
        data_dir: None,
        bucket: None,
        tail_bucket: None,
        former_tail_bucket: None,
        key_prefix: None,
        ..like.clone()
    };
    if kind == ObjectStoreKind::File {
        config.data_dir = Some(PathBuf::from(place)).filter(|path| !path.as_os_str().is_empty());
    } else {
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let named = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        config.bucket = named(bucket);
        config.key_prefix = named(prefix.trim_matches('/'));
    }
    if config.data_dir.is_some() || config.bucket.is_some() {
        Ok(config)
    } else {
        Err("a place is missing".to_owned())
    }
}

/// Returns whether a place is a store itself or inside of it, where it would be lost with the store.
pub fn is_within(place: &StoreConfig, store: &StoreConfig) -> bool {
    let folder = |config: &StoreConfig| {
        let root = match config.kind() {
            ObjectStoreKind::File => resolve(config.data_dir.as_deref().unwrap_or(Path::new(""))),
            _ => PathBuf::from(config.bucket.as_deref().unwrap_or_default()),
        };
        let prefix = config.key_prefix.as_deref().unwrap_or_default();
        root.join(prefix.trim_matches('/'))
    };
    place.kind() == store.kind() && folder(place).starts_with(folder(store))
}

/// Returns a path without symbolic links, of which the last parts need not exist.
fn resolve(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let resolved = absolute.ancestors().find_map(|existing| {
        let rest = absolute.strip_prefix(existing).ok()?;
        Some(existing.canonicalize().ok()?.join(rest))
    });
    resolved.unwrap_or(absolute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(name: &str, prefix: Option<&str>) -> StoreConfig {
        StoreConfig {
            bucket: Some(name.to_owned()),
            tail_bucket: Some("fast".to_owned()),
            key_prefix: prefix.map(str::to_owned),
            ..StoreConfig::default()
        }
    }

    #[test]
    fn a_place_is_a_directory_or_a_url() {
        let like = bucket("live", Some("a"));
        let to = parse("s3://backup/of/live/", &like).unwrap();
        assert_eq!(to.kind(), ObjectStoreKind::S3);
        assert_eq!(to.bucket.as_deref(), Some("backup"));
        assert_eq!(to.key_prefix.as_deref(), Some("of/live"));
        assert_eq!(to.tail_bucket, None);
        for text in ["/backup", "file:///backup"] {
            let to = parse(text, &like).unwrap();
            assert_eq!(to.kind(), ObjectStoreKind::File);
            assert_eq!(to.data_dir.as_deref(), Some(Path::new("/backup")));
            assert_eq!((to.bucket, to.key_prefix), (None, None));
        }
        for bad in ["ftp://x", "s3://", ""] {
            assert!(parse(bad, &like).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_place_may_be_inside_of_a_store() {
        let live = bucket("live", Some("a/"));
        let is_within = |text: &str| is_within(&parse(text, &live).unwrap(), &live);
        for inside in ["s3://live/a", "s3://live/a/", "s3://live/a/b"] {
            assert!(is_within(inside), "{inside}");
        }
        for outside in ["s3://live", "s3://live/b", "s3://live/ab", "s3://other/a", "gs://live/a"] {
            assert!(!is_within(outside), "{outside}");
        }
    }

    #[test]
    fn a_directory_is_inside_of_another_one_whatever_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("data/db")).unwrap();
        std::os::unix::fs::symlink(root.join("data"), root.join("link")).unwrap();
        let config = |path: &str| {
            let path = root.join(path);
            parse(path.to_str().unwrap(), &StoreConfig::default()).unwrap()
        };
        let data = config("data");
        for inside in ["data", "data/", "data/new/copy", "link/copy", "data/db/..", "link"] {
            assert!(is_within(&config(inside), &data), "{inside}");
        }
        for outside in ["", "data2", "data-copy", "data/../copy"] {
            assert!(!is_within(&config(outside), &data), "{outside}");
        }
    }
}
