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

/// Returns whether two configurations name the same store.
pub fn is_same(one: &StoreConfig, other: &StoreConfig) -> bool {
    let directory = |config: &StoreConfig| {
        let path = config.data_dir.as_deref();
        path.map(|path: &Path| path.canonicalize().unwrap_or(path.to_owned()))
    };
    let prefix = |config: &StoreConfig| {
        let prefix = config.key_prefix.clone().unwrap_or_default();
        prefix.trim_matches('/').to_owned()
    };
    one.kind() == other.kind()
        && prefix(one) == prefix(other)
        && match one.kind() {
            ObjectStoreKind::File => directory(one) == directory(other),
            _ => one.bucket == other.bucket,
        }
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
    fn a_cluster_is_not_copied_onto_itself() {
        let live = bucket("live", Some("a/"));
        let same = |text: &str| is_same(&live, &parse(text, &live).unwrap());
        assert!(same("s3://live/a"));
        assert!(!same("s3://live/b"));
        assert!(!same("s3://other/a"));
        assert!(!same("gs://live/a"));
        let here = parse(".", &StoreConfig::default()).unwrap();
        let there = parse("./../", &StoreConfig::default()).unwrap();
        assert!(is_same(&here, &here));
        assert!(!is_same(&here, &there));
    }
}
