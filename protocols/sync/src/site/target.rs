//! The requests of a site to the cluster that receives its rows.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode};
use neap_bucket::Stamp;
use ulid::Ulid;

use super::part::{OutgoingContent, OutgoingPart};
use crate::route::{DeletesBody, PositionAnswer};

/// The name under which a site ships, and the database that it ships to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteIdentity {
    /// The database of the receiving cluster.
    pub database: String,
    /// The name of the site.
    pub site: String,
}

/// A request to the receiving cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteRequest {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: &'static str,
    /// The parameters.
    pub query: Vec<(&'static str, String)>,
    /// The type of the body.
    pub content_type: &'static str,
    /// The value of the header `x-neap-stamp`.
    pub stamp: Option<Stamp>,
    /// The body.
    pub body: Bytes,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteAnswer {
    /// The status.
    pub status: StatusCode,
    /// The value of the header `x-neap-stamp`.
    pub stamp: Option<Stamp>,
    /// The value of the header `retry-after`.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

/// The reason why a request has no successful answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteTargetError {
    /// The request may succeed later: there is no connection, or the server is busy.
    #[error("{message}")]
    Temporary {
        /// Description for people.
        message: String,
        /// The time after which the server asks to repeat it.
        retry_after: Option<Duration>,
    },
    /// The request will not succeed.
    #[error("{0}")]
    Refused(String),
}

impl SiteAnswer {
    /// Returns the answer if it is a successful one. A part that does not start at the position of the site is one of a session that
    /// was overtaken by another one, so a new session goes on.
    fn successful(self) -> Result<Self, SiteTargetError> {
        let Self { status, retry_after, body, .. } = &self;
        if status.is_success() {
            return Ok(self);
        }
        let text = String::from_utf8_lossy(body);
        let message = format!("server responded with error [{status}]: {}", text.trim_end());
        let is_overtaken = || {
            let answer: Result<serde_json::Value, _> = serde_json::from_slice(body);
            answer.is_ok_and(|answer| answer.pointer("/data/position").is_some())
        };
        let is_temporary = match *status {
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => true,
            StatusCode::CONFLICT => is_overtaken(),
            _ => false,
        };
        Err(if is_temporary {
            SiteTargetError::Temporary { message, retry_after: *retry_after }
        } else {
            SiteTargetError::Refused(message)
        })
    }
}

/// The cluster that receives the rows of a site.
#[async_trait]
pub trait SiteTarget: Debug + Send + Sync {
    /// Sends a request.
    ///
    /// # Errors
    /// There is no answer. The request may have had an effect.
    async fn send(&self, request: SiteRequest) -> Result<SiteAnswer, SiteTargetError>;
}

/// Sends the requests of a site.
pub(crate) struct SiteClient<'a> {
    pub(crate) target: &'a dyn SiteTarget,
    pub(crate) identity: &'a SiteIdentity,
    pub(crate) source: Ulid,
}

impl SiteClient<'_> {
    fn query(&self) -> Vec<(&'static str, String)> {
        vec![
            ("db", self.identity.database.clone()),
            ("site", self.identity.site.clone()),
            ("source", self.source.to_string()),
        ]
    }

    /// Returns the position of the site; empty before the first part.
    ///
    /// # Errors
    /// The request failed, or the answer is none of a Neap server.
    pub(crate) async fn position(&self) -> Result<String, SiteTargetError> {
        let request = SiteRequest {
            method: Method::GET,
            path: "/api/v3/sync/position",
            query: self.query(),
            content_type: "application/json",
            stamp: None,
            body: Bytes::new(),
        };
        let answer = self.target.send(request).await?.successful()?;
        let parsed: Result<PositionAnswer, _> = serde_json::from_slice(&answer.body);
        let unexpected = |error: serde_json::Error| {
            SiteTargetError::Refused(format!("unexpected answer: {error}"))
        };
        Ok(parsed.map_err(unexpected)?.position)
    }

    /// Ships a part that starts at a position. Returns its stamp.
    ///
    /// # Errors
    /// The request failed. The part may be stored.
    pub(crate) async fn ship(
        &self,
        from: &str,
        part: &OutgoingPart,
        after: Option<Stamp>,
    ) -> Result<Option<Stamp>, SiteTargetError> {
        let mut query = self.query();
        query.push(("from", from.to_owned()));
        query.push(("to", part.to.to_string()));
        let (path, content_type, body) = match &part.content {
            OutgoingContent::Rows { body, decoded_bytes, .. } => {
                query.push(("decoded_bytes", decoded_bytes.to_string()));
                let path = "/api/v3/sync/rows";
                (path, "application/octet-stream", body.clone())
            }
            OutgoingContent::Deletes(deletes) => {
                let path = "/api/v3/sync/deletes";
                (path, "application/json", deletes_body(deletes)?)
            }
        };
        let request = SiteRequest {
            method: Method::POST,
            path,
            query,
            content_type,
            stamp: after,
            body,
        };
        Ok(self.target.send(request).await?.successful()?.stamp)
    }
}

fn deletes_body(deletes: &DeletesBody) -> Result<Bytes, SiteTargetError> {
    match serde_json::to_vec(deletes) {
        Ok(text) => Ok(text.into()),
        Err(error) => Err(SiteTargetError::Refused(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> SiteAnswer {
        SiteAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            stamp: Some(Stamp::from_u64(7)),
            retry_after: Some(Duration::from_secs(5)),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn a_busy_server_is_asked_again_and_a_refusal_is_final() {
        assert_eq!(answer(204, "").successful(), Ok(answer(204, "")));
        assert_eq!(
            answer(503, "busy\n").successful(),
            Err(SiteTargetError::Temporary {
                message: "server responded with error [503 Service Unavailable]: busy".to_owned(),
                retry_after: Some(Duration::from_secs(5)),
            })
        );
        let overtaken = answer(409, r#"{"error":"x","data":{"position":"1-0/1/0"}}"#);
        let error = overtaken.successful().unwrap_err();
        assert!(matches!(error, SiteTargetError::Temporary { .. }), "{error}");
        for status in [400, 401, 403, 404, 409, 413, 500] {
            let refused = answer(status, "no").successful();
            assert!(matches!(refused, Err(SiteTargetError::Refused(_))), "{status}");
        }
    }
}
