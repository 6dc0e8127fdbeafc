//! Requests to a server, each of which waits for its answer.

use std::{collections::BTreeMap, fmt, time::Duration};

use reqwest::{
    Method, Url,
    blocking::{Client, RequestBuilder},
    header::{AUTHORIZATION, HeaderMap},
};
use serde_json::{Value, json};

/// The longest wait for an answer: right after a large build, the disk of a machine may stall for a minute.
const LIMIT: Duration = Duration::from_secs(180);

/// A connection that was idle for longer is not used again: servers close them after a while.
const IDLE: Duration = Duration::from_secs(10);

/// The header with the place of a write in the order of all writes.
pub(crate) const STAMP: &str = "x-neap-stamp";

/// An address to send requests to.
#[derive(Clone, Debug)]
pub(crate) struct Server {
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

impl Server {
    pub(crate) fn at(url: &str) -> Self {
        Self::with_headers(url, HeaderMap::new())
    }

    /// The same address, shown a token with every request.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        let value = format!("Bearer {token}").parse().unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        Self::with_headers(&self.url, headers)
    }

    fn with_headers(url: &str, headers: HeaderMap) -> Self {
        let client = Client::builder().no_proxy().timeout(LIMIT);
        let client = client.pool_idle_timeout(IDLE).default_headers(headers);
        Self {
            client: client.build().unwrap(),
            url: url.to_owned(),
        }
    }

    /// Creates the first token, which may do everything.
    pub(crate) fn first_token(&self) -> String {
        let created = Reply::of(self.request("POST", "/api/v3/configure/token/admin")).unwrap();
        assert_eq!(created.status, 201, "{}", created.text());
        let created: Value = serde_json::from_slice(&created.bytes).unwrap();
        created["token"].as_str().expect("a token").to_owned()
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A request to a path, query string included.
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let url: Url = format!("{}{path}", self.url).parse().unwrap();
        self.client
            .request(Method::from_bytes(method.as_bytes()).unwrap(), url)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        Reply::of(self.request("GET", path)).unwrap()
    }

    /// Writes lines with second timestamps, and gives the stamp.
    pub(crate) fn write(&self, database: &str, lines: &str) -> u64 {
        self.write_after(database, lines, None)
    }

    /// The same, ordered after a stamp.
    pub(crate) fn write_after(&self, database: &str, lines: &str, after: Option<u64>) -> u64 {
        let reply = self.try_write(database, lines, after).unwrap();
        assert_eq!(reply.status, 204, "{}", reply.text());
        reply.stamp().expect("a stamp")
    }

    /// Writes lines with second timestamps; an error if there is no answer.
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
        Reply::of(request)
    }

    /// The rows of an answer, as JSON objects.
    pub(crate) fn query(&self, database: &str, sql: &str) -> Vec<Value> {
        self.query_after(database, sql, None)
    }

    /// The same, for an answer that is not older than a stamp.
    pub(crate) fn query_after(&self, database: &str, sql: &str, after: Option<u64>) -> Vec<Value> {
        let body = json!({ "db": database, "q": sql }).to_string();
        let mut request = self.request("POST", "/api/v3/query_sql").body(body);
        if let Some(stamp) = after {
            request = request.header(STAMP, stamp);
        }
        let reply = Reply::of(request).unwrap();
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
        serde_json::from_slice(&reply.bytes).unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    /// The requests to the store so far that are not zero, as `get manifest` and how many.
    pub(crate) fn store_requests(&self) -> Requests {
        let text = self.get("/metrics").text();
        let counts = text.lines().filter_map(|line| {
            let labels = line.strip_prefix("neap_store_requests_total{")?;
            let (labels, count) = labels.rsplit_once("} ")?;
            let label = |name: &str| {
                let value = labels.split_once(&format!("{name}=\""))?.1;
                value.split_once('"').map(|(value, _)| value)
            };
            let kind = format!("{} {}", label("operation")?, label("class")?);
            Some((kind, count.parse().ok()?))
        });
        Requests(counts.collect())
    }
}

/// Requests to a store by operation and class of key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requests(pub(crate) BTreeMap<String, u64>);

impl Requests {
    /// How many there were of a kind.
    pub(crate) fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// Those that came after `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let more = self
            .0
            .iter()
            .map(|(kind, count)| (kind.clone(), count - earlier.of(kind)));
        Self(more.filter(|(_, count)| *count > 0).collect())
    }
}

impl fmt::Display for Requests {
    /// `1 get manifest, 1 list tail`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self
            .0
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        f.write_str(&kinds.join(", "))
    }
}

impl Reply {
    /// The answer to a request; an error if there is none.
    pub(crate) fn of(request: RequestBuilder) -> reqwest::Result<Self> {
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

    /// The stamp of a write.
    pub(crate) fn stamp(&self) -> Option<u64> {
        self.header(STAMP)?.parse().ok()
    }
}
