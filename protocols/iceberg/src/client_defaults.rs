//! What the configuration of the store tells readers of the files. It contains no secrets.

use std::collections::BTreeMap;

use neap_bucket::{ObjectStoreKind, StoreConfig};

/// Properties by their names in Iceberg. A client that sets one of them itself overrides it.
pub(crate) type ClientDefaults = BTreeMap<&'static str, String>;

/// Returns where a store of S3 is; nothing for other stores, whose URLs say it.
pub(crate) fn client_defaults(store: &StoreConfig) -> ClientDefaults {
    let mut defaults = ClientDefaults::new();
    if store.kind() != ObjectStoreKind::S3 {
        return defaults;
    }
    defaults.insert("s3.region", store.aws.region().to_owned());
    if let Some(endpoint) = store.aws.endpoint() {
        defaults.insert("s3.endpoint", endpoint.to_owned());
        // Servers other than AWS rarely have a host name for each bucket.
        defaults.insert("s3.path-style-access", "true".to_owned());
    }
    defaults
}

#[cfg(test)]
mod tests {
    use neap_bucket::AwsConfig;

    use super::*;

    fn defaults(aws: AwsConfig) -> ClientDefaults {
        client_defaults(&StoreConfig {
            bucket: Some("data".to_owned()),
            aws,
            ..StoreConfig::default()
        })
    }

    #[test]
    fn readers_learn_where_the_bucket_is_and_no_secret() {
        let region = [("s3.region", "us-east-1".to_owned())];
        assert_eq!(defaults(AwsConfig::default()), region.into());
        let compatible = AwsConfig {
            aws_default_region: Some("eu-central-1".to_owned()),
            aws_endpoint: Some("https://s3.example.org".to_owned()),
            aws_access_key_id: Some("AKID".parse().unwrap()),
            aws_secret_access_key: Some("SECRET".parse().unwrap()),
            ..AwsConfig::default()
        };
        let expected = [
            ("s3.endpoint", "https://s3.example.org".to_owned()),
            ("s3.path-style-access", "true".to_owned()),
            ("s3.region", "eu-central-1".to_owned()),
        ];
        assert_eq!(defaults(compatible), expected.into());
    }

    #[test]
    fn a_directory_needs_no_properties() {
        let directory =
            StoreConfig { data_dir: Some("/srv/data".into()), ..StoreConfig::default() };
        assert_eq!(client_defaults(&directory), ClientDefaults::new());
    }
}
