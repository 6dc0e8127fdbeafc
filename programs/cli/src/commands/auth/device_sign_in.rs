//! The sign-in at an identity provider on another device (RFC 8628).

use std::time::Duration;

use neap_bucket::World;
use neap_server::console::Console;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::Value;

use super::{CommandError, CommandResult, ConnectionArgs};
use crate::client::{Client, ClientError};

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Interval between two requests if the provider names none.
const DEFAULT_INTERVAL_SECONDS: u64 = 5;

/// The time by which the interval grows when the provider asks for it.
const SLOW_DOWN: Duration = Duration::from_secs(5);

/// Maximum time for a sign-in.
const MAX_WAIT: Duration = Duration::from_secs(30 * 60);

/// The provider of the server.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProviderConfig {
    enabled: bool,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    audience: String,
    #[serde(default)]
    scopes: Vec<String>,
    device_authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
}

#[derive(Deserialize)]
struct DeviceCode {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct ProviderTokens {
    access_token: Option<String>,
    id_token: Option<String>,
}

/// Returns a token of the provider, after the user has signed in there.
///
/// # Errors
///
/// The server has no provider, the provider supports no devices, or the user did not sign in.
pub(super) async fn token(
    server: &Client,
    connection: &ConnectionArgs,
    console: &mut Console,
    world: &World,
) -> CommandResult<String> {
    let path = "/api/v3/auth/oauth/config";
    let config: ProviderConfig = server.fetch_json(Method::GET, path, &[]).await?;
    let failed = |text: &str| CommandError::Account(text.to_owned());
    if !config.enabled {
        return Err(failed("the server has no identity provider"));
    }
    let endpoint = |address: &Option<String>| address.as_ref()?.parse::<Url>().ok();
    let endpoints =
        endpoint(&config.device_authorization_endpoint).zip(endpoint(&config.token_endpoint));
    let (device, tokens) =
        endpoints.ok_or_else(|| failed("the identity provider supports no sign-in by device"))?;
    let device = connection.client_without_token(&device)?;
    let tokens = connection.client_without_token(&tokens)?;
    let scopes = config.scopes.join(" ");
    let form = [
        ("client_id", config.client_id.as_str()),
        ("scope", &scopes),
        ("audience", &config.audience),
    ];
    let code: DeviceCode = device.ask_form(&form).await?;
    let address = code.verification_uri_complete.as_ref().unwrap_or(&code.verification_uri);
    console.report_text(&format!("Open {address} and confirm the code {}", code.user_code));
    let limit = Duration::from_secs(code.expires_in).min(MAX_WAIT);
    let waiting = poll(&tokens, &code, &config.client_id, world);
    let answer = world
        .timeout(limit, waiting)
        .await
        .ok_or_else(|| failed("the time for the sign-in is over"))??;
    // The audience of an ID token is the client.
    let token = if config.audience == config.client_id {
        answer.id_token
    } else {
        answer.access_token
    };
    token.ok_or_else(|| failed("the identity provider has sent no token"))
}

/// Asks for the tokens until the user has signed in.
async fn poll(
    provider: &Client,
    code: &DeviceCode,
    client_id: &str,
    world: &World,
) -> CommandResult<ProviderTokens> {
    let seconds = code.interval.unwrap_or(DEFAULT_INTERVAL_SECONDS).max(1);
    let mut interval = Duration::from_secs(seconds);
    let form = [
        ("grant_type", GRANT_TYPE),
        ("device_code", &code.device_code),
        ("client_id", client_id),
    ];
    loop {
        world.clock.sleep(interval).await;
        match provider.ask_form(&form).await {
            Ok(tokens) => return Ok(tokens),
            Err(ClientError::Refused { body, .. }) => match error_code(&body).as_deref() {
                Some("authorization_pending") => {}
                Some("slow_down") => interval = interval.saturating_add(SLOW_DOWN),
                code => {
                    let code = code.unwrap_or("unknown error");
                    let text = format!("the identity provider has refused the sign-in: {code}");
                    return Err(CommandError::Account(text));
                }
            },
            Err(error) => return Err(error.into()),
        }
    }
}

fn error_code(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    Some(body.get("error")?.as_str()?.to_owned())
}
