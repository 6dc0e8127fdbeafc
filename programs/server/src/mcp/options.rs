//! The options of the tools for agents.

use clap::Args;

/// The options of the tools for agents.
#[derive(Debug, Args)]
#[command(next_help_heading = "Agents")]
pub(crate) struct McpArgs {
    /// Let agents write rows and create databases at /mcp, if their tokens permit it. Otherwise they can only read.
    #[arg(long)]
    pub(super) mcp_allow_writes: bool,

    /// Origins of web pages that may use /mcp beside those on this machine, with their ports, such as
    /// https://agents.example.com:443.
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',', value_parser = parse_origin)]
    pub(super) mcp_allowed_origins: Vec<String>,
}

/// Parses an origin with its port. `*` is any port.
fn parse_origin(text: &str) -> Result<String, String> {
    let host = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let is_origin = host.and_then(|host| host.rsplit_once(':')).is_some_and(|(host, port)| {
        let is_host = !host.is_empty() && !host.contains(['/', '?', '#', '@']);
        is_host && (port == "*" || port.parse::<u16>().is_ok())
    });
    if is_origin {
        Ok(text.to_owned())
    } else {
        Err("an origin with its port is expected, such as https://example.com:443".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_a_scheme_a_host_and_a_port() {
        for origin in ["https://example.com:443", "http://[::1]:8080", "http://host:*"] {
            assert_eq!(parse_origin(origin).as_deref(), Ok(origin));
        }
        for text in [
            "example.com:443",
            "https://example.com",
            "https://example.com:443/page",
            "https://:443",
            "ftp://example.com:21",
            "*",
        ] {
            assert!(parse_origin(text).is_err(), "{text}");
        }
    }
}
