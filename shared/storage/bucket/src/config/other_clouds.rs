//! Opens the stores of Google and Azure.

use object_store::{azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder};

use super::{
    ObjectStoreKind, StoreConfig, StoreConfigError, check_url, given, invalid, non_empty_secret,
};
use crate::{ObjectStoreAdapter, RemoteOptions};

impl StoreConfig {
    /// Opens a bucket or a container, which `flag` names.
    pub(super) fn other_cloud(
        &self,
        flag: &'static str,
        kind: ObjectStoreKind,
        bucket: &str,
        mut options: RemoteOptions,
    ) -> Result<ObjectStoreAdapter, StoreConfigError> {
        let opened = match kind {
            ObjectStoreKind::Azure => {
                options.allow_http = self.azure_allow_http;
                ObjectStoreAdapter::azure(self.azure_container(bucket)?, &options)
            }
            _ => {
                let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket);
                if let Some(path) = &self.google_service_account {
                    builder = builder.with_service_account_path(path.to_string_lossy());
                }
                ObjectStoreAdapter::google(builder, &options)
            }
        };
        opened.map_err(|error| invalid(flag, error))
    }

    fn azure_container(&self, name: &str) -> Result<MicrosoftAzureBuilder, StoreConfigError> {
        let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(name);
        if let Some(account) = given(&self.azure_storage_account) {
            builder = builder.with_account(account);
        }
        if let Some(key) = non_empty_secret(&self.azure_storage_access_key) {
            builder = builder.with_access_key(key);
        }
        if let Some(endpoint) = given(&self.azure_endpoint) {
            check_url("azure-endpoint", endpoint, self.azure_allow_http, "azure-allow-http")?;
            builder = builder.with_endpoint(endpoint.to_owned());
        }
        Ok(builder)
    }
}
