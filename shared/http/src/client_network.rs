//! Which addresses are taken for one client.

use std::net::{IpAddr, Ipv6Addr};

/// The addresses that are counted as one client: an address of IPv4, or a /64 of IPv6, which usually belongs to one
/// subscriber as a whole. All unknown addresses are one client, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientNetwork(Option<IpAddr>);

impl ClientNetwork {
    /// The network of an address.
    pub fn of(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let network = address.to_bits() & (u128::MAX << 64);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
        }))
    }
}
