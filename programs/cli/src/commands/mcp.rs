//! `neap mcp`: lets an agent on this machine use a server, by the Model Context Protocol over stdio.

use std::sync::Arc;

use async_trait::async_trait;
use clap::Args;
use futures::{StreamExt, stream};
use neap_bucket::World;
use neap_mcp::{
    ApiRequest, ApiResponse, ApiUnavailable, ClientCredentials, HttpApi, WriteAccess, serve_stdio,
};
use reqwest::header;

use super::{CommandResult, options::ConnectionArgs};
use crate::client::{Client, ClientError};

/// The options of `neap mcp`.
#[derive(Debug, Args)]
pub(super) struct McpArgs {
    /// Let the agent write rows and create databases, if the token permits it. Otherwise it can only read.
    #[arg(long)]
    allow_writes: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Answers the agent until it closes the standard input.
///
/// # Errors
///
/// The options are invalid, or the agent does not speak the protocol. A server that does not answer is an error of the
/// tool calls only.
pub(super) async fn run(args: &McpArgs, world: World) -> CommandResult {
    let api = Arc::new(RemoteApi(args.connection.client(None)?));
    let writes = if args.allow_writes {
        WriteAccess::Allowed
    } else {
        WriteAccess::ReadOnly
    };
    Ok(serve_stdio(api, writes, env!("CARGO_PKG_VERSION"), world).await?)
}

/// The HTTP interface of a server. The client has the token.
#[derive(derive_more::Debug)]
#[debug("RemoteApi {{ .. }}")]
struct RemoteApi(Client);

#[async_trait]
impl HttpApi for RemoteApi {
    async fn send(
        &self,
        request: ApiRequest,
        _: &ClientCredentials,
    ) -> Result<ApiResponse, ApiUnavailable> {
        let mut built = self.0.request(request.method, request.path);
        built = built.query(&request.query);
        if let Some(body) = request.body {
            built = built.header(header::CONTENT_TYPE, body.content_type).body(body.bytes);
        }
        match self.0.send(built).await {
            Ok(response) => Ok(ApiResponse {
                status: response.status(),
                headers: response.headers().clone(),
                body: response
                    .bytes_stream()
                    .map(|chunk| chunk.map_err(|error| ApiUnavailable(error.to_string())))
                    .boxed(),
            }),
            Err(ClientError::Refused { status, body, .. }) => Ok(ApiResponse {
                status,
                headers: header::HeaderMap::new(),
                body: stream::iter([Ok(body.into())]).boxed(),
            }),
            Err(error) => Err(ApiUnavailable(error.to_string())),
        }
    }
}
