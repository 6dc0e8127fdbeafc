//! Groups client addresses by network.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// A group of addresses that counts as one client: an IPv4 address, or an IPv6 /64, which usually belongs to one
/// subscriber. All unknown addresses also count as one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientNetwork(Option<IpAddr>);

impl ClientNetwork {
    /// Returns the network of an address.
    pub fn from_address(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let network = address.to_bits() & (u128::MAX << 64);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
        }))
    }
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(IpAddr::V4(address)) => write!(f, "{address}"),
            Some(IpAddr::V6(network)) => write!(f, "{network}/64"),
            None => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_network_have_the_same_text() {
        for (address, network) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::/64"),
            ("2001:db8::2:0:0:1", "2001:db8::/64"),
        ] {
            let known = ClientNetwork::from_address(Some(address.parse().unwrap()));
            assert_eq!(known.to_string(), network, "{address}");
        }
        assert_eq!(ClientNetwork::from_address(None).to_string(), "unknown");
    }
}
