//! The server that receives the rows of a site.

use async_trait::async_trait;
use neap_bucket::Stamp;
use neap_http::STAMP_HEADER;
use neap_sync::{SiteAnswer, SiteRequest, SiteTarget, SiteTargetError};
use reqwest::header::CONTENT_TYPE;

use super::{Client, ClientError, retry::is_retryable};

/// Maximum size of an answer, in bytes.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// A server that receives the rows of a site.
#[derive(Clone, Debug)]
pub struct SyncTarget(Client);

impl SyncTarget {
    /// Returns the server of a client.
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    async fn exchange(&self, request: SiteRequest) -> Result<SiteAnswer, ClientError> {
        let SiteRequest {
            method,
            path,
            query,
            content_type,
            stamp,
            body,
        } = request;
        let mut builder = self.0.request(method, path).query(&query);
        builder = builder.header(CONTENT_TYPE, content_type);
        if let Some(stamp) = stamp {
            builder = builder.header(STAMP_HEADER, stamp.as_u64());
        }
        let mut response = self.0.send(builder.body(body)).await?;
        let stamp_text = response.headers().get(STAMP_HEADER).and_then(|it| it.to_str().ok());
        let stored = stamp_text.and_then(|text| text.parse().ok()).map(Stamp::from_u64);
        let mut answer = Vec::new();
        while let Some(chunk) = self.0.next_chunk(&mut response).await? {
            answer.extend_from_slice(&chunk);
            if answer.len() > MAX_ANSWER_BYTES {
                break;
            }
        }
        Ok(SiteAnswer {
            stamp: stored,
            body: answer.into(),
        })
    }
}

#[async_trait]
impl SiteTarget for SyncTarget {
    async fn send(&self, request: SiteRequest) -> Result<SiteAnswer, SiteTargetError> {
        self.exchange(request).await.map_err(|error| {
            let message = error.to_string();
            match error {
                ClientError::Refused {
                    status,
                    retry_after,
                    ..
                } if is_retryable(status) => SiteTargetError::Temporary {
                    message,
                    retry_after,
                },
                ClientError::Unreachable { .. } | ClientError::Interrupted { .. } => {
                    SiteTargetError::Temporary {
                        message,
                        retry_after: None,
                    }
                }
                ClientError::Refused { .. }
                | ClientError::UnexpectedResponse { .. }
                | ClientError::Settings(_) => SiteTargetError::Refused(message),
            }
        })
    }
}
