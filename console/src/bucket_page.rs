//! The page from the bucket, for functions whose program does not contain it: `GET /` and `GET /console/assets/*`.
//!
//! A deployment puts the built files below `console/`. A request costs 1 GET; browsers keep all files but the page itself.

use std::time::Duration;

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{HeaderMap, Uri};
use neap_bucket::{Bucket, ConsoleFile, Get, GetOptions, Key, PresignedObjects};
use neap_http::{ApiError, Kind};

use crate::{
    answer::{self, FileContent},
    headers::{Caching, allow_results_at},
};

/// Maximum bytes of a file (4 MiB). A larger object is not a file of the page.
const MAX_FILE_BYTES: usize = 4 << 20;

/// The validity of a URL that is only signed to learn its origin.
const URL_LIFETIME: Duration = Duration::from_secs(60);

/// The bucket with the page.
#[derive(Clone, Debug)]
pub struct PageBucket {
    /// The bucket.
    pub bucket: Bucket,
    /// The links to results that are too large for an answer; the page may read them at their origin.
    pub links: Option<PresignedObjects>,
    /// Whether the page is served. If not, all answers are 404.
    pub is_on: bool,
}

/// Returns the routes of the page in the bucket. They need no token.
pub fn bucket_page_routes(page_bucket: PageBucket) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/console/assets/{*path}", get(asset))
        .with_state(page_bucket)
}

impl PageBucket {
    /// Returns the origin of links to results; `None` if there are no links.
    async fn origin_of_results(&self) -> Option<String> {
        let key = Key::Console(ConsoleFile::page());
        let url = self.links.as_ref()?.url(&key, URL_LIFETIME).await;
        url.ok().as_deref().and_then(origin)
    }

    async fn respond(
        &self,
        file: ConsoleFile,
        caching: Caching,
        headers: HeaderMap,
    ) -> Result<Response, ApiError> {
        if !self.is_on {
            return Err(ApiError::no_route());
        }
        let name = file.to_string();
        let found = self.bucket.get(&Key::Console(file), GetOptions::default()).await?;
        let Get::Found(object) = found.value else {
            return Err(ApiError::no_route());
        };
        let bytes: Bytes = object.bytes;
        if bytes.len() > MAX_FILE_BYTES {
            return Err(ApiError::no_route());
        }
        let content = FileContent::Plain(bytes);
        let compress = move || answer::file(&name, content, caching, &headers);
        let compressed = tokio::task::spawn_blocking(compress).await;
        compressed.map_err(|error| ApiError::text(Kind::Internal, error.to_string()))?
    }
}

async fn page(State(page): State<PageBucket>, headers: HeaderMap) -> Response {
    let response = page.respond(ConsoleFile::page(), Caching::Revalidated, headers);
    let mut response = match response.await {
        Ok(response) => response,
        Err(error) => return error.into_response(),
    };
    if let Some(origin) = page.origin_of_results().await {
        allow_results_at(response.headers_mut(), &origin);
    }
    response
}

async fn asset(
    State(page): State<PageBucket>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Ok(file) = format!("assets/{path}").parse() else {
        return ApiError::no_route().into_response();
    };
    let response = page.respond(file, Caching::Immutable, headers);
    response.await.into_response()
}

/// Returns the origin of a URL: scheme, host and port.
fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    Some(format!("{scheme}://{}", authority.as_str()))
}

#[cfg(test)]
mod tests;
