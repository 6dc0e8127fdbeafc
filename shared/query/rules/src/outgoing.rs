//! Requests to services that the administrator names by a URL.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, redirect::Policy};
use url::{Host, Url};

use crate::network_address::{CheckedResolver, is_refused};

/// The reason why requests can't be sent to a URL. It does not contain the URL, which may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutgoingUrlError {
    /// The URL is malformed, or neither http nor https.
    #[error("the URL is not an http or https URL")]
    Url,
    /// The address is link-local, or one at which a cloud describes the machine.
    #[error("the address is link-local or of a metadata service")]
    Address,
}

/// Parses a URL of an [`outgoing_client`].
///
/// # Errors
/// The text is no URL, or its address is refused.
///
/// # Examples
///
/// ```
/// use neap_rules::{OutgoingUrlError, parse_outgoing_url};
///
/// assert!(parse_outgoing_url("http://127.0.0.1:11434/v1").is_ok());
/// let refused = parse_outgoing_url("http://169.254.169.254/latest");
/// assert_eq!(refused, Err(OutgoingUrlError::Address));
/// ```
pub fn parse_outgoing_url(text: &str) -> Result<Url, OutgoingUrlError> {
    let url: Url = text.trim().parse().map_err(|_| OutgoingUrlError::Url)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(OutgoingUrlError::Url);
    }
    let is_refused = match url.host().ok_or(OutgoingUrlError::Url)? {
        Host::Ipv4(address) => is_refused(address.into()),
        Host::Ipv6(address) => is_refused(address.into()),
        // Its addresses are checked when it is resolved.
        Host::Domain(_) => false,
    };
    if is_refused {
        return Err(OutgoingUrlError::Address);
    }
    Ok(url)
}

/// Creates a client that sends requests to the URLs of the administrator and to no other address: it follows no redirects
/// and uses no proxy.
///
/// # Errors
/// The certificates of the system can't be read.
pub fn outgoing_client(timeout: Duration) -> Result<Client, reqwest::Error> {
    Client::builder()
        .timeout(timeout)
        .redirect(Policy::none())
        .no_proxy()
        .dns_resolver(Arc::new(CheckedResolver))
        .user_agent(concat!("neap/", env!("CARGO_PKG_VERSION")))
        .build()
}
