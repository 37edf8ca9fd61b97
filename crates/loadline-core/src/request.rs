//! What the core is told about a request when it arrives.

use std::num::{NonZeroU8, NonZeroU32, NonZeroU64};

use crate::{Class, Instant};

/// A request that asks to be admitted.
///
/// Made with [`Request::new`]; whatever else the core wants to know has a default and a method of its own.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Request {
    /// How much it matters.
    pub class: Class,
    /// How many slots it needs at once. More than the limit means all of them.
    pub cost: NonZeroU32,
    /// When its answer is worth nothing any more.
    pub deadline: Option<Instant>,
    /// Among which its service time is predicted.
    pub route: RouteId,
    /// Whether its client has tried before.
    pub retry: bool,
    /// On whose behalf it comes; with [`Settings::fairness`](crate::Settings::fairness), tenants are treated alike.
    pub tenant: Option<TenantId>,
    /// To which group of users it belongs; under overload one group is shed before the next.
    pub cohort: Option<Cohort>,
    /// How many bytes of it are held while it waits.
    pub held_bytes: u32,
}

impl Request {
    /// A request of this class about which nothing else is known: it needs one slot.
    #[must_use]
    pub const fn new(class: Class) -> Self {
        Self {
            class,
            cost: NonZeroU32::MIN,
            deadline: None,
            route: RouteId::OTHER,
            retry: false,
            tenant: None,
            cohort: None,
            held_bytes: 0,
        }
    }

    /// It needs so many slots at once, because one such request makes as much work as so many others. Bypass ignores it.
    ///
    /// Who is next and does not fit holds the free slots until there are enough: nobody of its class or below passes it, so
    /// that it is not overtaken for ever by smaller ones; newcomers of higher classes do. Newest-first service makes the newest
    /// next, whatever its cost.
    #[must_use]
    pub const fn with_cost(mut self, cost: NonZeroU32) -> Self {
        self.cost = cost;
        self
    }

    /// Its answer is worth nothing after this moment: it is not started when it cannot be expected to end before. Bypass
    /// ignores it.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Whether its client has tried before and was refused or failed. Retries go behind fresh work while that is being shed,
    /// and where slots are scarce they hold a fifth of them at most. Bypass ignores it.
    #[must_use]
    pub const fn with_retry(mut self, retry: bool) -> Self {
        self.retry = retry;
        self
    }

    /// It takes about as long as others of this route, and is bound by what [`Settings::routes`](crate::Settings::routes) says
    /// of it. Bypass ignores the latter.
    #[must_use]
    pub const fn with_route(mut self, route: RouteId) -> Self {
        self.route = route;
        self
    }

    /// It comes on behalf of this tenant. Without effect unless [`Settings::fairness`](crate::Settings::fairness) is on; then
    /// those without a tenant count as one.
    #[must_use]
    pub const fn with_tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Its user belongs to this group. Under overload the upper groups of a class are shed first, so that the same users
    /// get all their answers, instead of all users some. Without effect while tenants are treated alike.
    #[must_use]
    pub const fn with_cohort(mut self, cohort: Cohort) -> Self {
        self.cohort = Some(cohort);
        self
    }

    /// So many bytes of it, such as a buffered body, are held while it waits; see
    /// [`QueueSettings::held_bytes`](crate::QueueSettings::held_bytes).
    #[must_use]
    pub const fn with_held_bytes(mut self, bytes: u32) -> Self {
        self.held_bytes = bytes;
        self
    }
}

/// Names a tenant: whoever is to get as much as others of its kind. A hash of the caller's key; tenants whose hashes collide
/// share one share, so whoever can choose keys should not be able to compute the hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TenantId(NonZeroU64);

impl TenantId {
    /// The tenant with this hash. 0 counts as 1.
    #[must_use]
    pub const fn new(hash: u64) -> Self {
        match NonZeroU64::new(hash) {
            Some(hash) => Self(hash),
            None => Self(NonZeroU64::MIN),
        }
    }
}

/// A group of users, 0 to 127, made by the caller from a hash of the user's key and the time, so that it is not always the same
/// who are in the upper ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Cohort(NonZeroU8);

impl Cohort {
    /// How many there are.
    pub const COUNT: usize = 128;

    /// The group with this number; of a larger one, the lower seven bits.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(NonZeroU8::MIN.saturating_add(number % Self::COUNT as u8))
    }

    /// Its number, 0 to 127.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get() - 1
    }
}

impl From<Class> for Request {
    /// About which nothing but the class is known.
    fn from(class: Class) -> Self {
        Self::new(class)
    }
}

/// Names a kind of request whose members take about equally long. The caller numbers them from 1; memory is kept for each number
/// up to the highest that was used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct RouteId(u16);

impl RouteId {
    /// Whatever has no route of its own: number 0.
    pub const OTHER: Self = Self(0);

    /// The route with this number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Its number, for tables with one row per route.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
