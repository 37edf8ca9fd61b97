//! `fixed`: the limit is the number that was given.
//!
//! Law: L = the setting. Unit: slots. For who knows the number: worker threads times instances, a pool's size, what a load test
//! found.
//!
//! How it fails: the service changes and the number does not. A quarter of the parallelism is left, and three of four requests
//! in flight wait inside the service; the service gets faster, and work waits that could run.

use std::num::NonZeroU32;

/// See the module.
#[derive(Debug)]
pub(super) struct Fixed(NonZeroU32);

impl Fixed {
    pub(super) const fn new(limit: NonZeroU32) -> Self {
        Self(limit)
    }

    pub(super) const fn reconfigure(&mut self, limit: NonZeroU32) {
        self.0 = limit;
    }

    pub(super) const fn limit(&self) -> NonZeroU32 {
        self.0
    }
}
