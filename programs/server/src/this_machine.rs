//! Recognizes URLs of this machine.

use std::net::IpAddr;

use url::Url;

/// Returns whether the URL is on this machine, so that proxy settings of the environment are ignored.
pub fn is_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_bypassed_for_this_machine() {
        for (address, expected) in [
            ("http://127.0.0.1:8181", true),
            ("http://localhost", true),
            ("http://[::1]:8181", true),
            ("http://10.0.0.1", false),
            ("http://example.org", false),
        ] {
            assert_eq!(
                is_this_machine(&address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
    }
}
