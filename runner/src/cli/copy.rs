//! `neap copy`: copies a cluster as a backup, directly on the store.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use neap_bucket::{ObjectStoreKind, StoreConfig, World};
use neap_fsck::{Fsck, FsckOptions};

use super::{
    CommandError,
    copier::{Copier, CopyStats},
    fsck,
    open_cluster::check_used,
};
use crate::{console::Console, stores::Stores};

/// The options of `neap copy`.
#[derive(Debug, Args)]
pub(super) struct CopyArgs {
    /// Where to copy to: a directory, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    /// A bucket is reached with the settings of the one that is copied. A copy that is there already is
    /// brought up to date.
    #[arg(long, value_name = "URL|DIR")]
    to: String,

    #[command(flatten)]
    store: StoreConfig,
}

/// Copies a cluster, which may be in use, then runs a quick check on the copy.
///
/// # Errors
///
/// A store can't be used, the destination holds something else, or the copy is incomplete.
pub(super) async fn run(
    args: &CopyArgs,
    console: &mut Console,
    world: World,
) -> Result<(), CommandError> {
    let from = Stores::open(&args.store, &world)?;
    check_used(&from).await?;
    let config = destination(&args.to, &args.store).map_err(CommandError::Destination)?;
    if is_same_place(&args.store, &config) {
        let reason = "it is also the source".to_owned();
        return Err(CommandError::Destination(reason));
    }
    let to = Stores::open(&config, &world)?;
    let progress = match console.err_is_terminal {
        true => visible_progress(),
        false => ProgressBar::hidden(),
    };
    let copied = Copier {
        from: &from.bucket,
        to: &to.bucket,
        progress: &progress,
    };
    let copied = copied.run().await;
    progress.finish_and_clear();
    let CopyStats {
        objects,
        bytes,
        kept,
    } = copied?;
    let text = format!(
        "{objects} objects with {} copied to {}, {kept} existed already",
        HumanBytes(bytes),
        to.place
    );
    console.print(text).map_err(CommandError::Output)?;
    let check = Fsck::new(to.bucket);
    let report = fsck::check(&check, &FsckOptions::default(), console).await?;
    match report.clean {
        true => Ok(()),
        false => {
            console.report(&report);
            Err(CommandError::CopyNotWhole {
                errors: report.errors,
            })
        }
    }
}

/// Parses the destination; its connection settings are those of `like`.
fn destination(text: &str, like: &StoreConfig) -> Result<StoreConfig, String> {
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
    match config.data_dir.is_some() || config.bucket.is_some() {
        true => Ok(config),
        false => Err("a place is missing".to_owned()),
    }
}

fn is_same_place(one: &StoreConfig, other: &StoreConfig) -> bool {
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

fn visible_progress() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_draw_target(ProgressDrawTarget::stderr());
    match ProgressStyle::with_template("{spinner} {msg} {bytes}, {bytes_per_sec}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
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
        let to = destination("s3://backup/of/live/", &like).unwrap();
        assert_eq!(to.kind(), ObjectStoreKind::S3);
        assert_eq!(to.bucket.as_deref(), Some("backup"));
        assert_eq!(to.key_prefix.as_deref(), Some("of/live"));
        assert_eq!(to.tail_bucket, None);
        for text in ["/backup", "file:///backup"] {
            let to = destination(text, &like).unwrap();
            assert_eq!(to.kind(), ObjectStoreKind::File);
            assert_eq!(to.data_dir.as_deref(), Some(Path::new("/backup")));
            assert_eq!((to.bucket, to.key_prefix), (None, None));
        }
        for bad in ["ftp://x", "s3://", ""] {
            assert!(destination(bad, &like).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cluster_is_not_copied_onto_itself() {
        let live = bucket("live", Some("a/"));
        let same = |text: &str| is_same_place(&live, &destination(text, &live).unwrap());
        assert!(same("s3://live/a"));
        assert!(!same("s3://live/b"));
        assert!(!same("s3://other/a"));
        assert!(!same("gs://live/a"));
        let here = destination(".", &StoreConfig::default()).unwrap();
        let there = destination("./../", &StoreConfig::default()).unwrap();
        assert!(is_same_place(&here, &here));
        assert!(!is_same_place(&here, &there));
    }
}
