//! The addresses of hosts: who is asked, and what is kept of earlier answers.
//!
//! In the order in which machines are set up: the hosts file, then the system's name servers with its search list. Whoever knows a
//! name that those do not (multicast DNS, a directory, an entry in the system's name service switch) is asked last, through
//! `getaddrinfo`. With `dns.server` that server alone is asked.
//!
//! Both families are asked for, and one of them can fail alone. That takes nothing away: what was known of a family stays until an
//! answer says otherwise.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use super::dns::{Answer, Families, Servers, system};
use crate::config::settings::Dns;

/// What is known of hosts; one for each place that was configured.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The last addresses of each host, IPv4 and IPv6.
    last: HashMap<String, [Vec<IpAddr>; 2]>,
}

impl Names {
    /// Addresses of `host`, of both families.
    ///
    /// # Errors
    /// There is no such host, or nobody answered and nothing was known before.
    pub(super) async fn addresses(&mut self, host: &str, dns: &Dns) -> io::Result<Answer<IpAddr>> {
        let families = match dns.server {
            Some(server) => Servers::only(server).addresses(host).await,
            None => by_system(host).await,
        };
        self.learn(host, families)
    }

    /// Forgets other hosts than these.
    pub(super) fn keep(&mut self, hosts: &[&str]) {
        self.last.retain(|host, _| hosts.contains(&host.as_str()));
    }

    fn learn(&mut self, host: &str, families: Families) -> io::Result<Answer<IpAddr>> {
        if families.none() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no such name"));
        }
        let last = self.last.entry(host.to_owned()).or_default();
        let (mut all, mut failed) = (Answer::lasting(Vec::new()), None);
        for (family, last) in [families.v4, families.v6].into_iter().zip(last) {
            match family {
                Ok(answer) => {
                    all.holds = all.holds.min(answer.holds);
                    *last = answer.found;
                }
                Err(error) => failed = Some(error),
            }
            all.found.extend_from_slice(last);
        }
        match failed {
            Some(error) if all.found.is_empty() => Err(error),
            _ => Ok(all),
        }
    }
}

async fn by_system(host: &str) -> Families {
    let listed = system::hosts_file(host);
    if !listed.is_empty() {
        return Families::all(listed);
    }
    let asked = system::servers().addresses(host).await;
    if asked.any() {
        return asked;
    }
    let Ok(found) = tokio::net::lookup_host((host, 0)).await else { return asked };
    let others = Families::all(found.map(|address| address.ip()));
    // It does not say whether a family has no addresses or could not be asked for; the name servers may have.
    let other = |asked, others: io::Result<Answer<_>>| match others {
        Ok(answer) if !answer.found.is_empty() => Ok(answer),
        _ => asked,
    };
    Families { v4: other(asked.v4, others.v4), v6: other(asked.v6, others.v6) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(addresses: &[&str], seconds: u64) -> io::Result<Answer<IpAddr>> {
        let found = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Ok(Answer { found, holds: Duration::from_secs(seconds) })
    }

    fn trouble() -> io::Result<Answer<IpAddr>> {
        Err(io::ErrorKind::TimedOut.into())
    }

    #[test]
    fn a_family_that_fails_alone_loses_nothing() {
        let mut names = Names::default();
        let mut learn = |v4, v6| names.learn("app", Families { v4, v6 }).map_err(|error| error.kind());
        let both = learn(answer(&["10.0.0.1"], 30), answer(&["fd00::1"], 5)).unwrap();
        assert_eq!(both, answer(&["10.0.0.1", "fd00::1"], 5).unwrap());
        assert_eq!(
            learn(trouble(), answer(&["fd00::2"], 9)).unwrap(),
            answer(&["10.0.0.1", "fd00::2"], 9).unwrap()
        );
        assert_eq!(learn(trouble(), trouble()).unwrap().found.len(), 2);
        assert_eq!(learn(answer(&[], 9), answer(&[], 9)), Err(io::ErrorKind::NotFound));
        assert_eq!(learn(trouble(), answer(&["fd00::2"], 9)).unwrap().found.len(), 2, "also after that");
        assert_eq!(learn(answer(&[], 9), trouble()).unwrap().found.len(), 1, "there are none any more");
        names.keep(&[]);
        assert!(names.learn("app", Families { v4: trouble(), v6: trouble() }).is_err(), "nothing is known");
    }
}
