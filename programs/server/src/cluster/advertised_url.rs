//! The URL at which other processes reach the worker port of this one.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use url::Url;

use super::ClusterArgs;
use crate::ServeError;

/// Addresses that no machine has (RFC 5737, RFC 3849). A socket that is connected to one of them sends no packet, but
/// has the address from which this machine would send it.
const ELSEWHERE_V4: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
const ELSEWHERE_V6: (Ipv6Addr, u16) = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9);

/// Returns the URL of the option, or the one of the bound address.
pub(super) fn find(
    cluster: &ClusterArgs,
    bound: SocketAddr,
    is_encrypted: bool,
) -> Result<Url, ServeError> {
    if let Some(url) = &cluster.cluster_advertise {
        return Ok(url.clone());
    }
    let no_address = || ServeError::NoAdvertisedAddress(bound.to_string());
    let address = if bound.ip().is_unspecified() {
        SocketAddr::new(outgoing_address(bound).ok_or_else(no_address)?.ip(), bound.port())
    } else {
        bound
    };
    let scheme = if is_encrypted { "https" } else { "http" };
    let url = format!("{scheme}://{address}").parse();
    url.map_err(|_| no_address())
}

/// Returns the address from which this machine sends packets to others.
fn outgoing_address(bound: SocketAddr) -> Option<SocketAddr> {
    let socket = if bound.is_ipv4() {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect(ELSEWHERE_V4).ok()?;
        socket
    } else {
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect(ELSEWHERE_V6).ok()?;
        socket
    };
    let address = socket.local_addr().ok()?;
    (!address.ip().is_unspecified()).then_some(address)
}

/// Returns whether only this machine reaches an address such as `127.0.0.1:8182`.
pub(super) fn is_local(address: &str) -> bool {
    match address.parse::<SocketAddr>() {
        Ok(address) => address.ip().is_loopback(),
        Err(_) => address.rsplit_once(':').is_some_and(|(host, _)| host == "localhost"),
    }
}
