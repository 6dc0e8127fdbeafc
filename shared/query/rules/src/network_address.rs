//! Addresses that requests to other services are not sent to: those that only this machine or its cloud has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Addresses outside of the link-local ranges at which clouds describe a machine, with its credentials.
const METADATA_V4: [Ipv4Addr; 3] = [
    // Alibaba Cloud.
    Ipv4Addr::new(100, 100, 100, 200),
    // Oracle Cloud.
    Ipv4Addr::new(192, 0, 0, 192),
    // Azure: the agent of the virtual machine.
    Ipv4Addr::new(168, 63, 129, 16),
];

/// Unique local addresses at which clouds describe a machine, with its credentials.
const METADATA_V6: [Ipv6Addr; 4] = [
    // AWS: the machine, and the credentials of a pod.
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    // Google Cloud.
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    // Oracle Cloud.
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
];

/// The first 96 bits of addresses that stand for IPv4 addresses behind a NAT64.
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// The first 16 bits of 6to4 addresses, whose next 32 bits are an IPv4 address.
const PREFIX_6TO4: u16 = 0x2002;

/// Returns whether an address is link-local, of a metadata service, or not that of one machine.
pub(crate) fn is_refused(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_refused_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(embedded) => is_refused_v4(embedded),
            None => {
                address.is_unicast_link_local()
                    || address.is_multicast()
                    || address.is_unspecified()
                    || METADATA_V6.contains(&address)
            }
        },
    }
}

fn is_refused_v4(address: Ipv4Addr) -> bool {
    address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_unspecified()
        || METADATA_V4.contains(&address)
}

/// Returns the IPv4 address that an IPv6 address stands for.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = address.segments();
    if [a, b, c, d, e, f] == NAT64 {
        return Some(v4_of_segments(high, low));
    }
    if a == PREFIX_6TO4 {
        return Some(v4_of_segments(b, c));
    }
    address.to_ipv4_mapped()
}

fn v4_of_segments(high: u16, low: u16) -> Ipv4Addr {
    let [[one, two], [three, four]] = [high.to_be_bytes(), low.to_be_bytes()];
    Ipv4Addr::new(one, two, three, four)
}

/// The error of a name that can't be resolved, as `reqwest` has it.
type ResolveError = Box<dyn std::error::Error + Send + Sync>;

/// Resolves names to the addresses that requests may be sent to. The check is at each connection, so that a name which
/// gets another address later is refused, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckedResolver;

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                addresses.filter(|address| !is_refused(address.ip())).collect();
            if allowed.is_empty() {
                return Err("the name has no address that requests may be sent to".into());
            }
            Ok::<Addrs, ResolveError>(Box::new(allowed.into_iter()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_link_and_of_metadata_services_are_refused() {
        for refused in [
            "169.254.169.254",
            "169.254.170.2",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "100.100.100.200",
            "fe80::1",
            "fd00:ec2::254",
            "::",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
        ] {
            assert!(is_refused(refused.parse().unwrap()), "{refused}");
        }
        for allowed in ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.2", "1.1.1.1", "2606:4700::1111"]
        {
            assert!(!is_refused(allowed.parse().unwrap()), "{allowed}");
        }
    }

    #[tokio::test]
    async fn a_name_resolves_to_allowed_addresses() {
        let mut addresses = CheckedResolver.resolve("localhost".parse().unwrap()).await.unwrap();
        assert!(addresses.all(|address| address.ip().is_loopback()));
        let refused = CheckedResolver.resolve("169.254.169.254".parse().unwrap()).await;
        assert!(refused.is_err());
    }
}
