//! Texts that name a place or a peer: listeners, upstreams, paths, networks and the operator's token.
//!
//! Nothing here touches the network: a host name is checked for its letters only, because names are resolved, and resolved
//! again, at run time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::settings::{Cidr, Secret, Upstream};
use super::value::{Codec, Raw, quoted};

/// Longest host name that DNS allows (RFC 1035, section 2.3.4), in bytes.
const MAX_HOST: usize = 253;

/// A listening address as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bind {
    /// Address and port.
    Address(SocketAddr),
    /// A port alone: the addresses of the layer below keep, so that `PORT=9000` never opens what a file had closed.
    Port(u16),
}

/// Reads `0.0.0.0:8000`, `[::]:8000`, `:8000` (all IPv4 addresses) or `8000`.
///
/// # Errors
/// What was expected. A bare port 0 is refused; `127.0.0.1:0` asks the system for a free port.
pub(super) fn parse_bind(text: &str) -> Result<Bind, String> {
    let wrong =
        || format!("{text:?} is not an address to listen on (try \"0.0.0.0:8000\", \"[::]:8000\", 8000)");
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return parse_port(text).map(Bind::Port).ok_or_else(|| {
            if text.is_empty() { wrong() } else { format!("{text} is not a port from 1 to 65535") }
        });
    }
    let address = match text.strip_prefix(':') {
        Some(port) => parse_port(port).map(|port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        None => text.parse().ok(),
    };
    address.map(Bind::Address).ok_or_else(wrong)
}

/// Reads an upstream; a name without a port gets `default_port`, the port that clients connect to, as Spillway has it.
///
/// # Errors
/// What was expected, and for `https` why it is refused.
pub(super) fn parse_upstream(text: &str, default_port: u16) -> Result<Upstream, String> {
    if let Some(name) = text.strip_prefix("srv:") {
        if let Some((name, _)) = name.rsplit_once(':') {
            return Err(format!(
                "{text:?} has a port, and a service names those of its hosts (try \"srv:{name}\")"
            ));
        }
        return parse_host(name, true)
            .filter(|name| name.parse::<IpAddr>().is_err())
            .map(Upstream::Srv)
            .ok_or_else(|| format!("{text:?} is not a service's name (try \"srv:_http._tcp.app.example\")"));
    }
    if text.starts_with("https://") {
        return Err(format!("{text:?} is refused: TLS to the upstream is not available yet; use http://"));
    }
    if let Some(path) = text.strip_prefix("unix:").or_else(|| text.strip_prefix("unix@")) {
        return unix_path(path)
            .ok_or_else(|| format!("{text:?} needs an absolute path (try \"unix:/run/app.sock\")"));
    }
    if let Some(path) = unix_path(text) {
        return Ok(path);
    }
    let url = text.strip_prefix("http://");
    if text.is_empty() {
        return Err("an empty upstream (try \"app:8080\")".to_owned());
    }
    let authority = url.map_or(text, |rest| rest.strip_suffix('/').unwrap_or(rest));
    if url.is_some() && authority.contains('/') {
        return Err(format!("{text:?} has a path, and requests keep their own; end after the port"));
    }
    if authority.parse::<Ipv6Addr>().is_ok() {
        let whole = format!("\"[{authority}]:8080\"");
        // The last group may be meant as the port.
        let split = authority
            .rsplit_once(':')
            .filter(|(address, port)| address.parse::<Ipv6Addr>().is_ok() && parse_port(port).is_some());
        let or = split.map_or_else(String::new, |(address, port)| format!("\"[{address}]:{port}\", "));
        return Err(format!("{text:?} needs brackets around the IPv6 address (try {or}{whole})"));
    }
    let (host, port) = split_port(authority);
    if let Some(port) = port.filter(|port| !port.is_empty() && parse_port(port).is_none())
        && parse_host(host, url.is_some()).is_some()
    {
        return Err(format!("{text:?}: {port:?} is not a port from 1 to 65535"));
    }
    // `host` and `host:` both leave the port open.
    let port =
        if port.unwrap_or_default().is_empty() { Some(default_port) } else { port.and_then(parse_port) };
    match (parse_host(host, url.is_some()), port) {
        (Some(host), Some(port)) => Ok(Upstream::Tcp { host, port }),
        _ => Err(format!(
            "{text:?} is not an upstream (try \"app:8080\", \"[::1]:8080\", \"http://app:8080\", \"unix:/run/app.sock\")"
        )),
    }
}

fn unix_path(text: &str) -> Option<Upstream> {
    (text.starts_with('/') && text.len() > 1).then(|| Upstream::Unix(PathBuf::from(text)))
}

/// Splits at the colon before the port; the colons inside `[v6]` do not count.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// A name, an IPv4 address or a bracketed IPv6 address; empty (as in `:8080`) means this machine, outside of URLs.
fn parse_host(host: &str, in_url: bool) -> Option<String> {
    if host.is_empty() {
        return (!in_url).then(|| Ipv4Addr::LOCALHOST.to_string());
    }
    if let Some(v6) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return v6.parse::<Ipv6Addr>().ok().map(|address| address.to_string());
    }
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let label = |label: &str| !label.is_empty() && label.len() <= 63 && !label.starts_with('-');
    let name = host.strip_suffix('.').unwrap_or(host);
    // A last label of digits alone is an IPv4 address or a mistake, such as `3` in place of an upstream (RFC 3696, section 2).
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    let valid = host.len() <= MAX_HOST && name.bytes().all(letters) && name.split('.').all(label);
    (valid && (!numeric || host.parse::<Ipv4Addr>().is_ok())).then(|| host.to_owned())
}

/// A port from 1 to 65535, digits only.
fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// A list of exact request paths.
pub(super) struct Paths;

impl Codec for Paths {
    type Target = Vec<String>;

    fn parse(&self, raw: &Raw) -> Result<Vec<String>, String> {
        let paths = raw.strings().ok_or_else(|| format!("{raw} is not {}", self.accepts()))?;
        let mut checked: Vec<String> = Vec::new();
        for path in paths {
            let visible = path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
            if !path.starts_with('/') || !visible {
                return Err(format!(
                    "{path:?} is not an exact path: it begins with / and holds no space, ? or # (several: separate with commas)"
                ));
            }
            if checked.contains(&path) {
                return Err(format!("{path:?} is given twice"));
            }
            checked.push(path);
        }
        Ok(checked)
    }

    fn literal(&self, value: &Vec<String>) -> String {
        list_literal(value.iter().map(String::as_str))
    }

    fn accepts(&self) -> String {
        "a path or a list of paths".to_owned()
    }

    fn schema(&self) -> Json {
        strings_schema("^/[^ ?#]*$")
    }
}

/// A list of networks.
pub(super) struct Networks;

impl Codec for Networks {
    type Target = Vec<Cidr>;

    fn parse(&self, raw: &Raw) -> Result<Vec<Cidr>, String> {
        let networks = raw.strings().ok_or_else(|| format!("{raw} is not {}", self.accepts()))?;
        networks.iter().map(|text| parse_cidr(text)).collect()
    }

    fn literal(&self, value: &Vec<Cidr>) -> String {
        let texts: Vec<_> = value.iter().map(ToString::to_string).collect();
        list_literal(texts.iter().map(String::as_str))
    }

    fn accepts(&self) -> String {
        "a network or a list of networks (such as \"10.0.0.0/8\")".to_owned()
    }

    fn schema(&self) -> Json {
        strings_schema("^[0-9a-fA-F.:]+(/[0-9]+)?$")
    }
}

/// Reads `10.0.0.0/8`, `fd00::/8` or a single address.
fn parse_cidr(text: &str) -> Result<Cidr, String> {
    let wrong = || format!("{text:?} is not a network (try \"10.0.0.0/8\", \"fd00::/8\", \"192.0.2.1\")");
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let prefix = match prefix {
        None if address.is_ipv4() => 32,
        None => 128,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map_err(|_| wrong())?
        }
        Some(_) => return Err(wrong()),
    };
    let network = Cidr::new(address, prefix).ok_or_else(wrong)?;
    if network.network() == address {
        Ok(network)
    } else {
        Err(format!("{text:?} has bits set beyond its prefix; did you mean \"{network}\"?"))
    }
}

/// A token of visible ASCII characters; printed nowhere.
pub(super) struct Token;

impl Codec for Token {
    type Target = Option<Secret>;

    fn parse(&self, raw: &Raw) -> Result<Option<Secret>, String> {
        let token =
            raw.text().filter(|text| text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_graphic()));
        // The value is a secret, so that the message does not repeat it.
        token
            .map(|text| Some(Secret::new(text)))
            .ok_or_else(|| format!("the value is not {}", self.accepts()))
    }

    fn literal(&self, value: &Option<Secret>) -> String {
        value.as_ref().map(|secret| quoted(&secret.to_string())).unwrap_or_default()
    }

    fn accepts(&self) -> String {
        "at least 8 visible ASCII characters".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 8, "pattern": "^[!-~]*$" })
    }
}

/// A TOML array of strings.
pub(super) fn list_literal<'t>(items: impl Iterator<Item = &'t str>) -> String {
    format!("[{}]", items.map(quoted).collect::<Vec<_>>().join(", "))
}

/// A string or a list of strings, each matching `pattern`.
pub(super) fn strings_schema(pattern: &str) -> Json {
    let one = json!({ "type": "string", "pattern": pattern });
    json!({ "anyOf": [one, { "type": "array", "items": one }] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn upstreams_as_spillway_and_urls_write_them() {
        let cases = [
            ("app:8080", "app:8080"),
            ("app", "app:8000"),
            ("app:", "app:8000"),
            ("my_app.default.svc:80", "my_app.default.svc:80"),
            ("127.0.0.1:9", "127.0.0.1:9"),
            ("[::1]:9", "[::1]:9"),
            ("[::1]", "[::1]:8000"),
            ("[0:0::1]:9", "[::1]:9"),
            (":9", "127.0.0.1:9"),
            ("http://app:9", "app:9"),
            ("http://app:9/", "app:9"),
            ("http://[::1]:9/", "[::1]:9"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
            ("unix@/run/app.sock", "unix:/run/app.sock"),
            ("/run/app.sock", "unix:/run/app.sock"),
        ];
        for (text, shown) in cases {
            assert_eq!(
                parse_upstream(text, 8000).map(|upstream| upstream.to_string()),
                Ok(shown.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_an_upstream() {
        let wrong = [
            "",
            "3",
            "1.2.3",
            "256.1.1.1:80",
            "app:0",
            "app:65536",
            "app:-1",
            "app:80x",
            "a b:80",
            "user@app:80",
            "::1",
            "[::1",
            "app..x:80",
            "-app:80",
            "http://",
            "http://:80",
            "http://app:80/api",
            "https://app",
            "ftp://app",
            "unix:",
            "unix:run",
            "/",
            "app:80:90",
            "app:+80",
        ];
        for text in wrong {
            assert!(parse_upstream(text, 8000).is_err(), "{text}");
        }
    }

    #[test]
    fn what_was_nearly_an_upstream_is_told_what_is_missing() {
        for (text, expected) in [
            ("::1:8080", r#"needs brackets around the IPv6 address (try "[::1]:8080", "[::1:8080]:8080")"#),
            ("fe80::1", r#"needs brackets around the IPv6 address (try "[fe80::1]:8080")"#),
            ("app:80808", r#""app:80808": "80808" is not a port from 1 to 65535"#),
            ("http://[::1]:0", r#""0" is not a port from 1 to 65535"#),
            (
                "srv:_http._tcp.app:80",
                r#"has a port, and a service names those of its hosts (try "srv:_http._tcp.app")"#,
            ),
        ] {
            let said = parse_upstream(text, 8000).unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn listeners() {
        let address = |text: &str| Bind::Address(text.parse().unwrap());
        assert_eq!(parse_bind("8000"), Ok(Bind::Port(8000)));
        assert_eq!(parse_bind(":8000"), Ok(address("0.0.0.0:8000")));
        assert_eq!(parse_bind("127.0.0.1:0"), Ok(address("127.0.0.1:0")));
        assert_eq!(parse_bind("[::1]:80"), Ok(address("[::1]:80")));
        for text in ["", "0", ":0", "65536", "localhost:80", "127.0.0.1", "-1", "8000 "] {
            assert!(parse_bind(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_with_host_bits_is_a_mistake() {
        assert_eq!(
            parse_cidr("10.0.0.1/8"),
            Err("\"10.0.0.1/8\" has bits set beyond its prefix; did you mean \"10.0.0.0/8\"?".to_owned())
        );
        for text in ["", "10.0.0.0/33", "10.0.0.0/+8", "10/8", "host/8", "10.0.0.0/"] {
            assert!(parse_cidr(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z0-9.:/\\[\\]@-]{0,30}") {
            let _ = (parse_upstream(&text, 1), parse_bind(&text), parse_cidr(&text));
        }

        #[test]
        fn an_upstream_prints_as_it_parses(host in "[a-z]{1,9}(\\.[a-z]{1,9}){0,2}", port in 1u16..) {
            let upstream = Upstream::Tcp { host, port };
            prop_assert_eq!(parse_upstream(&upstream.to_string(), 1), Ok(upstream));
        }
    }
}
