//! On whose behalf a request comes, as `fairness.key` says.
//!
//! By address: the client's own, or behind proxies of `trust.proxies` the rightmost address of `X-Forwarded-For` that is not
//! theirs. Whatever stands left of it was written by somebody unknown. IPv6 counts by /64, because one customer has at least
//! that many addresses. By header: the value of its last line, which the nearest hop wrote, byte by byte, and the address where
//! there is none. The header is believed from anybody: a tenant is as good as the authentication behind the header, so whoever
//! sets it must not let clients choose it.
//!
//! Only a hash is kept. Its keys are drawn when the process starts, so that no client can find a value that shares another
//! tenant's hash.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use loadline_core::{Cohort, Request, TenantId};
use loadline_http::classify::cohort;

use crate::budget::wall_clock;
use crate::buffers::Scratch;
use crate::config::settings::{Cidr, FairnessKey};
use crate::live::Live;

/// On whose behalf a request comes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tenant {
    /// There are no tenants.
    Unknown,
    /// Who is to get as much as others.
    Alike(TenantId),
    /// Who is served or not together with others of this group, for this hour.
    Grouped(Cohort),
}

impl Tenant {
    /// Tells the core.
    pub(crate) fn mark(self, request: Request) -> Request {
        match self {
            Self::Unknown => request,
            Self::Alike(tenant) => request.with_tenant(tenant),
            Self::Grouped(cohort) => request.with_cohort(cohort),
        }
    }
}

static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The tenant of the request in `scratch`, which came from `client`.
pub(crate) fn of(scratch: &Scratch, live: &Live, client: IpAddr) -> Tenant {
    let fairness = &live.settings.fairness;
    let fields = scratch.head.iter(&scratch.inbox);
    match hash(&fairness.key, &live.settings.trust.proxies, client, fields) {
        None => Tenant::Unknown,
        // The hash has its keys; a seed would add nothing.
        Some(hash) if fairness.cohorts => {
            Tenant::Grouped(Cohort::new(cohort(0, &hash.to_le_bytes(), wall_clock())))
        }
        Some(hash) => Tenant::Alike(TenantId::new(hash)),
    }
}

/// The hash of a request's tenant; `None` where there are no tenants. `fields` are the request's.
fn hash<'a>(
    key: &FairnessKey,
    trusted: &[Cidr],
    client: IpAddr,
    fields: impl DoubleEndedIterator<Item = (&'a [u8], &'a [u8])> + Clone,
) -> Option<u64> {
    if *key == FairnessKey::Off {
        return None;
    }
    let mut hasher = KEYS.build_hasher();
    match key {
        FairnessKey::Off => {}
        FairnessKey::ClientIp => address(origin(client, trusted, fields)).hash(&mut hasher),
        FairnessKey::Header(name) => {
            match fields.clone().rfind(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes())) {
                Some((_, value)) => value.hash(&mut hasher),
                None => address(origin(client, trusted, fields)).hash(&mut hasher),
            }
        }
    }
    Some(hasher.finish())
}

/// Whose request it is, as far as it can be believed: the last address before the first hop that is not trusted.
fn origin<'a>(
    client: IpAddr,
    trusted: &[Cidr],
    fields: impl DoubleEndedIterator<Item = (&'a [u8], &'a [u8])>,
) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut known = client.to_canonical();
    // Lines in reverse, and the addresses of a line in reverse: each hop appends what it saw.
    let lines = fields.rev().filter(|(name, _)| name.eq_ignore_ascii_case(b"x-forwarded-for"));
    let mut told = lines.flat_map(|(_, line)| line.rsplit(|byte| *byte == b','));
    while is_trusted(known) {
        // What is no address was not written by a proxy that knew its client; then the proxy itself is as far as is known.
        let Some(address) = told.next().and_then(parse) else { break };
        known = address;
    }
    known
}

/// An address as proxies write it: bare, or with a port.
fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address: Option<IpAddr> = bare.parse().ok();
    address.or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip())).map(|ip| ip.to_canonical())
}

/// What of an address tells one customer from another.
fn address(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        // The upper half; no global unicast prefix is below 2^32, where IPv4 is.
        IpAddr::V6(v6) => (u128::from(v6) >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn origin_of(client: &str, lines: &[&str]) -> IpAddr {
        let trusted = [Cidr::new(ip("10.0.0.0"), 8).unwrap(), Cidr::new(ip("fd00::"), 8).unwrap()];
        let fields = lines.iter().map(|line| (&b"X-Forwarded-For"[..], line.as_bytes()));
        origin(ip(client), &trusted, fields)
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        for (client, lines, expected) in [
            ("192.0.2.1", &["198.51.100.9"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.9"], "198.51.100.9"),
            ("10.0.0.1", &["203.0.113.5, 198.51.100.9"], "198.51.100.9"),
            ("10.0.0.1", &["203.0.113.5, 198.51.100.9,10.2.2.2 , 10.3.3.3"], "198.51.100.9"),
            ("10.0.0.1", &["203.0.113.5", "198.51.100.9, 10.2.2.2"], "198.51.100.9"),
            ("10.0.0.1", &["10.2.2.2, 10.3.3.3"], "10.2.2.2"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.9, , 10.3.3.3"], "10.3.3.3"),
            ("10.0.0.1", &["198.51.100.9:4711"], "198.51.100.9"),
            ("fd00::1", &["[2001:db8::7]:443"], "2001:db8::7"),
            ("fd00::1", &["[2001:db8::7]"], "2001:db8::7"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.9"], "198.51.100.9"),
        ] {
            assert_eq!(origin_of(client, lines), ip(expected), "{client} {lines:?}");
        }
    }

    #[test]
    fn a_customer_with_many_addresses_is_one_tenant() {
        assert_eq!(address(ip("2001:db8:1:2::1")), address(ip("2001:db8:1:2:ffff::9")));
        assert_ne!(address(ip("2001:db8:1:2::1")), address(ip("2001:db8:1:3::1")));
        assert_ne!(address(ip("192.0.2.1")), address(ip("192.0.2.2")));
    }

    #[test]
    fn tenants_by_header_and_without_one_by_address() {
        let key = FairnessKey::Header("x-tenant".to_owned());
        let of = |client: &str, fields: &[(&'static str, &'static str)]| {
            let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            hash(&key, &[], ip(client), fields).unwrap()
        };
        let acme = of("192.0.2.1", &[("X-Tenant", "acme")]);
        assert_eq!(
            acme,
            of("192.0.2.2", &[("accept", "*/*"), ("x-tenant", "claimed"), ("x-tenant", "acme")])
        );
        assert_ne!(acme, of("192.0.2.1", &[("x-tenant", "Acme")]));
        assert_eq!(of("192.0.2.1", &[]), of("192.0.2.1", &[("x-tenants", "acme")]));
        assert_ne!(of("192.0.2.1", &[]), of("192.0.2.2", &[]));
        let none = hash(&FairnessKey::Off, &[], ip("192.0.2.1"), std::iter::empty());
        assert_eq!(none, None);
    }
}
