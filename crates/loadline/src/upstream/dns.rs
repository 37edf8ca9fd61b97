//! Asking a name server: A, AAAA and SRV, with the time that an answer holds.
//!
//! The system's own call (`getaddrinfo`) does not say how long an answer holds, knows no services (RFC 2782), and does not tell a
//! family without addresses from one that could not be asked for. Queries go over UDP from a port of their own each, answers are
//! believed only from the server that was asked, for the question that was asked (RFC 5452), and a truncated answer is asked for
//! again over TCP. An answer without addresses is an answer; what is an error may be otherwise the next time.
//!
//! Out of scope: caching beyond the caller's own, DNSSEC, TLS.

pub(super) mod system;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::choose::random;

/// For one server's answer to one question, unless the system says otherwise; resolvers use 5 s, and the next round comes sooner.
const PATIENCE: Duration = Duration::from_secs(2);

/// Rounds of questions to all servers, unless the system says otherwise: a lost packet is no outage.
const ATTEMPTS: usize = 2;

/// Largest UDP answer without EDNS (RFC 1035, section 4.2.1); larger ones come truncated.
const UDP_ANSWER: usize = 512;

/// Longest name (RFC 1035, section 2.3.4), in bytes.
const MAX_NAME: usize = 253;

/// An answer, and for how long it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer<T> {
    pub(super) found: Vec<T>,
    pub(super) holds: Duration,
}

impl<T> Answer<T> {
    /// One that nobody has put a bound on.
    pub(super) fn lasting(found: Vec<T>) -> Self {
        Self { found, holds: Duration::MAX }
    }
}

/// What is known of a host's addresses, by family. Nothing found is an answer too: there are none.
#[derive(Debug)]
pub(super) struct Families {
    pub(super) v4: io::Result<Answer<IpAddr>>,
    pub(super) v6: io::Result<Answer<IpAddr>>,
}

impl Families {
    /// All addresses there are.
    pub(super) fn all(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let (v4, v6) = addresses.into_iter().partition(IpAddr::is_ipv4);
        Self { v4: Ok(Answer::lasting(v4)), v6: Ok(Answer::lasting(v6)) }
    }

    /// Whether there is an address.
    pub(super) fn any(&self) -> bool {
        [&self.v4, &self.v6].into_iter().flatten().any(|answer| !answer.found.is_empty())
    }

    /// Whether it is certain that there is no address.
    pub(super) fn none(&self) -> bool {
        !self.any() && self.v4.is_ok() && self.v6.is_ok()
    }
}

/// One host of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) host: String,
    pub(super) port: u16,
    /// Lower ones first.
    pub(super) priority: u16,
    /// Its part of what goes to those of its priority.
    pub(super) weight: u16,
}

/// Whom to ask, how patiently, and below which domains to look for short names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Servers {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    /// A name with fewer dots is looked for below the domains first.
    ndots: usize,
    attempts: usize,
    patience: Duration,
}

impl Servers {
    /// This one alone.
    pub(super) fn only(server: SocketAddr) -> Self {
        Self { servers: vec![server], search: Vec::new(), ndots: 1, attempts: ATTEMPTS, patience: PATIENCE }
    }

    /// Addresses of `host`: of the name as it stands, or below the first search domain that has it. The search ends where a
    /// question cannot be answered: what a later domain says may be another host's.
    pub(super) async fn addresses(&self, host: &str) -> Families {
        for name in self.candidates(host) {
            let (v4, v6) =
                tokio::join!(self.ask(&name, TYPE::A, address), self.ask(&name, TYPE::AAAA, address));
            let families = Families { v4, v6 };
            if !families.none() {
                return families;
            }
        }
        Families::all([])
    }

    /// The hosts of a service; none: there is no such service.
    ///
    /// # Errors
    /// No server answered.
    pub(super) async fn services(&self, name: &str) -> io::Result<Answer<Service>> {
        for name in self.candidates(name) {
            let answer = self.ask(&name, TYPE::SRV, service).await?;
            if !answer.found.is_empty() {
                return Ok(answer);
            }
        }
        Ok(Answer::lasting(Vec::new()))
    }

    /// The names that `name` may mean, in the order in which they are looked for.
    fn candidates(&self, name: &str) -> Vec<String> {
        let absolute = name.strip_suffix('.');
        let name = absolute.unwrap_or(name);
        let search = if absolute.is_some() { &[] } else { self.search.as_slice() };
        let mut candidates: Vec<_> = search.iter().map(|domain| format!("{name}.{domain}")).collect();
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        candidates.insert(if dots >= self.ndots { 0 } else { candidates.len() }, name.to_owned());
        candidates.retain(|candidate| candidate.len() <= MAX_NAME);
        candidates
    }

    /// What the first server that answers says.
    async fn ask<T>(
        &self,
        name: &str,
        kind: TYPE,
        read: fn(&RData<'_>) -> Option<T>,
    ) -> io::Result<Answer<T>> {
        let mut last = io::Error::other("no name server is known");
        for server in self.servers.iter().cycle().take(self.servers.len() * self.attempts) {
            let asked = timeout(self.patience, exchange(*server, name, kind, read)).await;
            match asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(answer) => return Ok(answer),
                Err(error) => last = io::Error::new(error.kind(), format!("name server {server}: {error}")),
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
    (!host.is_empty()).then_some(Service { host, port: srv.port, priority: srv.priority, weight: srv.weight })
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
        RCODE::NoError | RCODE::NameError => {}
        code => return Err(io::Error::other(format!("it answers {code:?}"))),
    }
    let records = packet.answers.iter().filter(|record| record.class == CLASS::IN);
    let found: Vec<_> = records.clone().filter_map(|record| read(&record.rdata)).collect();
    // An alias in between may hold for a shorter time than what it leads to.
    Ok(match records.map(|record| record.ttl).min() {
        Some(seconds) if !found.is_empty() => Answer { found, holds: Duration::from_secs(seconds.into()) },
        _ => Answer::lasting(found),
    })
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
    fn where_a_name_is_looked_for() {
        let local = "127.0.0.1:53".parse().unwrap();
        let search = vec!["a.svc.cluster.local".to_owned(), "cluster.local".to_owned()];
        let servers = Servers { search, ndots: 2, ..Servers::only(local) };
        assert_eq!(servers.candidates("app"), ["app.a.svc.cluster.local", "app.cluster.local", "app"]);
        assert_eq!(servers.candidates("app.b")[0], "app.b.a.svc.cluster.local");
        assert_eq!(servers.candidates("x.app.b")[..2], ["x.app.b", "x.app.b.a.svc.cluster.local"]);
        assert_eq!(servers.candidates("app."), ["app"], "a dot at the end: as it stands");
        assert_eq!(
            servers.candidates(&"x".repeat(240)),
            ["x".repeat(240), "x".repeat(240) + ".cluster.local"][..1]
        );
        assert_eq!(Servers::only(local).candidates("app"), ["app"]);
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
