//! A name server whose records the test changes while it runs.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use simple_dns::rdata::{A, AAAA, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

/// Seconds that an answer holds: none, so that a change is seen at the next look.
const TTL: u32 = 0;

/// Answers questions for one domain over UDP and TCP.
#[derive(Debug)]
pub(crate) struct NameServer {
    addr: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

/// One host of a service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) host: &'static str,
    pub(crate) port: u16,
    pub(crate) priority: u16,
    pub(crate) weight: u16,
}

#[derive(Debug, Default)]
struct Zone {
    /// Addresses of a name.
    hosts: Vec<(String, IpAddr)>,
    services: Vec<(String, Service)>,
    /// Answers over UDP say that they are too long for it.
    truncating: bool,
    /// Every answer is a failure of the server's.
    failing: bool,
    /// Every answer to a question for IPv4 addresses is.
    failing_v4: bool,
    asked: usize,
}

impl NameServer {
    /// With no records.
    pub(crate) fn start() -> Self {
        // The same port for both, as DNS has it.
        let (udp, tcp) = (0..100)
            .find_map(|_| {
                let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                let tcp = TcpListener::bind(udp.local_addr().unwrap()).ok()?;
                Some((udp, tcp))
            })
            .expect("a port that is free for both");
        let zone = Arc::new(Mutex::new(Zone::default()));
        let server = Self { addr: udp.local_addr().unwrap(), zone: Arc::clone(&zone) };
        thread::spawn({
            let zone = Arc::clone(&zone);
            move || {
                let mut buffer = [0; 512];
                while let Ok((length, client)) = udp.recv_from(&mut buffer) {
                    if let Some(answer) = zone.lock().unwrap().answer(&buffer[..length], true) {
                        let _ = udp.send_to(&answer, client);
                    }
                }
            }
        });
        thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                let mut length = [0; 2];
                if stream.read_exact(&mut length).is_err() {
                    continue;
                }
                let mut question = vec![0; u16::from_be_bytes(length).into()];
                if stream.read_exact(&mut question).is_ok()
                    && let Some(answer) = zone.lock().unwrap().answer(&question, false)
                {
                    let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                    let _ = stream.write_all(&[&length[..], &answer].concat());
                }
            }
        });
        server
    }

    /// For `dns.server`.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Replaces the addresses of `name`.
    pub(crate) fn set_host(&self, name: &str, addresses: &[IpAddr]) {
        let mut zone = self.zone.lock().unwrap();
        zone.hosts.retain(|(host, _)| host != name);
        zone.hosts.extend(addresses.iter().map(|address| (name.to_owned(), *address)));
    }

    /// Replaces the hosts of the service `name`.
    pub(crate) fn set_service(&self, name: &str, hosts: &[Service]) {
        let mut zone = self.zone.lock().unwrap();
        zone.services.retain(|(service, _)| service != name);
        zone.services.extend(hosts.iter().map(|host| (name.to_owned(), host.clone())));
    }

    /// Whether answers over UDP are truncated.
    pub(crate) fn set_truncating(&self, truncating: bool) {
        self.zone.lock().unwrap().truncating = truncating;
    }

    /// Whether every answer is SERVFAIL.
    pub(crate) fn set_failing(&self, failing: bool) {
        self.zone.lock().unwrap().failing = failing;
    }

    /// Whether every answer to a question for IPv4 addresses is SERVFAIL.
    pub(crate) fn set_failing_v4(&self, failing: bool) {
        self.zone.lock().unwrap().failing_v4 = failing;
    }

    /// Questions so far.
    pub(crate) fn asked(&self) -> usize {
        self.zone.lock().unwrap().asked
    }
}

impl Zone {
    fn answer(&mut self, question: &[u8], udp: bool) -> Option<Vec<u8>> {
        self.asked += 1;
        let mut packet = Packet::parse(question).ok()?.into_reply();
        let asked = packet.questions.first()?.clone();
        let name = asked.qname.to_string();
        let about = |kind| asked.qtype == QTYPE::TYPE(kind);
        if self.failing || self.failing_v4 && about(TYPE::A) {
            *packet.rcode_mut() = RCODE::ServerFailure;
            return packet.build_bytes_vec().ok();
        }
        if udp && self.truncating {
            packet.set_flags(PacketFlag::TRUNCATION);
            return packet.build_bytes_vec().ok();
        }
        let addresses = self.hosts.iter().filter(|(host, _)| *host == name);
        let mut records: Vec<_> = addresses
            .filter_map(|(_, address)| match address {
                IpAddr::V4(address) if about(TYPE::A) => Some(RData::A(A { address: (*address).into() })),
                IpAddr::V6(address) if about(TYPE::AAAA) => {
                    Some(RData::AAAA(AAAA { address: (*address).into() }))
                }
                IpAddr::V4(_) | IpAddr::V6(_) => None,
            })
            .collect();
        if about(TYPE::SRV) {
            let services = self.services.iter().filter(|(service, _)| *service == name);
            records.extend(services.map(|(_, service)| {
                let Service { host, port, priority, weight } = *service;
                RData::SRV(SRV { priority, weight, port, target: Name::new_unchecked(host) })
            }));
        }
        let known = self.hosts.iter().any(|(host, _)| *host == name)
            || self.services.iter().any(|service| service.0 == name);
        if !known {
            *packet.rcode_mut() = RCODE::NameError;
        }
        packet.answers.extend(
            records
                .into_iter()
                .map(|record| ResourceRecord::new(asked.qname.clone().into_owned(), CLASS::IN, TTL, record)),
        );
        packet.build_bytes_vec().ok()
    }
}
