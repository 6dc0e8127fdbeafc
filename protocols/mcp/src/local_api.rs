//! The HTTP interface of this process, called without a connection.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use axum::{Router, body::Body};
use futures::{StreamExt, TryStreamExt};
use http::{
    Request,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use tower::ServiceExt;

use crate::{ApiRequest, ApiResponse, ApiUnavailable, ClientCredentials, HttpApi};

/// All routes of this process with their layers, `/mcp` included.
///
/// The routes of `/mcp` hold a weak reference to it, because they are a part of it.
#[derive(Debug)]
pub struct LocalApi {
    router: Router,
}

impl LocalApi {
    /// Builds the routes. `build` gets the API that `/mcp` calls.
    pub fn new(build: impl FnOnce(Arc<dyn HttpApi>) -> Router) -> Arc<Self> {
        Arc::new_cyclic(|api| Self { router: build(Arc::new(WeakApi(Weak::clone(api)))) })
    }

    /// Returns the routes.
    pub fn router(&self) -> Router {
        self.router.clone()
    }
}

/// The API of a process that may have ended.
#[derive(Debug)]
struct WeakApi(Weak<LocalApi>);

#[async_trait]
impl HttpApi for WeakApi {
    async fn send(
        &self,
        request: ApiRequest,
        credentials: &ClientCredentials,
    ) -> Result<ApiResponse, ApiUnavailable> {
        let api = self
            .0
            .upgrade()
            .ok_or_else(|| ApiUnavailable("the server is stopping".to_owned()))?;
        let request = to_http(request, credentials).map_err(|error| unavailable(&error))?;
        let Ok(response) = api.router().oneshot(request).await;
        let (head, body) = response.into_parts();
        let body = body.into_data_stream().map_err(|error| unavailable(&error));
        Ok(ApiResponse {
            status: head.status,
            headers: head.headers,
            body: body.boxed(),
        })
    }
}

fn to_http(
    request: ApiRequest,
    credentials: &ClientCredentials,
) -> Result<Request<Body>, http::Error> {
    let mut target = request.path.to_owned();
    if let Ok(query) = serde_urlencoded::to_string(&request.query)
        && !query.is_empty()
    {
        target = format!("{target}?{query}");
    }
    let mut built = Request::builder().method(request.method).uri(target).header(HOST, "localhost");
    if let Some(authorization) = &credentials.authorization {
        built = built.header(AUTHORIZATION, authorization);
    }
    if let Some(peer) = credentials.peer {
        built = built.extension(peer);
    }
    match request.body {
        Some(body) => built.header(CONTENT_TYPE, body.content_type).body(Body::from(body.bytes)),
        None => built.body(Body::empty()),
    }
}

fn unavailable(error: &impl ToString) -> ApiUnavailable {
    ApiUnavailable(error.to_string())
}
