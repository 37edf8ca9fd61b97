//! Where an endpoint is, as found by discovery: what stays when its name is resolved again.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An endpoint's identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// An address.
    Tcp(SocketAddr),
    /// A stream socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The share of an endpoint that counts as much as any other.
pub(crate) const EVEN_SHARE: u32 = 1_000_000;

/// A place, other addresses of the same host, and what the place is beside others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) place: Place,
    /// Tried when the place itself cannot be reached.
    pub(crate) spare: Vec<SocketAddr>,
    /// Those of a higher rank are for when those of the lower ones cannot be used.
    pub(crate) rank: u16,
    /// Its part of the requests to its rank, above 0; [`EVEN_SHARE`] is as much as any other.
    pub(crate) share: u32,
}

impl Found {
    pub(crate) fn at(place: Place) -> Self {
        Self { place, spare: Vec::new(), rank: 0, share: EVEN_SHARE }
    }
}

/// The endpoints behind a name's addresses.
///
/// An address is an endpoint, but a name with addresses of both families usually names each host twice: `localhost` is one app,
/// and two endpoints for it would mean twice the connections. So the IPv4 addresses are the endpoints, and the IPv6 addresses are
/// spare ones of theirs.
pub(crate) fn endpoints_of(mut addresses: Vec<SocketAddr>) -> Vec<Found> {
    addresses.sort_unstable();
    addresses.dedup();
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv4);
    let (places, spares) = if first.is_empty() { (second, first) } else { (first, second) };
    let mut found: Vec<_> = places.into_iter().map(|address| Found::at(Place::Tcp(address))).collect();
    let count = found.len().max(1);
    for (index, spare) in spares.into_iter().enumerate() {
        found[index % count].spare.push(spare);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(addresses: &[&str]) -> Vec<String> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let text = |found: &Found| {
            let spare: Vec<_> = found.spare.iter().map(ToString::to_string).collect();
            format!("{} {}", found.place, spare.join(" "))
        };
        endpoints_of(addresses).iter().map(|found| text(found).trim_end().to_owned()).collect()
    }

    #[test]
    fn an_address_is_an_endpoint_and_the_other_family_is_spare() {
        assert_eq!(endpoints(&["10.0.0.2:80", "10.0.0.1:80", "10.0.0.2:80"]), ["10.0.0.1:80", "10.0.0.2:80"]);
        assert_eq!(endpoints(&["[::1]:80", "127.0.0.1:80"]), ["127.0.0.1:80 [::1]:80"]);
        assert_eq!(endpoints(&["[::1]:80", "[::2]:80"]), ["[::1]:80", "[::2]:80"]);
        assert_eq!(endpoints(&["[::1]:8", "10.0.0.1:8", "10.0.0.2:8"]), ["10.0.0.1:8 [::1]:8", "10.0.0.2:8"]);
        assert!(endpoints(&[]).is_empty());
    }
}
