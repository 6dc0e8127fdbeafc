//! The addresses to listen on.

/// Parses a host and a port, such as `0.0.0.0:8181`, `[::]:8181` or `localhost:0`. The host is resolved when the
/// listener binds.
pub(super) fn parse_address(text: &str) -> Result<String, String> {
    let parts = text.rsplit_once(':');
    let is_address =
        parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if is_address {
        Ok(text.to_owned())
    } else {
        Err("a host and a port are expected, such as 0.0.0.0:8181".to_owned())
    }
}
