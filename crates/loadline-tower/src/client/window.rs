//! Sums over the last so many seconds.

use std::time::Duration;

use tokio::time::Instant;

/// Into how many slots the time is divided: what is forgotten at once is one of so many.
const SLOTS: usize = 24;

/// `N` sums over a sliding window, which moves on by a slot at a time.
#[derive(Debug)]
pub(super) struct Window<const N: usize> {
    slots: [[i64; N]; SLOTS],
    sums: [i64; N],
    origin: Instant,
    /// The length of a slot, in nanoseconds.
    length: u128,
    /// The number of the slot that is being filled, counted from the origin.
    filling: u128,
}

impl<const N: usize> Window<N> {
    /// Over so long, at least 24 ns.
    pub(super) fn new(over: Duration) -> Self {
        let length = (over.as_nanos() / SLOTS as u128).max(1);
        Self { slots: [[0; N]; SLOTS], sums: [0; N], origin: Instant::now(), length, filling: 0 }
    }

    /// The sums now.
    pub(super) fn sums(&mut self) -> [i64; N] {
        self.forget();
        self.sums
    }

    /// Adds to a sum now.
    pub(super) fn add(&mut self, which: usize, amount: i64) {
        self.forget();
        self.slots[(self.filling % SLOTS as u128) as usize][which] += amount;
        self.sums[which] += amount;
    }

    fn forget(&mut self) {
        let now = self.origin.elapsed().as_nanos() / self.length;
        let passed = now.saturating_sub(self.filling).min(SLOTS as u128);
        for slot in (now - passed + 1)..=now {
            let slot = std::mem::replace(&mut self.slots[(slot % SLOTS as u128) as usize], [0; N]);
            for (sum, left) in self.sums.iter_mut().zip(slot) {
                *sum -= left;
            }
        }
        self.filling = self.filling.max(now);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_older_than_the_window_is_forgotten() {
        let mut window = Window::<2>::new(Duration::from_secs(24));
        window.add(0, 5);
        advance(Duration::from_secs(10)).await;
        window.add(0, 2);
        window.add(1, -3);
        assert_eq!(window.sums(), [7, -3]);
        advance(Duration::from_secs(13)).await;
        assert_eq!(window.sums(), [7, -3]);
        advance(Duration::from_secs(1)).await;
        assert_eq!(window.sums(), [2, -3]);
        advance(Duration::from_secs(1_000)).await;
        assert_eq!(window.sums(), [0, 0]);
    }
}
