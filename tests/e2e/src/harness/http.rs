//! A blocking HTTP client.

use std::{collections::BTreeMap, fmt, io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use reqwest::{
    Method, Url,
    blocking::{Client, RequestBuilder},
    header::{AUTHORIZATION, HeaderMap},
};
use serde_json::{Value, json};

use super::command::{CommandOutput, neap, words};

/// Maximum wait for an answer. It is long, because the disk of a machine may stall for a minute right after a large
/// build.
const LIMIT: Duration = Duration::from_secs(180);

/// Idle time after which a connection is not used again, because servers close idle connections.
const IDLE: Duration = Duration::from_secs(10);

/// The header with the stamp of a write, which gives its position in the order of all writes.
pub(crate) const STAMP: &str = "x-neap-stamp";

/// Returns a body for the encoding `gzip`.
pub(crate) fn gzip(body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body.as_ref()).unwrap();
    encoder.finish().unwrap()
}

/// The address of a server.
#[derive(Clone, Debug)]
pub(crate) struct ServerClient {
    client: Client,
    url: String,
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl ServerClient {
    pub(crate) fn at(url: &str) -> Self {
        Self::with_headers(url, HeaderMap::new())
    }

    /// Returns the same address with a token in every request.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        let value = format!("Bearer {token}").parse().unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        Self::with_headers(&self.url, headers)
    }

    fn with_headers(url: &str, headers: HeaderMap) -> Self {
        let client = Client::builder()
            .no_proxy()
            .no_gzip()
            .timeout(LIMIT)
            .pool_idle_timeout(IDLE)
            .default_headers(headers);
        Self { client: client.build().unwrap(), url: url.to_owned() }
    }

    /// Creates the first token, which is an admin token.
    pub(crate) fn first_token(&self) -> String {
        let created =
            Reply::receive(self.request("POST", "/api/v3/configure/token/admin")).unwrap();
        assert_eq!(created.status, 201, "{}", created.text());
        let created: Value = serde_json::from_slice(&created.bytes).unwrap();
        created["token"].as_str().expect("a token").to_owned()
    }

    /// Creates a token with this permission, which is also its name.
    pub(crate) fn create_token(&self, admin: &str, permission: &str) -> String {
        let create = format!(
            "create token --format json --name {permission} --permission {permission} --token {admin}"
        );
        let created = self.run_command(&words(&create)).succeeded();
        let created: Value = serde_json::from_str(&created).unwrap();
        created["token"].as_str().unwrap().to_owned()
    }

    /// Runs a command against the server.
    pub(crate) fn run_command(&self, arguments: &[&str]) -> CommandOutput {
        neap(&[arguments, &["--host", self.url()]].concat())
    }

    /// Returns the URL of the server.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns a request to a path, which includes the query string.
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let url: Url = format!("{}{path}", self.url).parse().unwrap();
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), url)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        Reply::receive(self.request("GET", path)).unwrap()
    }

    /// Writes lines with timestamps in seconds, and returns the stamp.
    pub(crate) fn write(&self, database: &str, lines: &str) -> u64 {
        self.write_after(database, lines, None)
    }

    /// Writes lines ordered after a stamp, and returns the new stamp.
    pub(crate) fn write_after(&self, database: &str, lines: &str, after: Option<u64>) -> u64 {
        let reply = self.try_write(database, lines, after).unwrap();
        assert_eq!(reply.status, 204, "{}", reply.text());
        reply.stamp().expect("a stamp")
    }

    /// Writes lines with timestamps in seconds; an error if there is no answer.
    pub(crate) fn try_write(
        &self,
        database: &str,
        lines: &str,
        after: Option<u64>,
    ) -> reqwest::Result<Reply> {
        let path = format!("/api/v3/write_lp?db={database}&precision=second");
        let mut request = self.request("POST", &path).body(lines.to_owned());
        if let Some(stamp) = after {
            request = request.header(STAMP, stamp);
        }
        Reply::receive(request)
    }

    /// Returns the rows of an answer as JSON objects.
    pub(crate) fn query(&self, database: &str, sql: &str) -> Vec<Value> {
        self.query_after(database, sql, None)
    }

    /// Returns the rows of an answer that is not older than a stamp.
    pub(crate) fn query_after(&self, database: &str, sql: &str, after: Option<u64>) -> Vec<Value> {
        let body = json!({ "db": database, "q": sql }).to_string();
        let mut request = self.request("POST", "/api/v3/query_sql").body(body);
        if let Some(stamp) = after {
            request = request.header(STAMP, stamp);
        }
        let reply = Reply::receive(request).unwrap();
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
        serde_json::from_slice(&reply.bytes).unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    /// Returns the requests to the store so far, as kinds such as `get manifest` with their counts. Counts of zero are
    /// omitted, and so is `get node`: every 30 s a process looks at its own record, in the middle of any operation.
    pub(crate) fn store_requests(&self) -> StoreRequests {
        let text = self.get("/metrics").text();
        let counts = text.lines().filter_map(|line| {
            let labels = line.strip_prefix("neap_store_requests_total{")?;
            let (labels, count) = labels.rsplit_once("} ")?;
            let label = |name: &str| {
                let value = labels.split_once(&format!("{name}=\""))?.1;
                value.split_once('"').map(|(value, _)| value)
            };
            let kind = format!("{} {}", label("operation")?, label("class")?);
            (kind != "get node").then_some((kind, count.parse().ok()?))
        });
        StoreRequests(counts.collect())
    }
}

/// Numbers of requests to a store by operation and class of key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoreRequests(pub(crate) BTreeMap<String, u64>);

impl StoreRequests {
    /// Returns the number of requests of a kind.
    pub(crate) fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// Returns the requests after `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let more = self.0.iter().map(|(kind, count)| (kind.clone(), count - earlier.of(kind)));
        Self(more.filter(|(_, count)| *count > 0).collect())
    }
}

impl fmt::Display for StoreRequests {
    /// Formats as `1 get manifest, 1 list tail`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self.0.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        f.write_str(&kinds.join(", "))
    }
}

impl Reply {
    /// Sends a request; an error if there is no answer.
    pub(crate) fn receive(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send()?;
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            bytes: response.bytes()?.to_vec(),
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the stamp of a write.
    pub(crate) fn stamp(&self) -> Option<u64> {
        self.header(STAMP)?.parse().ok()
    }
}
