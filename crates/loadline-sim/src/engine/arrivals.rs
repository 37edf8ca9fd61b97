//! Who comes, and when: the streams of clients of a scenario, in discrete events.
//!
//! Each client draws from a stream of numbers of its own, so that what it does is the same whatever was decided about others.

use super::{Client, Engine, Event};
use crate::clients::ClientsSpec;
use crate::policy::CPU_EVERY;
use crate::random::Random;

impl Engine<'_> {
    pub(super) fn invite(&mut self) {
        for (stream, spec) in self.scenario.clients.iter().enumerate() {
            match spec.users {
                Some(users) => {
                    for _ in 0..users {
                        let pause = think(spec, &mut self.arrivals[stream]);
                        self.agenda.enter(pause, Event::Ask(stream));
                    }
                }
                None => self.plan_arrival(0, stream),
            }
        }
        for change in &self.scenario.backend.changes {
            self.agenda.enter(change.at.0, Event::Change);
        }
        self.agenda.enter(self.recorder.bucket_nanos(), Event::Sample);
        self.agenda.enter(CPU_EVERY, Event::Cpu);
    }

    pub(super) fn plan_arrival(&mut self, now: u64, stream: usize) {
        let spec = &self.scenario.clients[stream];
        if let Some(recorded) = &spec.recorded {
            if let Some(next) = recorded.get(self.came[stream] as usize) {
                self.agenda.enter(next.at, Event::Arrive(stream));
            }
            return;
        }
        let next = spec.next_arrival(now, self.capacity, &mut self.arrivals[stream]);
        if let Some(at) = next.filter(|at| *at < self.scenario.duration.0) {
            self.agenda.enter(at, Event::Arrive(stream));
        }
    }

    pub(super) fn new_client(&mut self, now: u64, stream: usize) {
        let spec = &self.scenario.clients[stream];
        self.came[stream] += 1;
        // Of its own, whatever happens to others; and far from the numbers of the streams themselves.
        let mut random = Random::new(self.seed, (stream as u64 + 1) << 40 | self.came[stream]);
        let class = spec.class.draw(&mut random);
        let tenant = (spec.tenants > 0).then(|| spec.first_tenant + random.below(spec.tenants.into()));
        let mut client = Client {
            stream,
            class,
            tenant,
            route: self.draw_route(spec, &mut random),
            work: None,
            came: now,
            patience: spec.timeout.map_or(u64::MAX, |timeout| timeout.draw(&mut random) as u64),
            deadline: spec.deadline.map(|deadline| now + deadline.draw(&mut random) as u64),
            attempts: 0,
            started: false,
            random,
        };
        if let Some(recorded) = spec.recorded.as_ref().and_then(|all| all.get(self.came[stream] as usize - 1))
        {
            (client.class, client.route) = (recorded.class, recorded.route);
            client.work = Some(recorded.work as f64);
            client.deadline = recorded.deadline.map(|deadline| now + deadline);
        }
        self.recorder.client_came(now, stream, client.class);
        let client = self.clients.insert(client);
        self.attempt(now, client);
    }

    /// From 1; 0 if the scenario has no routes.
    fn draw_route(&self, spec: &ClientsSpec, random: &mut Random) -> u16 {
        let routes = &self.scenario.routes;
        let mut by_share = || {
            let mut left = random.unit() * routes.iter().map(|route| route.share).sum::<f64>();
            routes.iter().position(|route| {
                left -= route.share;
                left < 0.0
            })
        };
        let index = match &spec.route {
            Some(name) => routes.iter().position(|route| route.name == *name),
            None => by_share(),
        };
        index.map_or_else(|| u16::from(!routes.is_empty()), |index| index as u16 + 1)
    }
}

/// How long a user thinks; at least a nanosecond, so that time goes on.
pub(super) fn think(spec: &ClientsSpec, random: &mut Random) -> u64 {
    spec.think.map_or(1, |think| (think.draw(random) as u64).max(1))
}
