//! The page in the program: `GET /` and `GET /console/assets/*`.
//!
//! The files are in the program itself. A request never reads a file of the machine.

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{HeaderMap, Uri};
use neap_http::ApiError;

use crate::{
    answer::{self, FileContent},
    headers::Caching,
};

#[derive(Clone, Copy, Debug)]
struct PageFile {
    /// The path in URLs.
    path: &'static str,
    /// The content, compressed with gzip.
    gzip: &'static [u8],
}

/// The files of the built page, sorted by path. Empty if the page was not built before the program.
static FILES: &[PageFile] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The path of the page.
const PAGE: &str = "/";

/// The answer in place of a page that was not built.
const NOT_BUILT: &str = "Neap is running. This program was built without its console.\n\n\
    To build it, with Node.js 20 or newer:\n\n    \
    npm ci --prefix console/web\n    \
    npm run build --prefix console/web\n    \
    cargo build --workspace --bins\n\n\
    scripts/quickstart does this if Node.js is installed.\n";

/// Returns whether the program contains the page.
pub fn is_page_embedded() -> bool {
    !FILES.is_empty()
}

/// Returns the routes of the page in the program. They need no token.
pub fn embedded_page_routes() -> Router {
    Router::new()
        .route(PAGE, get(page))
        .route("/console/assets/{*path}", get(asset))
}

async fn page(headers: HeaderMap) -> Response {
    match find(PAGE) {
        Some(page) => respond(page, Caching::Revalidated, &headers),
        None => answer::text(NOT_BUILT),
    }
}

async fn asset(uri: Uri, headers: HeaderMap) -> Response {
    match find(uri.path()) {
        Some(asset) => respond(asset, Caching::Immutable, &headers),
        None => ApiError::no_route().into_response(),
    }
}

/// Returns the file with exactly this path.
fn find(path: &str) -> Option<PageFile> {
    let index = FILES.binary_search_by(|file| file.path.cmp(path)).ok()?;
    FILES.get(index).copied()
}

fn respond(file: PageFile, caching: Caching, headers: &HeaderMap) -> Response {
    let content = FileContent::Compressed(Bytes::from_static(file.gzip));
    match answer::file(file.path, content, caching, headers) {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests;
