//! Asking a name server: A, AAAA and SRV, with the time that an answer holds.
//!
//! Plain names are the system's business (`getaddrinfo`: hosts file, search list, whatever the machine is set up with). This is for
//! what the system's call cannot say: SRV records (RFC 2782), and the answers of a chosen server with their time to live. Queries
//! go over UDP from a port of their own each, answers are believed only from the server that was asked, for the question that was
//! asked (RFC 5452), and a truncated answer is asked for again over TCP.
//!
//! Out of scope: caching beyond the caller's own, DNSSEC, TLS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::choose::random;

/// For one server's answer to one question; resolvers use 5 s, and the next round comes sooner.
const PATIENCE: Duration = Duration::from_secs(2);

/// Questions to the same server before the next one is asked: a lost packet is no outage.
const ATTEMPTS: usize = 2;

/// Largest UDP answer without EDNS (RFC 1035, section 4.2.1); larger ones come truncated.
const UDP_ANSWER: usize = 512;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Used when the system names none.
const LOCAL_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// An answer, and for how long it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer<T> {
    pub(super) found: Vec<T>,
    pub(super) holds: Duration,
}

/// One host of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) host: String,
    pub(super) port: u16,
    /// Lower ones first.
    pub(super) priority: u16,
}

/// Whom to ask, and below which domains to look for short names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Servers {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
}

impl Servers {
    /// This one alone, if given; else those of the system.
    pub(super) fn new(chosen: Option<SocketAddr>) -> Self {
        match chosen {
            Some(server) => Self { servers: vec![server], search: Vec::new() },
            None => Self::from_resolv_conf(&std::fs::read_to_string(RESOLV_CONF).unwrap_or_default()),
        }
    }

    fn from_resolv_conf(text: &str) -> Self {
        let (mut servers, mut search) = (Vec::new(), Vec::new());
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    servers.extend(address.map(|address| SocketAddr::new(address, 53)));
                }
                Some("search" | "domain") => {
                    search = words.map(|word| word.trim_matches('.').to_owned()).collect();
                }
                _ => {}
            }
        }
        if servers.is_empty() {
            servers.push(LOCAL_SERVER);
        }
        Self { servers, search }
    }

    /// Addresses of `host`, of both families.
    ///
    /// # Errors
    /// No server answered, or there is no such name.
    pub(super) async fn addresses(&self, host: &str) -> io::Result<Answer<IpAddr>> {
        match tokio::join!(self.ask(host, TYPE::A, address), self.ask(host, TYPE::AAAA, address)) {
            (Ok(mut v4), Ok(v6)) => {
                v4.holds = v4.holds.min(v6.holds);
                v4.found.extend(v6.found);
                Ok(v4)
            }
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// The hosts of a service.
    ///
    /// # Errors
    /// No server answered, or there is no such name.
    pub(super) async fn services(&self, name: &str) -> io::Result<Answer<Service>> {
        self.ask(name, TYPE::SRV, service).await
    }

    /// What the first server that answers says, for the name as it stands or below the first search domain that has it.
    async fn ask<T>(
        &self,
        name: &str,
        kind: TYPE,
        read: fn(&RData<'_>) -> Option<T>,
    ) -> io::Result<Answer<T>> {
        let absolute = name.ends_with('.');
        let below = self.search.iter().filter(|_| !absolute).map(|domain| format!("{name}.{domain}"));
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for candidate in std::iter::once(name.trim_end_matches('.').to_owned()).chain(below) {
            match self.ask_servers(&candidate, kind, read).await {
                Ok(answer) if answer.found.is_empty() => last = io::ErrorKind::NotFound.into(),
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask_servers<T>(
        &self,
        name: &str,
        kind: TYPE,
        read: fn(&RData<'_>) -> Option<T>,
    ) -> io::Result<Answer<T>> {
        let mut last = io::Error::from(io::ErrorKind::NotConnected);
        for server in self.servers.iter().cycle().take(self.servers.len() * ATTEMPTS) {
            let asked = timeout(PATIENCE, exchange(*server, name, kind, read)).await;
            match asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => last = error,
                done => return done,
            }
        }
        Err(last)
    }
}

fn address(record: &RData<'_>) -> Option<IpAddr> {
    match record {
        RData::A(a) => Some(IpAddr::V4(Ipv4Addr::from(a.address))),
        RData::AAAA(aaaa) => Some(IpAddr::V6(Ipv6Addr::from(aaaa.address))),
        _ => None,
    }
}

fn service(record: &RData<'_>) -> Option<Service> {
    let RData::SRV(srv) = record else { return None };
    let host = srv.target.to_string();
    // "." says that there is decidedly no such service (RFC 2782).
    (!host.is_empty()).then_some(Service { host, port: srv.port, priority: srv.priority })
}

/// One question to one server.
async fn exchange<T>(
    server: SocketAddr,
    name: &str,
    kind: TYPE,
    read: fn(&RData<'_>) -> Option<T>,
) -> io::Result<Answer<T>> {
    let id = (random() >> 48) as u16;
    let question = question(id, name, kind)?;
    let bytes = match over_udp(server, &question, id, name, kind).await? {
        Some(bytes) => bytes,
        None => over_tcp(server, &question).await?,
    };
    let packet = answer_to(&bytes, id, name, kind).ok_or(io::ErrorKind::InvalidData)?;
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Err(io::ErrorKind::NotFound.into()),
        _ => return Err(io::ErrorKind::ConnectionRefused.into()),
    }
    let records = packet.answers.iter().filter(|record| record.class == CLASS::IN);
    let found: Vec<_> = records.clone().filter_map(|record| read(&record.rdata)).collect();
    // An alias in between may hold for a shorter time than what it leads to.
    let holds = records.map(|record| record.ttl).min().unwrap_or(0);
    Ok(Answer { found, holds: Duration::from_secs(holds.into()) })
}

fn question(id: u16, name: &str, kind: TYPE) -> io::Result<Vec<u8>> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).map_err(invalid)?;
    packet.questions.push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().map_err(invalid)
}

/// The answer; `None` if it is too long for a datagram.
async fn over_udp(
    server: SocketAddr,
    question: &[u8],
    id: u16,
    name: &str,
    kind: TYPE,
) -> io::Result<Option<Vec<u8>>> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    // A connected socket takes datagrams from its peer alone.
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; UDP_ANSWER];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // What is no answer to this question may be a late one to another, or somebody's guess.
        if let Some(packet) = answer_to(&buffer[..length], id, name, kind) {
            let truncated = packet.has_flags(PacketFlag::TRUNCATION);
            return Ok((!truncated).then(|| buffer[..length].to_vec()));
        }
    }
}

/// The same over TCP, where a message has its length before it (RFC 1035, section 4.2.2).
async fn over_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let mut bytes = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// The message in `bytes` if it answers the question that was asked.
fn answer_to<'a>(bytes: &'a [u8], id: u16, name: &str, kind: TYPE) -> Option<Packet<'a>> {
    let packet = Packet::parse(bytes).ok()?;
    let [asked] = packet.questions.as_slice() else { return None };
    let same = asked.qtype == QTYPE::TYPE(kind) && asked.qname == Name::new(name).ok()?;
    (packet.id() == id && packet.has_flags(PacketFlag::RESPONSE) && same).then_some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_servers_and_domains() {
        let text = "# made\nnameserver 10.96.0.10\nnameserver fd00::1\nsearch a.svc.cluster.local. cluster.local\noptions ndots:5\n";
        let servers = Servers::from_resolv_conf(text);
        assert_eq!(servers.servers, ["10.96.0.10:53".parse().unwrap(), "[fd00::1]:53".parse().unwrap()]);
        assert_eq!(servers.search, ["a.svc.cluster.local", "cluster.local"]);
        assert_eq!(Servers::from_resolv_conf("").servers, [LOCAL_SERVER]);
    }

    #[test]
    fn only_the_answer_to_the_question_is_one() {
        // In other letters: names are compared without their case.
        let asked = question(7, "App.example", TYPE::A).unwrap();
        let bytes = Packet::parse(&asked).unwrap().into_reply().build_bytes_vec().unwrap();
        assert!(answer_to(&bytes, 7, "app.example", TYPE::A).is_some());
        assert!(answer_to(&bytes, 8, "app.example", TYPE::A).is_none());
        assert!(answer_to(&bytes, 7, "other.example", TYPE::A).is_none());
        assert!(answer_to(&bytes, 7, "app.example", TYPE::AAAA).is_none());
        assert!(
            answer_to(&question(7, "app.example", TYPE::A).unwrap(), 7, "app.example", TYPE::A).is_none()
        );
        for length in 0..bytes.len() {
            assert!(answer_to(&bytes[..length], 7, "app.example", TYPE::A).is_none());
        }
    }
}
