//! The Parquet files that `neap import upload` sends: files, folders, and object stores.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use neap_server::Variables;
use object_store::{
    ObjectMeta, ObjectStore, ObjectStoreExt, aws::AmazonS3ConfigKey, azure::AzureConfigKey,
    gcp::GoogleConfigKey, parse_url_opts,
};
use tokio::io::AsyncReadExt;
use url::Url;

use crate::commands::Environment;

/// The size of the pieces in which a file is read, in bytes.
const PIECE_BYTES: usize = 256 << 10;

/// The extension of files in folders and object stores.
const EXTENSION: &str = "parquet";

/// Environment variables that are options of object stores, unless `--source-opt` sets them.
const STORE_VARIABLES: [&str; 8] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "GOOGLE_SERVICE_ACCOUNT",
];

/// The reason why files can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("{path}: {error}")]
    File { path: String, error: std::io::Error },
    /// The URL is not that of an object store, or an option is invalid.
    #[error("{url}: {reason}")]
    Url {
        /// The URL, without a password.
        url: String,
        reason: String,
    },
    /// The object store does not answer, or refuses.
    #[error(transparent)]
    Store(#[from] object_store::Error),
    #[error("{0}: there are no files whose names end in .{EXTENSION}")]
    Empty(String),
}

/// An option of an object store: `name=value`. `Debug` does not show the value, which may be a secret.
#[derive(Clone, derive_more::Debug)]
#[debug("{name}=…")]
pub(super) struct SourceOption {
    name: String,
    value: String,
}

impl FromStr for SourceOption {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

/// A file to upload.
#[derive(Clone, Debug)]
pub(super) enum FileSource {
    Local(PathBuf),
    Object {
        store: Arc<dyn ObjectStore>,
        object: ObjectMeta,
    },
}

impl FileSource {
    /// Returns the files at a path or URL: the file itself, or all Parquet files below the folder.
    ///
    /// # Errors
    /// The place can't be read, or there is no file.
    pub(super) async fn find(
        place: &str,
        options: &[SourceOption],
        environment: &Environment,
    ) -> Result<Vec<Self>, SourceError> {
        let mut files = match Url::parse(place) {
            Ok(url) if !url.cannot_be_a_base() => objects(&url, options, environment).await?,
            _ => local_files(Path::new(place))?,
        };
        files.sort_by_key(Self::name);
        if files.is_empty() {
            Err(SourceError::Empty(place.to_owned()))
        } else {
            Ok(files)
        }
    }

    /// The path of the file, for messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Local(path) => path.display().to_string(),
            Self::Object { object, .. } => object.location.to_string(),
        }
    }

    /// The name of the file without folders.
    pub(super) fn file_name(&self) -> String {
        let name = match self {
            Self::Local(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            Self::Object { object, .. } => object.location.filename().map(str::to_owned),
        };
        name.unwrap_or_default()
    }

    /// Returns the bytes of the file.
    pub(super) async fn open(
        &self,
    ) -> Result<BoxStream<'static, Result<Bytes, std::io::Error>>, SourceError> {
        match self {
            Self::Local(path) => {
                let file =
                    tokio::fs::File::open(path).await.map_err(|error| of_file(path, error))?;
                Ok(stream::try_unfold(file, read_piece).boxed())
            }
            Self::Object { store, object } => {
                let found = store.get(&object.location).await?;
                Ok(found.into_stream().map_err(std::io::Error::other).boxed())
            }
        }
    }
}

async fn read_piece(
    mut file: tokio::fs::File,
) -> Result<Option<(Bytes, tokio::fs::File)>, std::io::Error> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let mut limited = (&mut file).take(PIECE_BYTES as u64);
    let read = limited.read_to_end(&mut piece).await?;
    Ok((read > 0).then(|| (Bytes::from(piece), file)))
}

fn of_file(path: &Path, error: std::io::Error) -> SourceError {
    SourceError::File { path: path.display().to_string(), error }
}

/// Returns a file, or all Parquet files below a folder. Symbolic links to folders are not followed.
fn local_files(path: &Path) -> Result<Vec<FileSource>, SourceError> {
    let metadata = std::fs::metadata(path).map_err(|error| of_file(path, error))?;
    if !metadata.is_dir() {
        return Ok(vec![FileSource::Local(path.to_owned())]);
    }
    let mut files = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |error| of_file(&folder, error);
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == EXTENSION) {
                files.push(FileSource::Local(path));
            }
        }
    }
    Ok(files)
}

/// Returns an object, or all Parquet files below a prefix.
async fn objects(
    url: &Url,
    options: &[SourceOption],
    environment: &Environment,
) -> Result<Vec<FileSource>, SourceError> {
    let variables = STORE_VARIABLES.iter().filter_map(|name| {
        let value = environment.get(name)?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    });
    // Those of other stores.
    let variables = variables.filter(|(name, _)| is_option(url, name));
    let options = options
        .iter()
        .map(|option| (option.name.to_ascii_lowercase(), option.value.clone()));
    let options: Vec<_> = variables.chain(options).collect();
    let refused = |reason: String| {
        let mut shown = url.clone();
        // A URL that can't have a password has none.
        shown.set_password(None).ok();
        let url = shown.to_string();
        SourceError::Url { url, reason }
    };
    // A file of this machine is a path, and memory is empty.
    if matches!(url.scheme(), "file" | "memory") {
        return Err(refused("it is not the URL of an object store".to_owned()));
    }
    if let Some((name, _)) = options.iter().find(|(name, _)| !is_option(url, name)) {
        return Err(refused(format!("the object store has no option '{name}'")));
    }
    let opened = parse_url_opts(url, options);
    let (store, path) = opened.map_err(|error| refused(error.to_string()))?;
    let store: Arc<dyn ObjectStore> = Arc::from(store);
    if path.extension() == Some(EXTENSION) {
        let object = store.head(&path).await?;
        return Ok(vec![FileSource::Object { store, object }]);
    }
    let prefix = (!path.as_ref().is_empty()).then_some(&path);
    let listed = store.list(prefix).try_filter_map(|object| {
        let is_file = object.location.extension() == Some(EXTENSION);
        std::future::ready(Ok(is_file.then_some(object)))
    });
    let objects: Vec<ObjectMeta> = listed.try_collect().await?;
    let files = objects
        .into_iter()
        .map(|object| FileSource::Object { store: Arc::clone(&store), object });
    Ok(files.collect())
}

/// Returns whether the object store of a URL has an option of this name, as far as the scheme tells.
fn is_option(url: &Url, name: &str) -> bool {
    match url.scheme() {
        "s3" | "s3a" => AmazonS3ConfigKey::from_str(name).is_ok(),
        "gs" => GoogleConfigKey::from_str(name).is_ok(),
        "az" | "azure" | "adl" | "abfs" | "abfss" => AzureConfigKey::from_str(name).is_ok(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn folders_are_searched_for_parquet_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["a.parquet", "b/c.parquet", "b/d.csv"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let find = async |path: &Path| {
            let place = path.to_str().unwrap();
            FileSource::find(place, &[], &Environment::default()).await
        };
        let found = find(folder.path()).await.unwrap();
        let names: Vec<_> = found.iter().map(FileSource::file_name).collect();
        assert_eq!(names, ["a.parquet", "c.parquet"]);
        let one = find(&folder.path().join("b/d.csv")).await.unwrap();
        assert_eq!(one.len(), 1, "a named file may have any extension");
        let bytes: Vec<Bytes> = one[0].open().await.unwrap().try_collect().await.unwrap();
        assert_eq!(bytes, [Bytes::from_static(b"x")]);
        std::fs::remove_file(folder.path().join("a.parquet")).unwrap();
        std::fs::remove_file(folder.path().join("b/c.parquet")).unwrap();
        assert!(matches!(find(folder.path()).await, Err(SourceError::Empty(_))));
        assert!(matches!(
            find(&folder.path().join("missing")).await,
            Err(SourceError::File { .. })
        ));
    }

    #[tokio::test]
    async fn urls_that_are_not_those_of_object_stores_are_errors() {
        let environment = Environment::default();
        for url in ["http://user:secret@localhost/x.parquet", "file:///tmp/x", "ftp://x/y"] {
            let error = FileSource::find(url, &[], &environment).await.unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, SourceError::Url { .. }), "{url}");
            assert!(!text.contains("secret"), "{text}");
        }
    }

    #[tokio::test]
    async fn options_that_the_store_does_not_have_are_errors() {
        let options = ["regoin=eu-central-1".parse().unwrap()];
        let found = FileSource::find("s3://bucket/x", &options, &Environment::default()).await;
        let error = found.unwrap_err().to_string();
        assert!(error.ends_with("the object store has no option 'regoin'"), "{error}");
    }

    #[test]
    fn values_of_options_are_not_shown() {
        let option: SourceOption = "secret_access_key=a=b".parse().unwrap();
        assert_eq!((option.name.as_str(), option.value.as_str()), ("secret_access_key", "a=b"));
        assert_eq!(format!("{option:?}"), "secret_access_key=…");
        assert!("region".parse::<SourceOption>().is_err());
    }
}
