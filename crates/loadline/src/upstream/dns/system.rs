//! What the machine is set up with for names: `/etc/resolv.conf` (servers, search list, and of the options `ndots`, `timeout` and
//! `attempts`) and `/etc/hosts`.
//!
//! Both are read anew for each lookup, for they change under a running process: a laptop's network, a container's links.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{ATTEMPTS, PATIENCE, Servers};

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";

/// DNS's own port.
const PORT: u16 = 53;

/// Asked when the system names no server, as resolv.conf(5) has it.
const LOCAL_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT);

/// Largest values of the options that are believed (resolv.conf(5)).
const MOST_DOTS: usize = 15;
const MOST_SECONDS: u64 = 30;
const MOST_ATTEMPTS: usize = 5;

/// The servers of the system.
pub(in crate::upstream) fn servers() -> Servers {
    from_resolv_conf(&fs::read_to_string(RESOLV_CONF).unwrap_or_default())
}

/// What the hosts file says of `host`; nothing: it is not in there.
pub(in crate::upstream) fn hosts_file(host: &str) -> Vec<IpAddr> {
    in_hosts(&fs::read_to_string(HOSTS).unwrap_or_default(), host)
}

fn from_resolv_conf(text: &str) -> Servers {
    let mut servers =
        Servers { servers: Vec::new(), search: Vec::new(), ndots: 1, attempts: ATTEMPTS, patience: PATIENCE };
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => {
                let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                servers.servers.extend(address.map(|address| SocketAddr::new(address, PORT)));
            }
            Some("search" | "domain") => {
                let domains = words.map(|word| word.trim_matches('.').to_owned());
                // `search .` is how one writes that there is none.
                servers.search = domains.filter(|domain| !domain.is_empty()).collect();
            }
            Some("options") => words.for_each(|option| set_option(&mut servers, option)),
            _ => {}
        }
    }
    if servers.servers.is_empty() {
        servers.servers.push(LOCAL_SERVER);
    }
    servers
}

fn set_option(servers: &mut Servers, option: &str) {
    let Some((name, value)) = option.split_once(':') else { return };
    let Ok(value) = value.parse::<u32>() else { return };
    let number = value as usize;
    match name {
        "ndots" => servers.ndots = number.min(MOST_DOTS),
        "timeout" => servers.patience = Duration::from_secs(u64::from(value).clamp(1, MOST_SECONDS)),
        "attempts" => servers.attempts = number.clamp(1, MOST_ATTEMPTS),
        _ => {}
    }
}

fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
        if words.any(|name| name.eq_ignore_ascii_case(host)) {
            found.extend(address);
        }
    }
    // This one is never asked for elsewhere (RFC 6761, section 6.3); an image made from nothing has no hosts file.
    if found.is_empty() && host.eq_ignore_ascii_case("localhost") {
        found.extend([IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)]);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_servers_domains_and_options() {
        let text = "# made\nnameserver 10.96.0.10\nnameserver fd00::1\nsearch a.svc.cluster.local. cluster.local\n\
                    options ndots:5 timeout:1 attempts:9 edns0 rotate timeout:x\n";
        let servers = from_resolv_conf(text);
        assert_eq!(servers.servers, ["10.96.0.10:53".parse().unwrap(), "[fd00::1]:53".parse().unwrap()]);
        assert_eq!(servers.search, ["a.svc.cluster.local", "cluster.local"]);
        assert_eq!((servers.ndots, servers.attempts), (5, 5), "nobody is asked for ever");
        assert_eq!(servers.patience, Duration::from_secs(1));
        assert_eq!(from_resolv_conf("nameserver nonsense\nsearch ."), Servers::only(LOCAL_SERVER));
    }

    #[test]
    fn the_hosts_file() {
        let text = "127.0.0.1 localhost\n::1 localhost # both\n10.0.0.1 app.example App # app.com\nfe80::1%lo app\n\n10.0.0.2\tapp";
        let found = |host: &str| -> Vec<_> { in_hosts(text, host).iter().map(IpAddr::to_string).collect() };
        assert_eq!(found("localhost"), ["127.0.0.1", "::1"]);
        assert_eq!(found("app"), ["10.0.0.1", "10.0.0.2"], "all lines, aliases, either case");
        assert_eq!(found("app.example."), ["10.0.0.1"]);
        assert!(found("app.com").is_empty() && found("10.0.0.1").is_empty());
        assert_eq!(in_hosts("", "localhost").len(), 2);
    }
}
