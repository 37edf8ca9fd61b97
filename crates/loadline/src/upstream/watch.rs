//! What is said on stderr about endpoints: one line when one is taken out, one when it is back, one when there are too many, and
//! one when a name cannot be resolved and when it can again.

use std::collections::{BTreeMap, BTreeSet};

use super::{Standing, Upstream};

/// Endpoints that are named at once; of more only the number is told.
const NAMED: usize = 4;

/// What was said last.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    out: BTreeMap<String, String>,
    /// Whether addresses were left out.
    too_many: bool,
    /// Names that could not be resolved.
    unresolved: BTreeSet<String>,
}

impl Watch {
    /// The lines that are due.
    pub(crate) fn next(&mut self, upstream: &Upstream) -> Vec<String> {
        let breaker = upstream.has_breakers();
        let (mut gone, mut back) = (Vec::new(), Vec::new());
        let sights = upstream.sights();
        let mut now_out = BTreeMap::new();
        for sight in &sights {
            let was = self.out.get(&sight.name).cloned();
            let is = match sight.standing {
                Standing::Down(trouble) => Some(format!("its health checks fail ({trouble})")),
                Standing::Open(_) if breaker => Some("its breaker is open".to_owned()),
                Standing::Open(_) => Some("ejected for its failures".to_owned()),
                // A failed probe would only say the same again.
                Standing::Probing => was.clone(),
                // Its time is over and nobody has asked: what it is will show.
                Standing::Up if sight.unproven => was.clone(),
                Standing::Up => None,
            };
            match (was, &is) {
                (None, Some(why)) => gone.push(format!("endpoint {} is out: {why}", sight.name)),
                (Some(_), None) => back.push(format!("endpoint {} is back", sight.name)),
                (Some(_), Some(_)) | (None, None) => {}
            }
            if let Some(why) = is {
                now_out.insert(sight.name.clone(), why);
            }
        }
        self.out = now_out;
        let left = sights.len() - self.out.len();
        let total = sights.len();
        let left_out = upstream.left_out();
        // Once, and not again when their number changes.
        let excess = (left_out > 0 && !self.too_many).then(|| {
            format!("the upstream has {} addresses: {left_out} of them get no requests", total + left_out)
        });
        self.too_many = left_out > 0;
        let mut lines = self.next_of_names(upstream);
        lines.extend(summed(gone, "out", left, total));
        lines.extend(summed(back, "back", left, total));
        lines.extend(excess);
        lines
    }

    fn next_of_names(&mut self, upstream: &Upstream) -> Vec<String> {
        let (mut lines, mut unresolved) = (Vec::new(), BTreeSet::new());
        for (name, trouble) in upstream.lookups.sight() {
            let was = self.unresolved.contains(&name);
            match trouble {
                Some(why) => {
                    if !was {
                        lines.push(format!("upstream {name} cannot be resolved: {why}"));
                    }
                    unresolved.insert(name);
                }
                None if was => lines.push(format!("upstream {name} is resolved again")),
                None => {}
            }
        }
        self.unresolved = unresolved;
        lines
    }
}

fn summed(mut lines: Vec<String>, what: &str, left: usize, total: usize) -> Vec<String> {
    if lines.len() > NAMED {
        let count = lines.len();
        lines.clear();
        lines.push(format!("{count} endpoints are {what}"));
    }
    if total > 1
        && let Some(last) = lines.last_mut()
    {
        last.push_str(&format!("; {left} of {total} in rotation"));
    }
    lines
}
