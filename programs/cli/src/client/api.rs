//! HTTP client of a server's API.

use std::{path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use neap_bucket::World;
use neap_http_client::{
    CertificatesError, is_this_machine, read_certificates, read_response_start,
};
use neap_query::EMPTY_TABLE_HEADER;

use super::{
    ApiPath, ClientError, ClientResult,
    credentials::{CredentialsFile, SignInResponse, StoredSession},
    error::address,
};

/// Timeout for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for the next bytes of a response: longer than any query should take to start.
const READ_TIMEOUT: Duration = Duration::from_secs(600);
/// Maximum size of a response that is buffered: a refusal may list every line of a request.
const MAX_TEXT_BYTES: usize = 64 * 1024 * 1024;

/// A token. `Debug` does not show it.
#[derive(Clone, derive_more::Debug)]
#[debug("Token(…)")]
pub(crate) struct Token(String);

impl FromStr for Token {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.trim().to_owned()))
    }
}

/// Connection settings of a server.
#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    /// The server's address.
    pub(crate) url: Url,
    /// Authentication token.
    pub(crate) token: Option<Token>,
    /// The file with the session to use without a token.
    pub(crate) credentials: Option<CredentialsFile>,
    /// A PEM file with certificate authorities to trust beside those of the system.
    pub(crate) tls_ca: Option<PathBuf>,
    /// Accept any certificate.
    pub(crate) tls_no_verify: bool,
}

/// A client of one server. Cloning is cheap and shares the connections.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: Url,
    session: Option<Arc<ClientSession>>,
}

/// The session of a client, and the file in which it is kept.
#[derive(Debug)]
struct ClientSession {
    file: CredentialsFile,
    session: tokio::sync::Mutex<StoredSession>,
}

impl Client {
    /// Creates a client without connecting.
    ///
    /// # Errors
    ///
    /// [`ClientError::Settings`]: the certificates can't be read, or the token can't be sent.
    pub(crate) fn new(connection: &ClientSettings) -> ClientResult<Self> {
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent(concat!("neap/", env!("CARGO_PKG_VERSION")))
            .danger_accept_invalid_certs(connection.tls_no_verify)
            .no_gzip()
            .default_headers(authorization(connection.token.as_ref())?);
        if let Some(path) = &connection.tls_ca {
            let certificates = read_certificates(path);
            let unusable = |error: CertificatesError| ClientError::Settings(error.to_string());
            for certificate in certificates.map_err(unusable)? {
                http = http.add_root_certificate(certificate);
            }
        }
        if is_this_machine(&connection.url) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| {
            ClientError::Settings(format!("cannot set up the HTTP client: {error}"))
        })?;
        let url = connection.url.clone();
        let file = connection.credentials.as_ref();
        let session = match file.filter(|_| connection.token.is_none()) {
            Some(file) => file.find(&url)?.map(|session| {
                let (file, session) = (file.clone(), tokio::sync::Mutex::new(session));
                Arc::new(ClientSession { file, session })
            }),
            None => None,
        };
        Ok(Self { http, url, session })
    }

    /// Builds a request to a path below the server's address.
    pub(crate) fn request(&self, method: Method, path: impl Into<ApiPath>) -> RequestBuilder {
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{}", path.into().as_str()));
        self.http.request(method, url).header(EMPTY_TABLE_HEADER, "columns")
    }

    /// Sends a request; a response with an error status is an error.
    pub(crate) async fn send(&self, request: RequestBuilder) -> ClientResult<Response> {
        let request = match &self.session {
            Some(session) => {
                let token = self.access_token(session).await?;
                request.header(header::AUTHORIZATION, bearer(&token)?)
            }
            None => request,
        };
        self.execute(request).await
    }

    /// Returns the access token of a session, and renews the session before the token expires.
    async fn access_token(&self, client: &ClientSession) -> ClientResult<String> {
        let world = World::system();
        let mut known = client.session.lock().await;
        if !known.is_due(&world) {
            return Ok(known.access_token.clone());
        }
        let lock = client.file.lock(&world).await?;
        // Another process may have renewed or ended the session.
        let session = client.file.find(&self.url)?.ok_or_else(session_ended)?;
        let session = if session.is_due(&world) {
            let body = json!({ "refreshToken": session.refresh_token });
            let request = self
                .request(Method::POST, "/api/v3/authorize/refresh")
                .header(header::CONTENT_TYPE, "application/json");
            let response = self.execute(request.body(body.to_string())).await;
            if let Err(ClientError::Refused { status, .. }) = &response
                && *status == StatusCode::UNAUTHORIZED
            {
                client.file.replace(&lock, &self.url, None)?;
                return Err(session_ended());
            }
            let renewed: SignInResponse = self.read_json(response?).await?;
            let renewed = StoredSession::new(renewed, &world);
            client.file.replace(&lock, &self.url, Some(renewed.clone()))?;
            renewed
        } else {
            session
        };
        *known = session;
        Ok(known.access_token.clone())
    }

    /// Sends a request without the access token of the session.
    async fn execute(&self, request: RequestBuilder) -> ClientResult<Response> {
        let failed = |error| ClientError::of_request(&self.url, &error);
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let body = self.read_text(response).await?;
        Err(ClientError::Refused {
            status,
            body,
            retry_after: retry_after.map(Duration::from_secs),
        })
    }

    async fn read_text(&self, mut response: Response) -> ClientResult<String> {
        let read = read_response_start(&mut response, MAX_TEXT_BYTES).await;
        let bytes = read.map_err(|error| ClientError::of_request(&self.url, &error))?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// Returns the next bytes of a response.
    ///
    /// # Errors
    ///
    /// The response was interrupted.
    pub(crate) async fn next_chunk(
        &self,
        response: &mut Response,
    ) -> ClientResult<Option<bytes::Bytes>> {
        let chunk = response.chunk().await;
        chunk.map_err(|error| ClientError::of_request(&self.url, &error))
    }

    /// Posts a JSON body and discards the response.
    pub(crate) async fn post_json(
        &self,
        path: impl Into<ApiPath>,
        body: &impl Serialize,
    ) -> ClientResult {
        self.send_json(Method::POST, path, body).await.map(drop)
    }

    /// Posts a JSON body and returns the created resource; `None` if it already existed (status 204).
    ///
    /// # Errors
    ///
    /// The request failed or was refused, or the response can't be decoded.
    pub(crate) async fn create_json(
        &self,
        path: impl Into<ApiPath>,
        body: &impl Serialize,
    ) -> ClientResult<Option<Value>> {
        let response = self.send_json(Method::POST, path, body).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        self.read_json(response).await.map(Some)
    }

    /// Sends a JSON body and returns the JSON response.
    ///
    /// # Errors
    ///
    /// The request failed or was refused, or the response can't be decoded.
    pub(crate) async fn ask_json<T: DeserializeOwned>(
        &self,
        path: impl Into<ApiPath>,
        body: &impl Serialize,
    ) -> ClientResult<T> {
        let response = self.send_json(Method::POST, path, body).await?;
        self.read_json(response).await
    }

    /// Sends an SQL query; the response is in `format`, such as `csv`.
    pub(crate) async fn query_sql(
        &self,
        database: &str,
        sql: &str,
        format: &str,
    ) -> ClientResult<Response> {
        let body = json!({ "db": database, "q": sql, "format": format });
        self.send_json(Method::POST, "/api/v3/query_sql", &body).await
    }

    /// Sends an SQL query and deserializes the rows.
    ///
    /// # Errors
    ///
    /// The request failed or was refused, or the response can't be decoded.
    pub(crate) async fn query_rows<T: DeserializeOwned>(
        &self,
        database: &str,
        sql: &str,
    ) -> ClientResult<Vec<T>> {
        let response = self.query_sql(database, sql, "json").await?;
        self.read_json(response).await
    }

    /// Sends a JSON body with PUT.
    pub(crate) async fn put_json(
        &self,
        path: impl Into<ApiPath>,
        body: &impl Serialize,
    ) -> ClientResult {
        self.send_json(Method::PUT, path, body).await.map(drop)
    }

    async fn send_json(
        &self,
        method: Method,
        path: impl Into<ApiPath>,
        body: &impl Serialize,
    ) -> ClientResult<Response> {
        let body = serde_json::to_vec(body)
            .map_err(|error| ClientError::Settings(format!("cannot write JSON: {error}")))?;
        let request = self.request(method, path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body)).await
    }

    /// Posts a path and query without a body and discards the response.
    pub(crate) async fn post(
        &self,
        path: impl Into<ApiPath>,
        query: &[(&str, &str)],
    ) -> ClientResult {
        let request = self.request(Method::POST, path).query(query);
        self.send(request).await.map(drop)
    }

    /// Sends a request with a path and query and returns the JSON response.
    ///
    /// # Errors
    ///
    /// The request failed or was refused, or the response can't be decoded.
    pub(crate) async fn fetch_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: impl Into<ApiPath>,
        query: &[(&str, &str)],
    ) -> ClientResult<T> {
        let response = self.send(self.request(method, path).query(query)).await?;
        self.read_json(response).await
    }

    /// Deserializes a response.
    ///
    /// # Errors
    ///
    /// The response can't be decoded.
    pub(crate) async fn read_json<T: DeserializeOwned>(
        &self,
        response: Response,
    ) -> ClientResult<T> {
        let text = self.read_text(response).await?;
        serde_json::from_str(&text).map_err(|error| ClientError::UnexpectedResponse {
            url: address(&self.url),
            reason: error.to_string(),
        })
    }

    /// Sends a JSON body with PATCH.
    pub(crate) async fn patch_json(
        &self,
        path: impl Into<ApiPath>,
        body: &impl Serialize,
    ) -> ClientResult {
        self.send_json(Method::PATCH, path, body).await.map(drop)
    }

    /// Posts a form and returns the JSON response.
    ///
    /// # Errors
    ///
    /// The request failed or was refused, or the response can't be decoded.
    pub(crate) async fn ask_form<T: DeserializeOwned>(
        &self,
        form: &[(&str, &str)],
    ) -> ClientResult<T> {
        let request = self.http.post(self.url.clone()).form(form);
        let response = self.send(request).await?;
        self.read_json(response).await
    }

    /// Sends DELETE with a JSON body.
    pub(crate) async fn delete_json(
        &self,
        path: impl Into<ApiPath>,
        body: &impl Serialize,
    ) -> ClientResult {
        self.send_json(Method::DELETE, path, body).await.map(drop)
    }

    /// Sends DELETE with a path and query.
    pub(crate) async fn delete(
        &self,
        path: impl Into<ApiPath>,
        query: &[(&str, &str)],
    ) -> ClientResult {
        let request = self.request(Method::DELETE, path).query(query);
        self.send(request).await.map(drop)
    }
}

fn authorization(token: Option<&Token>) -> ClientResult<header::HeaderMap> {
    let mut headers = header::HeaderMap::new();
    if let Some(Token(token)) = token {
        headers.insert(header::AUTHORIZATION, bearer(token)?);
    }
    Ok(headers)
}

fn bearer(token: &str) -> ClientResult<header::HeaderValue> {
    let mut value = header::HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
        ClientError::Settings("the token has characters that a header can't hold".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn session_ended() -> ClientError {
    ClientError::Settings("the session has ended: sign in again with neap auth login".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(url: &str, token: Option<&str>) -> ClientSettings {
        ClientSettings {
            url: url.parse().unwrap(),
            token: token.map(|token| token.parse().unwrap()),
            credentials: None,
            tls_ca: None,
            tls_no_verify: false,
        }
    }

    #[test]
    fn paths_are_below_the_address() {
        for (address, expected) in [
            ("http://h:1", "http://h:1/api/v3/query_sql"),
            ("http://h:1/", "http://h:1/api/v3/query_sql"),
            ("https://h/proxy/", "https://h/proxy/api/v3/query_sql"),
        ] {
            let client = Client::new(&connection(address, None)).unwrap();
            let request = client.request(Method::GET, "/api/v3/query_sql");
            assert_eq!(request.build().unwrap().url().as_str(), expected);
        }
    }

    #[test]
    fn tokens_are_not_shown() {
        let connection = connection("http://h:1", Some("apiv3_secret"));
        assert!(!format!("{connection:?}").contains("secret"));
        let client = Client::new(&connection).unwrap();
        assert!(!format!("{client:?}").contains("secret"));
    }

    #[tokio::test]
    async fn connection_errors_name_no_password() {
        let client = Client::new(&connection("http://me:secret@127.0.0.1:9", None)).unwrap();
        let request = client.request(Method::GET, "/ping");
        let text = client.send(request).await.unwrap_err().to_string();
        assert!(text.starts_with("cannot connect to http://127.0.0.1:9/: "), "{text}");
    }

    #[tokio::test]
    async fn connection_errors_name_the_server() {
        let client = Client::new(&connection("http://127.0.0.1:9", None)).unwrap();
        let request = client.request(Method::GET, "/ping");
        let error = client.send(request).await.unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }));
        let text = error.to_string();
        assert!(text.starts_with("cannot connect to http://127.0.0.1:9/: "), "{text}");
    }
}
