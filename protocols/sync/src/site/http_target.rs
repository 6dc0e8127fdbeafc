//! A server that receives the rows of a site, over HTTP.

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use neap_bucket::{Stamp, with_causes};
use neap_http::STAMP_HEADER;
use neap_http_client::{
    CertificatesError, is_this_machine, read_certificates, read_response_start,
};
use reqwest::{
    Client, Response, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
};

use super::target::{SiteAnswer, SiteRequest, SiteTarget, SiteTargetError};

/// Timeout for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of a request with its answer, longer than a server lets a write wait.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Maximum size of an answer, in bytes.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// The connection to a server.
#[derive(Clone, Copy, Debug)]
pub struct HttpTargetSettings<'a> {
    /// The address of the server.
    pub url: &'a Url,
    /// A PEM file with certificate authorities to trust beside those of the system.
    pub tls_ca: Option<&'a Path>,
}

/// A target can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum HttpTargetError {
    /// The token has characters that a header can't have.
    #[error("the token has characters that a header can't hold")]
    Token,
    /// The certificates can't be read.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    /// The client of HTTP can't be set up.
    #[error("cannot set up the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A server that receives the rows of a site.
#[derive(derive_more::Debug)]
#[debug("HttpTarget {{ url: {:?}, .. }}", self.url.as_str())]
pub struct HttpTarget {
    /// It has the token.
    client: Client,
    url: Url,
}

impl HttpTarget {
    /// Creates a target without connecting.
    ///
    /// # Errors
    /// The certificates can't be read, or the token can't be sent.
    pub fn new(
        settings: HttpTargetSettings<'_>,
        token: Option<&str>,
    ) -> Result<Self, HttpTargetError> {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| HttpTargetError::Token)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut builder = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .user_agent(concat!("neap/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers);
        if let Some(path) = settings.tls_ca {
            for certificate in read_certificates(path)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        if is_this_machine(settings.url) {
            builder = builder.no_proxy();
        }
        Ok(Self { client: builder.build()?, url: settings.url.clone() })
    }

    async fn exchange(&self, request: SiteRequest) -> Result<SiteAnswer, reqwest::Error> {
        let SiteRequest { method, path, query, content_type, stamp, body } = request;
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        let mut builder = self.client.request(method, url).query(&query);
        builder = builder.header(CONTENT_TYPE, content_type);
        if let Some(stamp) = stamp {
            builder = builder.header(STAMP_HEADER, stamp.as_u64());
        }
        let mut response = builder.body(body).send().await?;
        Ok(SiteAnswer {
            status: response.status(),
            stamp: header_number(&response, STAMP_HEADER.as_str()).map(Stamp::from_u64),
            retry_after: header_number(&response, RETRY_AFTER.as_str()).map(Duration::from_secs),
            body: read_response_start(&mut response, MAX_ANSWER_BYTES).await?,
        })
    }
}

fn header_number(response: &Response, header: &str) -> Option<u64> {
    response.headers().get(header)?.to_str().ok()?.parse().ok()
}

#[async_trait]
impl SiteTarget for HttpTarget {
    async fn send(&self, request: SiteRequest) -> Result<SiteAnswer, SiteTargetError> {
        let path = request.path;
        let answer = self.exchange(request).await;
        answer.map_err(|error| SiteTargetError::Temporary {
            message: format!("{path}: {}", with_causes(&error.without_url())),
            retry_after: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        let url = "http://127.0.0.1:1".parse().unwrap();
        let settings = HttpTargetSettings { url: &url, tls_ca: None };
        let target = HttpTarget::new(settings, Some("secret")).unwrap();
        assert!(!format!("{target:?}").contains("secret"));
        let refused = HttpTarget::new(settings, Some("line\nbreak"));
        assert!(matches!(refused, Err(HttpTargetError::Token)));
    }
}
