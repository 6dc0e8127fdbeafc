//! HTTP clients that record what `object_store` does not expose.

use async_trait::async_trait;
use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService},
};

use super::{connection_health::ReconnectingConnector, exchange::record_answer};

/// Creates HTTP clients that record their observations in the [`HttpExchange`](super::exchange::HttpExchange) of the
/// call.
#[derive(Clone, Debug)]
pub(super) struct ObservingConnector(pub(super) ReconnectingConnector);

impl HttpConnector for ObservingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = self.0.connect(options)?;
        Ok(HttpClient::new(ObservingService(client)))
    }
}

#[derive(Debug)]
struct ObservingService(HttpClient);

#[async_trait]
impl HttpService for ObservingService {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.0.execute(request).await;
        record_answer(&answer);
        answer
    }
}
