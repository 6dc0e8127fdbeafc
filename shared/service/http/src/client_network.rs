//! Groups client addresses by network.

use std::net::{IpAddr, Ipv6Addr};

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
