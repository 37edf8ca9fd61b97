//! The endpoints at one moment, in order, and what applies to them.

use std::ops::Range;
use std::sync::Arc;

use super::choose::Draws;
use super::endpoint::Endpoint;
use super::place::EVEN_SHARE;
use super::rules::Rules;
use crate::config::settings::Policy;

/// See the module.
pub(super) struct Set {
    /// By rank, and then by place.
    pub(super) members: Vec<Member>,
    /// Those of one rank each, the first that are to be used first.
    pub(super) tiers: Vec<Tier>,
    pub(super) rules: Rules,
    /// Whether breakers listen.
    pub(super) judged: bool,
    /// Whether anything can take an endpoint out, or a choice has to be made.
    pub(super) guarded: bool,
    /// Whether latencies are of use.
    pub(super) measured: bool,
}

/// An endpoint and what it is beside others.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) rank: u16,
    pub(super) share: u32,
}

/// Neighbours of one rank.
pub(super) struct Tier {
    pub(super) range: Range<usize>,
    pub(super) draws: Draws,
}

impl Set {
    /// `members` in any order.
    pub(super) fn new(mut members: Vec<Member>, rules: Rules) -> Self {
        members.sort_by(|a, b| (a.rank, &a.endpoint.place).cmp(&(b.rank, &b.endpoint.place)));
        let several = members.len() > 1;
        let judged = rules.judges(members.len());
        Self {
            tiers: tiers(&members),
            judged,
            guarded: judged || rules.checked,
            measured: several && rules.policy == Policy::LeastLatency,
            members,
            rules,
        }
    }

    /// All of them.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.members.iter().map(|member| &member.endpoint)
    }
}

impl Member {
    /// How much it counts; 1 is as much as any other.
    pub(super) fn share(&self) -> f64 {
        f64::from(self.share) / f64::from(EVEN_SHARE)
    }
}

fn tiers(members: &[Member]) -> Vec<Tier> {
    let mut begin = 0;
    let tier = |same: &[Member]| {
        let range = begin..begin + same.len();
        begin = range.end;
        Tier { range, draws: Draws::new(same.iter().map(|member| member.share)) }
    };
    members.chunk_by(|a, b| a.rank == b.rank).map(tier).collect()
}
