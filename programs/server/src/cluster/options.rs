//! Options of distributed queries.

use std::path::PathBuf;

use clap::Args;
use neap_assembly::options::parse_bytes;
use url::Url;

use crate::listen_address::parse_address;

/// Options of the worker port, of connections to workers, and of the distribution of queries.
#[derive(Debug, Args)]
#[command(next_help_heading = "Workers")]
pub(crate) struct ClusterArgs {
    /// The address to listen on for parts of queries that other processes send, such as 10.0.0.1:8182. Only processes
    /// of the cluster should reach it. Needs --mode query.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(crate) cluster_address: Option<String>,

    /// The URL at which other processes reach --cluster-address; by default its address, or, if that is 0.0.0.0, the
    /// address from which this machine sends packets.
    #[arg(long, value_name = "URL", value_parser = parse_worker_url)]
    pub(crate) cluster_advertise: Option<Url>,

    /// The certificates of --cluster-address, as a PEM file. Needs --cluster-tls-key. When the files change, new
    /// connections get the new certificate.
    #[arg(long, value_name = "FILE")]
    pub(crate) cluster_tls_cert: Option<PathBuf>,

    /// The private key of the first certificate, as a PEM file. Needs --cluster-tls-cert.
    #[arg(long, value_name = "FILE")]
    pub(crate) cluster_tls_key: Option<PathBuf>,

    /// The certificates that sign those of all workers, as a PEM file.
    #[arg(long, value_name = "FILE")]
    pub(crate) cluster_tls_ca: Option<PathBuf>,

    /// The name in the certificates of all workers; by default the host of each worker's URL.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster_tls_name: Option<String>,

    /// Send parts of queries and their rows without encryption. All parties that can listen to the network between the
    /// processes can read the data of queries.
    #[arg(long)]
    pub(crate) cluster_without_tls: bool,

    /// Maximum number of workers that execute a query together. With 0 or 1, each query runs in its own process.
    #[arg(long, value_name = "NUMBER", default_value_t = 8)]
    pub(crate) distributed_max_workers: usize,

    /// Bytes of stored data that each worker of a query reads. A query that reads less than twice as many runs in its own
    /// process.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "256MiB")]
    pub(crate) distributed_bytes_per_worker: usize,
}

/// Parses the URL of a worker port.
fn parse_worker_url(text: &str) -> Result<Url, String> {
    let url = text.parse::<Url>().map_err(|error| error.to_string())?;
    let is_worker = matches!(url.scheme(), "http" | "https")
        && url.host().is_some()
        && url.path() == "/"
        && url.query().is_none()
        && url.username().is_empty();
    if is_worker {
        Ok(url)
    } else {
        Err("a URL such as http://10.0.0.1:8182 or https://HOST:PORT is expected".to_owned())
    }
}
