//! Recognizes URLs of this machine.

use url::{Host, Url};

/// Returns whether the URL is on this machine, so that proxies of the environment are not used, and encryption is not needed.
pub fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_are_on_this_machine() {
        for (address, expected) in [
            ("http://127.0.0.1:8181", true),
            ("http://localhost", true),
            ("http://[::1]:8181", true),
            ("http://10.0.0.1", false),
            ("http://example.org", false),
        ] {
            assert_eq!(is_this_machine(&address.parse().unwrap()), expected, "{address}");
        }
    }
}
