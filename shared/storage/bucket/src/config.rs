//! The command-line flags that locate a database, shared by all programs, and the stores that they open.

mod connection;
mod flag;
mod kind;
mod opened_store;
#[cfg(feature = "other-clouds")]
mod other_clouds;

use std::{path::PathBuf, sync::Arc};

use clap::builder::BoolishValueParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser};
use object_store::{
    StaticCredentialProvider,
    aws::{AmazonS3Builder, AwsCredential, AwsCredentialProvider},
};

pub(crate) use self::flag::{given, invalid};
pub use self::{
    connection::ConnectionConfig,
    flag::{Secret, StoreConfigError},
    kind::ObjectStoreKind,
    opened_store::{OpenedStore, StoreKind},
};
use crate::{
    AwsCredentialSource, AwsCredentials, DirectoryAccess, DirectoryStore, FormatLevel,
    FormatLevels, MarginsPreset, MemoryStore, ObjectStoreAdapter, ObjectUploads, PrefixedStore,
    Store, TailLocation, TailLocations, World, with_environment,
};

/// The location of a database. With [`with_environment`], environment variables can set each flag.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Object store")]
pub struct StoreConfig {
    /// Type of object store [default: s3 with --bucket, otherwise file]
    #[arg(long, value_enum, env = "INFLUXDB3_OBJECT_STORE")]
    pub object_store: Option<ObjectStoreKind>,

    /// The directory for --object-store file
    #[arg(long, env = "INFLUXDB3_DB_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Access of other users to the directory for --object-store file
    #[arg(
        long,
        value_enum,
        env = "NEAP_DATA_DIR_ACCESS",
        value_name = "WHO",
        default_value = "owner"
    )]
    pub data_dir_access: DirectoryAccess,

    /// The bucket, or the container of Azure
    #[arg(long, env = "INFLUXDB3_BUCKET", value_name = "NAME")]
    pub bucket: Option<String>,

    /// Bucket for new data (the tail), for example an S3 Express bucket for writes in milliseconds
    #[arg(long, env = "NEAP_TAIL_BUCKET", value_name = "NAME")]
    pub tail_bucket: Option<String>,

    /// The former bucket for new data, which may be the main one, while the data are moved: new data are read in both buckets
    #[arg(long, env = "NEAP_FORMER_TAIL_BUCKET", value_name = "NAME")]
    pub former_tail_bucket: Option<String>,

    /// Key prefix of all objects, so that several clusters can share a bucket
    #[arg(long, env = "NEAP_KEY_PREFIX", value_name = "PREFIX")]
    pub key_prefix: Option<String>,

    /// Format level of a new cluster, which is recorded in it [default: the oldest one that this release knows]
    #[arg(long, env = "NEAP_FORMAT_LEVEL", value_name = "LEVEL")]
    pub format_level: Option<FormatLevel>,

    /// Time limits and margins of the storage protocol in a new cluster, which are recorded in it. All its processes use
    /// the recorded ones. The short ones are for tests on one machine
    #[arg(
        long,
        value_enum,
        env = "NEAP_PROTOCOL_MARGINS",
        value_name = "MARGINS",
        default_value = "standard",
        hide = true
    )]
    pub protocol_margins: MarginsPreset,

    /// Settings of Amazon S3 and compatible stores
    #[command(flatten)]
    pub aws: AwsConfig,

    /// The path of a Google service account's JSON file
    #[arg(long, env = "GOOGLE_SERVICE_ACCOUNT", value_name = "FILE")]
    pub google_service_account: Option<PathBuf>,

    /// The Azure storage account
    #[arg(long, env = "AZURE_STORAGE_ACCOUNT", value_name = "NAME")]
    pub azure_storage_account: Option<String>,

    /// The access key of the Azure storage account
    #[arg(
        long,
        env = "AZURE_STORAGE_ACCESS_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub azure_storage_access_key: Option<Secret>,

    /// The URL of an Azure-compatible store
    #[arg(long, env = "AZURE_ENDPOINT", value_name = "URL")]
    pub azure_endpoint: Option<String>,

    /// Allow plain HTTP for --azure-endpoint
    #[arg(long, env = "AZURE_ALLOW_HTTP", value_parser = BoolishValueParser::new())]
    pub azure_allow_http: bool,

    /// Connection settings of a store behind a network
    #[command(flatten)]
    pub connection: ConnectionConfig,
}

/// The flags of Amazon S3 and compatible stores.
#[derive(Args, Clone, Debug, Default)]
pub struct AwsConfig {
    /// The access key of S3; without one, the AWS SDK looks for credentials
    #[arg(
        long,
        alias = "aws-access-key",
        env = "AWS_ACCESS_KEY_ID",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub aws_access_key_id: Option<Secret>,

    /// The secret key that belongs to --aws-access-key-id
    #[arg(
        long,
        env = "AWS_SECRET_ACCESS_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub aws_secret_access_key: Option<Secret>,

    /// The session token, if --aws-access-key-id is a temporary one
    #[arg(
        long,
        env = "AWS_SESSION_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub aws_session_token: Option<Secret>,

    /// The region of the bucket [default: us-east-1]
    #[arg(long, env = "AWS_DEFAULT_REGION", value_name = "REGION")]
    pub aws_default_region: Option<String>,

    /// The URL of an S3-compatible store
    #[arg(long, env = "AWS_ENDPOINT", value_name = "URL")]
    pub aws_endpoint: Option<String>,

    /// Allow plain HTTP for --aws-endpoint
    #[arg(long, env = "AWS_ALLOW_HTTP", value_parser = BoolishValueParser::new())]
    pub aws_allow_http: bool,

    /// Don't sign requests: for a store without access control
    #[arg(long, env = "AWS_SKIP_SIGNATURE", value_parser = BoolishValueParser::new())]
    pub aws_skip_signature: bool,

    /// A JSON file with credentials, read again before they expire
    #[arg(long, env = "AWS_CREDENTIALS_FILE", value_name = "FILE")]
    pub aws_credentials_file: Option<PathBuf>,
}

fn non_empty_secret(secret: &Option<Secret>) -> Option<&str> {
    let text = secret.as_ref().map(Secret::reveal);
    text.filter(|text| !text.is_empty())
}

impl StoreConfig {
    /// Reads the configuration from the environment, for programs without a command line.
    pub fn from_environment() -> Result<Self, clap::Error> {
        #[derive(Parser)]
        struct Environment {
            #[command(flatten)]
            store: StoreConfig,
        }
        let command = with_environment(Environment::command());
        let matches = command.try_get_matches_from(["neap"])?;
        Ok(Environment::from_arg_matches(&matches)?.store)
    }

    /// Returns the kind of store that the flags select.
    pub fn kind(&self) -> ObjectStoreKind {
        self.object_store.unwrap_or(match given(&self.bucket) {
            Some(_) => ObjectStoreKind::S3,
            None => ObjectStoreKind::File,
        })
    }

    /// Opens the stores. Sends no request to a store behind a network.
    ///
    /// If the flags name no AWS credentials, they come from `credentials`. Without `credentials`, they come from the
    /// environment that the platform gives to functions, tasks and instances.
    ///
    /// # Errors
    /// A flag is missing, or its value can't be used.
    pub fn open(
        &self,
        world: &World,
        credentials: Option<&Arc<dyn AwsCredentialSource>>,
    ) -> Result<OpenedStore, StoreConfigError> {
        let kind = self.kind();
        let prefix = self.key_prefix()?;
        let format_levels = self.format_levels()?;
        let mut links = None;
        let (main, store_kind, uploads): (Arc<dyn Store>, _, _) = match kind {
            ObjectStoreKind::Memory | ObjectStoreKind::MemoryThrottled => {
                if kind == ObjectStoreKind::MemoryThrottled {
                    tracing::warn!("--object-store memory-throttled is the same as memory");
                }
                let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
                let uploads = ObjectUploads::collected(Arc::clone(&store), prefix.as_str());
                (store, StoreKind::Memory, uploads)
            }
            ObjectStoreKind::File => {
                let missing = StoreConfigError::Missing { flag: "data-dir", kind };
                let root = self.data_dir.as_ref().ok_or(missing)?;
                let store = DirectoryStore::open_with(root, self.data_dir_access, world)
                    .map_err(|error| invalid("data-dir", error))?;
                let store = Arc::new(store);
                let uploads = ObjectUploads::directory(Arc::clone(&store), prefix.as_str());
                (store, StoreKind::Directory, uploads)
            }
            ObjectStoreKind::S3 | ObjectStoreKind::Google | ObjectStoreKind::Azure => {
                let missing = StoreConfigError::Missing { flag: "bucket", kind };
                let bucket = given(&self.bucket).ok_or(missing)?;
                let store = self.remote("bucket", kind, bucket, world, credentials)?;
                let objects = store.links(prefix.as_str());
                let uploads = ObjectUploads::network(objects.clone(), prefix.as_str());
                links = Some(objects);
                (Arc::new(store), StoreKind::Network, uploads)
            }
        };
        let main = prefixed(main, &prefix);
        let open_tail = |flag: &'static str,
                         location: &TailLocation|
         -> Result<Arc<dyn Store>, StoreConfigError> {
            let Some(bucket) = location.name() else {
                return Ok(Arc::clone(&main));
            };
            let store = self.remote(flag, kind, bucket, world, credentials)?;
            Ok(prefixed(Arc::new(store), &prefix))
        };
        let tail_locations = self.tail_locations(store_kind)?;
        let (tail, former_tail) = match &tail_locations {
            None => (Arc::clone(&main), None),
            Some(locations) => {
                let open_former = |former| open_tail("former-tail-bucket", former);
                let former = locations.former.as_ref().map(open_former).transpose()?;
                (open_tail("tail-bucket", &locations.current)?, former)
            }
        };
        Ok(OpenedStore {
            tail,
            former_tail,
            tail_locations,
            main,
            kind: store_kind,
            margins: store_kind.margins(self.protocol_margins),
            format_levels,
            links,
            uploads,
        })
    }

    /// Returns the format levels of this program, with that of a new cluster, which it must know.
    fn format_levels(&self) -> Result<FormatLevels, StoreConfigError> {
        let supported = FormatLevels::SUPPORTED;
        let initial = self.format_level.unwrap_or(supported.oldest);
        if !supported.includes(initial) {
            let reason = format!("this release knows {supported}, not {initial}");
            return Err(invalid("format-level", reason));
        }
        Ok(FormatLevels { initial, ..supported })
    }

    /// Returns the locations of segments; `None` if the kind of the store has only one.
    /// Fails if the store has no buckets, or the former location is the current one.
    fn tail_locations(&self, kind: StoreKind) -> Result<Option<TailLocations>, StoreConfigError> {
        let flags = [
            ("tail-bucket", given(&self.tail_bucket)),
            ("former-tail-bucket", given(&self.former_tail_bucket)),
        ];
        if kind != StoreKind::Network {
            let set = flags.into_iter().find(|(_, name)| name.is_some());
            return set.map_or(Ok(None), |(flag, _)| {
                let reason = format!("--object-store {} has no buckets", self.kind());
                Err(invalid(flag, reason))
            });
        }
        let main = given(&self.bucket);
        let [current, former] = flags.map(|(_, name)| {
            name.map(|name| match main {
                Some(main) if main == name => TailLocation::MAIN,
                _ => TailLocation::bucket(name),
            })
        });
        let locations = TailLocations { current: current.unwrap_or_default(), former };
        if locations.former.as_ref() == Some(&locations.current) {
            let reason = "it is the bucket that new data go to";
            return Err(invalid("former-tail-bucket", reason));
        }
        Ok(Some(locations))
    }

    /// Returns the prefix of the cluster's keys: empty, or path parts that each end with a slash.
    ///
    /// # Errors
    /// The prefix has characters that are not allowed in keys.
    pub fn key_prefix(&self) -> Result<String, StoreConfigError> {
        let prefix = given(&self.key_prefix).map(|prefix| prefix.trim_matches('/'));
        let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) else {
            return Ok(String::new());
        };
        let usable = |part: &str| {
            let plain = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
            !matches!(part, "" | "." | "..") && part.chars().all(plain)
        };
        if !prefix.split('/').all(usable) {
            let reason = "use letters, digits, '-', '_' and '.', and '/' between parts";
            return Err(invalid("key-prefix", reason));
        }
        Ok(format!("{prefix}/"))
    }

    fn remote(
        &self,
        flag: &'static str,
        kind: ObjectStoreKind,
        bucket: &str,
        world: &World,
        credentials: Option<&Arc<dyn AwsCredentialSource>>,
    ) -> Result<ObjectStoreAdapter, StoreConfigError> {
        let mut options = self.connection.options()?;
        if matches!(kind, ObjectStoreKind::Google | ObjectStoreKind::Azure) {
            return self.other_cloud(flag, kind, bucket, options);
        }
        options.allow_http = self.aws.aws_allow_http;
        let builder = self.aws.builder(world, credentials)?.with_bucket_name(bucket);
        // The names of directory buckets have this suffix, and no others do.
        let opened = if bucket.ends_with("--x-s3") {
            ObjectStoreAdapter::s3_express(builder, &options, Arc::clone(&world.clock))
        } else {
            ObjectStoreAdapter::s3(builder, &options)
        };
        opened.map_err(|error| invalid(flag, error))
    }

    /// Refuses the stores of clouds that the program leaves out.
    #[cfg(not(feature = "other-clouds"))]
    fn other_cloud(
        &self,
        _: &'static str,
        kind: ObjectStoreKind,
        _: &str,
        _: crate::RemoteOptions,
    ) -> Result<ObjectStoreAdapter, StoreConfigError> {
        let reason = format!("this program opens no stores of {kind}, because it runs on AWS");
        Err(invalid("object-store", reason))
    }
}

fn prefixed(store: Arc<dyn Store>, prefix: &str) -> Arc<dyn Store> {
    if prefix.is_empty() {
        store
    } else {
        Arc::new(PrefixedStore::new(store, prefix))
    }
}

fn check_url(
    flag: &'static str,
    url: &str,
    allow_http: bool,
    http_flag: &str,
) -> Result<(), StoreConfigError> {
    let uri: http::Uri = url
        .parse()
        .map_err(|error| invalid(flag, format!("'{url}' is not a URL: {error}")))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => Ok(()),
        (Some("http"), Some(_)) if allow_http => Ok(()),
        (Some("http"), Some(_)) => Err(invalid(flag, format!("'{url}' needs --{http_flag}"))),
        _ => Err(invalid(flag, format!("'{url}' is not an HTTP URL"))),
    }
}

impl AwsConfig {
    /// The region.
    pub fn region(&self) -> &str {
        given(&self.aws_default_region).unwrap_or("us-east-1")
    }

    /// The endpoint of a store other than AWS.
    pub fn endpoint(&self) -> Option<&str> {
        given(&self.aws_endpoint)
    }

    fn builder(
        &self,
        world: &World,
        credentials: Option<&Arc<dyn AwsCredentialSource>>,
    ) -> Result<AmazonS3Builder, StoreConfigError> {
        let mut builder = AmazonS3Builder::new()
            .with_region(self.region())
            .with_skip_signature(self.aws_skip_signature);
        if let Some(endpoint) = self.endpoint() {
            check_url("aws-endpoint", endpoint, self.aws_allow_http, "aws-allow-http")?;
            builder = builder.with_endpoint(endpoint);
        }
        Ok(builder.with_credentials(self.credentials(world, credentials)?))
    }

    /// Returns the credentials that the platform gives to functions, tasks and instances, as far as `object_store`
    /// supports it.
    fn platform_credentials(&self) -> Result<AwsCredentialProvider, StoreConfigError> {
        let builder = AmazonS3Builder::from_env().with_region(self.region());
        // Credentials do not depend on a bucket, but `object_store` offers them only through a store.
        let store = builder
            .with_bucket_name("credentials")
            .build()
            .map_err(|error| invalid("aws-access-key-id", error))?;
        Ok(Arc::clone(store.credentials()))
    }

    /// Returns the credentials that sign requests to AWS. In order of precedence, they come from the credentials file,
    /// from fixed keys, from `source`, or, without a source, from the platform.
    ///
    /// # Errors
    /// Only one of the access key and the secret key is given.
    pub fn credentials(
        &self,
        world: &World,
        source: Option<&Arc<dyn AwsCredentialSource>>,
    ) -> Result<AwsCredentialProvider, StoreConfigError> {
        if let Some(path) = &self.aws_credentials_file {
            return Ok(Arc::new(AwsCredentials::from_file(path, world.clone())));
        }
        let secret = non_empty_secret(&self.aws_secret_access_key);
        match (non_empty_secret(&self.aws_access_key_id), secret) {
            (Some(key), Some(secret)) => {
                let credential = AwsCredential {
                    key_id: key.to_owned(),
                    secret_key: secret.to_owned(),
                    token: non_empty_secret(&self.aws_session_token).map(str::to_owned),
                };
                Ok(Arc::new(StaticCredentialProvider::new(credential)))
            }
            (Some(_), None) => {
                let reason = "--aws-secret-access-key is needed with it";
                Err(invalid("aws-access-key-id", reason))
            }
            (None, Some(_)) => {
                let reason = "--aws-access-key-id is needed with it";
                Err(invalid("aws-secret-access-key", reason))
            }
            (None, None) => match source {
                Some(source) => {
                    let credentials = AwsCredentials::new(Arc::clone(source), world.clone());
                    Ok(Arc::new(credentials))
                }
                None => self.platform_credentials(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
