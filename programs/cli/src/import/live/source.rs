//! The connection to a running server.

use std::str::FromStr;

use clap::ValueEnum;
use neap_bucket::World;
use reqwest::{Method, RequestBuilder, Response, header};

use crate::{
    client::{Backoff, Client, ClientError},
    import::ImportError,
};

/// The major version of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SourceVersion {
    /// InfluxDB 1.
    #[value(name = "1")]
    V1,
    /// InfluxDB 2.
    #[value(name = "2")]
    V2,
    /// InfluxDB 3.
    #[value(name = "3")]
    V3,
}

/// The server to copy from.
#[derive(Clone, Debug)]
pub(crate) struct SourceSettings {
    /// A client without a token.
    pub(crate) client: Client,
    /// The version; `None` is the one that `/ping` answers.
    pub(crate) version: Option<SourceVersion>,
    /// A token, or `user:password` for InfluxDB 1.
    pub(crate) token: Option<SourceToken>,
}

/// A token of a source. `Debug` does not show it.
#[derive(Clone, derive_more::Debug)]
#[debug("SourceToken(…)")]
pub(crate) struct SourceToken(String);

impl FromStr for SourceToken {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.trim().to_owned()))
    }
}

/// A connected source.
#[derive(Debug)]
pub(super) struct Source {
    client: Client,
    pub(super) version: SourceVersion,
    token: Option<SourceToken>,
    world: World,
}

impl Source {
    /// Connects to a server, and determines its version.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, or does not tell its version.
    pub(super) async fn connect(
        settings: &SourceSettings,
        world: &World,
    ) -> Result<Self, ImportError> {
        let mut source = Self {
            client: settings.client.clone(),
            version: settings.version.unwrap_or(SourceVersion::V1),
            token: settings.token.clone(),
            world: world.clone(),
        };
        if settings.version.is_none() {
            let answer = source.send(|source| source.request(Method::GET, "/ping")).await?;
            let version = answer
                .headers()
                .get("x-influxdb-version")
                .and_then(|version| version.to_str().ok());
            source.version = version.and_then(parse_version).ok_or_else(|| ImportError::Query {
                query: "/ping".to_owned(),
                reason: "no version: name it with --from-version".to_owned(),
            })?;
        }
        Ok(source)
    }

    /// Builds a request with the token.
    pub(super) fn request(&self, method: Method, path: &'static str) -> RequestBuilder {
        let request = self.client.request(method, path);
        let Some(SourceToken(token)) = &self.token else {
            return request;
        };
        match (self.version, token.split_once(':')) {
            (SourceVersion::V1, Some((user, password))) => request.basic_auth(user, Some(password)),
            (SourceVersion::V1 | SourceVersion::V2, _) => {
                authorize(request, &format!("Token {token}"))
            }
            (SourceVersion::V3, _) => authorize(request, &format!("Bearer {token}")),
        }
    }

    /// Sends a request, again after failures that may pass.
    pub(super) async fn send(
        &self,
        request: impl Fn(&Self) -> RequestBuilder,
    ) -> Result<Response, ImportError> {
        let mut backoff = Backoff::new(self.world.clone());
        loop {
            match self.client.send(request(self)).await {
                Ok(answer) => return Ok(answer),
                Err(error) => backoff.wait_after(error).await.map_err(ImportError::Source)?,
            }
        }
    }

    /// Returns the next bytes of an answer.
    pub(super) async fn next_chunk(
        &self,
        answer: &mut Response,
    ) -> Result<Option<bytes::Bytes>, ClientError> {
        self.client.next_chunk(answer).await
    }
}

/// Adds a header that logs do not show.
fn authorize(request: RequestBuilder, value: &str) -> RequestBuilder {
    match header::HeaderValue::from_str(value) {
        Ok(mut value) => {
            value.set_sensitive(true);
            request.header(header::AUTHORIZATION, value)
        }
        // The server refuses the request, and says why.
        Err(_) => request,
    }
}

/// Parses `1.6.4`, `v2.7.1` or `3.10.0`.
fn parse_version(text: &str) -> Option<SourceVersion> {
    match text.trim_start_matches('v').chars().next()? {
        '1' => Some(SourceVersion::V1),
        '2' => Some(SourceVersion::V2),
        '3' => Some(SourceVersion::V3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_not_shown() {
        let token: SourceToken = "secret".parse().unwrap();
        assert_eq!(format!("{token:?}"), "SourceToken(…)");
    }

    #[test]
    fn versions_are_recognised() {
        assert_eq!(parse_version("1.6.4~rc1"), Some(SourceVersion::V1));
        assert_eq!(parse_version("v2.7.1"), Some(SourceVersion::V2));
        assert_eq!(parse_version("3.10.0"), Some(SourceVersion::V3));
        assert_eq!(parse_version("nightly"), None);
    }
}
