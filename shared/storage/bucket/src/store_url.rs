//! The URLs of objects, as other tools that read the store name them.

use std::path;

use crate::{
    Key, ObjectStoreKind, StoreConfig, StoreConfigError,
    config::{given, invalid},
};

/// The URL below which all objects of a cluster are, such as `s3://bucket/prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// Returns the URL of the objects of the flags' store. Sends no request.
    ///
    /// # Errors
    /// The store is in memory, or a flag is missing or its value can't be used.
    pub fn from_config(config: &StoreConfig) -> Result<Self, StoreConfigError> {
        let kind = config.kind();
        let missing = |flag| StoreConfigError::Missing { flag, kind };
        let bucket = || given(&config.bucket).ok_or_else(|| missing("bucket"));
        let root = match kind {
            ObjectStoreKind::Memory | ObjectStoreKind::MemoryThrottled => {
                let reason = "objects in memory have no URL that other tools could read";
                return Err(invalid("object-store", reason));
            }
            ObjectStoreKind::File => {
                let data_dir = config.data_dir.as_ref().ok_or_else(|| missing("data-dir"))?;
                let absolute =
                    path::absolute(data_dir).map_err(|error| invalid("data-dir", error))?;
                let folder = absolute
                    .to_str()
                    .ok_or_else(|| invalid("data-dir", "the path is not valid UTF-8"))?;
                format!("file://{folder}")
            }
            ObjectStoreKind::S3 => format!("s3://{}", bucket()?),
            ObjectStoreKind::Google => format!("gs://{}", bucket()?),
            ObjectStoreKind::Azure => {
                let account = given(&config.azure_storage_account)
                    .ok_or_else(|| missing("azure-storage-account"))?;
                format!("abfss://{}@{account}.dfs.core.windows.net", bucket()?)
            }
        };
        let prefix = config.key_prefix()?;
        let url = format!("{}/{prefix}", root.trim_end_matches('/'));
        Ok(Self(url.trim_end_matches('/').to_owned()))
    }

    /// Returns the URL of an object.
    pub fn of_key(&self, key: &Key) -> String {
        self.of_path(&key.to_string())
    }

    /// Returns the URL of the objects whose keys start with a path.
    pub fn of_path(&self, path: &str) -> String {
        format!("{}/{path}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use neap_schema::DatabaseId;

    use super::*;

    fn url(config: &StoreConfig) -> Result<String, String> {
        let url = StoreUrl::from_config(config).map_err(|error| error.to_string())?;
        Ok(url.of_key(&Key::Manifest(DatabaseId::new(3))))
    }

    fn remote(kind: ObjectStoreKind) -> StoreConfig {
        StoreConfig {
            object_store: Some(kind),
            bucket: Some("data".to_owned()),
            ..StoreConfig::default()
        }
    }

    #[test]
    fn each_kind_of_store_has_its_scheme() {
        let config = remote(ObjectStoreKind::S3);
        assert_eq!(url(&config), Ok("s3://data/db/3/manifest".to_owned()));
        let config = StoreConfig {
            key_prefix: Some("/one/two/".to_owned()),
            ..remote(ObjectStoreKind::Google)
        };
        let expected = "gs://data/one/two/db/3/manifest";
        assert_eq!(url(&config), Ok(expected.to_owned()));
        let config = StoreConfig {
            azure_storage_account: Some("acme".to_owned()),
            ..remote(ObjectStoreKind::Azure)
        };
        let expected = "abfss://data@acme.dfs.core.windows.net/db/3/manifest";
        assert_eq!(url(&config), Ok(expected.to_owned()));
        let config = StoreConfig {
            data_dir: Some("/srv/a folder/".into()),
            ..StoreConfig::default()
        };
        let expected = "file:///srv/a folder/db/3/manifest";
        assert_eq!(url(&config), Ok(expected.to_owned()));
    }

    #[test]
    fn a_store_without_a_url_is_an_error_that_names_the_flag() {
        let errors = [
            StoreConfig {
                object_store: Some(ObjectStoreKind::Memory),
                ..StoreConfig::default()
            },
            remote(ObjectStoreKind::Azure),
            StoreConfig { bucket: None, ..remote(ObjectStoreKind::S3) },
        ];
        let messages = errors.map(|config| url(&config).unwrap_err());
        let expected = [
            "--object-store: objects in memory have no URL that other tools could read",
            "--azure-storage-account is needed with --object-store azure",
            "--bucket is needed with --object-store s3",
        ];
        assert_eq!(messages, expected);
    }
}
