//! Requests to an identity provider.

use std::time::Duration;

use neap_http_client::{ResponseBodyError, is_this_machine, read_response};
use reqwest::{Client, Response, StatusCode, header::CONTENT_TYPE, redirect::Policy};
use serde::de::DeserializeOwned;
use url::{Url, form_urlencoded};

use crate::IdentityError;

/// Timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum bytes of an answer.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Reads documents of an identity provider.
#[derive(Debug)]
pub(super) struct ProviderHttp(Client);

impl ProviderHttp {
    /// Creates a client for the provider at this URL.
    pub(super) fn new(issuer: &Url) -> Result<Self, IdentityError> {
        let mut client = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT)
            // The address of a document is that of the discovery document, and not that of an answer.
            .redirect(Policy::none());
        if is_this_machine(issuer) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| unusable(error.to_string()))?;
        Ok(Self(client))
    }

    /// Reads a JSON document.
    /// Fails with `Provider`.
    pub(super) async fn read<T: DeserializeOwned>(&self, url: &Url) -> Result<T, IdentityError> {
        require_secure(url)?;
        let response = self.0.get(url.clone()).send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(unusable(format!("{url} answers {}", response.status())));
        }
        parse(url, response).await
    }

    /// Sends a form, and reads the JSON answer.
    /// Fails with `WrongCredentials` when the provider rejects the form, or `Provider`.
    pub(super) async fn send_form<T: DeserializeOwned>(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
    ) -> Result<T, IdentityError> {
        require_secure(url)?;
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self
            .0
            .post(url.clone())
            .body(form)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let response = request.send().await.map_err(failed)?;
        match response.status() {
            status if status.is_success() => parse(url, response).await,
            StatusCode::BAD_REQUEST => Err(IdentityError::WrongCredentials),
            status => Err(unusable(format!("{url} answers {status}"))),
        }
    }
}

async fn parse<T: DeserializeOwned>(url: &Url, mut response: Response) -> Result<T, IdentityError> {
    let body = match read_response(&mut response, MAX_ANSWER_BYTES).await {
        Ok(body) => body,
        Err(ResponseBodyError::Interrupted(error)) => return Err(failed(error)),
        Err(ResponseBodyError::TooLong(_)) => {
            return Err(unusable(format!("the answer of {url} is too long")));
        }
    };
    let document = serde_json::from_slice(&body);
    document.map_err(|error| unusable(format!("the answer of {url} is unusable: {error}")))
}

fn failed(error: reqwest::Error) -> IdentityError {
    unusable(error.to_string())
}

fn require_secure(url: &Url) -> Result<(), IdentityError> {
    if is_secure(url) {
        Ok(())
    } else {
        Err(unusable(format!("{url} is neither https nor on this machine")))
    }
}

/// Returns whether a URL is encrypted, or of this machine.
pub(crate) fn is_secure(url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => is_this_machine(url),
        _ => false,
    }
}

pub(super) fn unusable(reason: String) -> IdentityError {
    IdentityError::Provider { reason }
}
