//! Google Cloud Storage and Azure Blob Storage.

use object_store::{azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder};

use super::{
    ObjectStoreAdapter, RemoteOptions, VersionScheme,
    clients::{ClientPair, ClientSource},
};
use crate::StorageClass;

impl ObjectStoreAdapter {
    /// Opens a bucket of Google Cloud Storage.
    pub fn google(
        builder: GoogleCloudStorageBuilder,
        options: &RemoteOptions,
    ) -> Result<Self, object_store::Error> {
        let connector = options.connector();
        let build = |options: &RemoteOptions| {
            let builder = builder
                .clone()
                .with_client_options(options.client())
                .with_retry(options.retry());
            builder.with_http_connector(connector.clone()).build()
        };
        let clients = ClientPair::new(build(options)?, build(&options.patient())?);
        let source = ClientSource::Permanent(clients);
        let classes = StorageClass::GOOGLE;
        Ok(Self::new(source, VersionScheme::Generations, classes, options))
    }

    /// Opens a container of Azure Blob Storage.
    pub fn azure(
        builder: MicrosoftAzureBuilder,
        options: &RemoteOptions,
    ) -> Result<Self, object_store::Error> {
        let connector = options.connector();
        let build = |options: &RemoteOptions| {
            let builder = builder
                .clone()
                .with_client_options(options.client())
                .with_retry(options.retry());
            builder.with_http_connector(connector.clone()).build()
        };
        let clients = ClientPair::new(build(options)?, build(&options.patient())?);
        let source = ClientSource::Permanent(clients);
        Ok(Self::new(source, VersionScheme::ETags, StorageClass::AZURE, options))
    }
}
