//! A histogram with fixed bounds, and per bucket the latest trace whose request fell into it.

use loadline_http::trace_context::TraceId;

/// Counts of values by upper bound, with their sum.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    /// One count per bound, and one for what exceeds the last.
    counts: Vec<u64>,
    sum: f64,
    /// One per count, once there is a first: most histograms see no traced request.
    exemplars: Option<Box<[Option<Exemplar>]>>,
}

/// A request that stands for its bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Exemplar {
    pub(crate) trace: TraceId,
    pub(crate) value: f64,
    /// When it was observed, in seconds since the Unix epoch.
    pub(crate) at: f64,
}

impl Histogram {
    /// `bounds` rise strictly.
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0, exemplars: None }
    }

    /// Counts a value; `traced`: the trace that it belongs to, and the time in seconds since the Unix epoch.
    pub(crate) fn observe(&mut self, value: f64, traced: Option<(TraceId, f64)>) {
        // Most values are the least there is: no wait, an answer within a few milliseconds.
        let is_least = self.bounds.first().is_some_and(|least| value <= *least);
        let bucket = if is_least { 0 } else { self.bounds.partition_point(|bound| *bound < value) };
        self.counts[bucket] += 1;
        self.sum += value;
        if let Some((trace, at)) = traced {
            let most = self.counts.len();
            let exemplars = self.exemplars.get_or_insert_with(|| vec![None; most].into_boxed_slice());
            exemplars[bucket] = Some(Exemplar { trace, value, at });
        }
    }

    /// Adds a histogram with the same bounds.
    pub(crate) fn add(&mut self, other: &Self) {
        debug_assert_eq!(self.bounds, other.bounds);
        for (own, other) in self.counts.iter_mut().zip(&other.counts) {
            *own += other;
        }
        self.sum += other.sum;
        if let Some(others) = &other.exemplars {
            let exemplars = self.exemplars.get_or_insert_with(|| vec![None; others.len()].into_boxed_slice());
            for (own, other) in exemplars.iter_mut().zip(others) {
                let newer = |other: &Exemplar| own.is_none_or(|own| own.at < other.at);
                if other.as_ref().is_some_and(newer) {
                    *own = *other;
                }
            }
        }
    }

    /// The latest traced value of the bucket at this position; the last one has no bound.
    pub(crate) fn exemplar(&self, bucket: usize) -> Option<&Exemplar> {
        self.exemplars.as_ref()?.get(bucket)?.as_ref()
    }

    /// What was observed since this histogram was `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let counts = self.counts.iter().zip(&earlier.counts).map(|(now, then)| now - then).collect();
        Self { bounds: self.bounds, counts, sum: self.sum - earlier.sum, exemplars: None }
    }

    /// The value below which `share` (0 to 1) of the values are, as Prometheus's `histogram_quantile` estimates it: evenly spread
    /// within a bucket, and the last bound for what exceeds it. `None` without values.
    ///
    /// Of 10 values at most 0.1 and 10 more at most 0.25, 0.75 are at most 0.1 + (0.25 − 0.1) × (15 − 10) ÷ 10 = 0.175.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let rank = share * self.count() as f64;
        let (mut lower, mut below) = (0.0, 0);
        for (bound, cumulative) in self.cumulative() {
            if cumulative > 0 && cumulative as f64 >= rank {
                let inside = (rank - below as f64) / (cumulative - below) as f64;
                return Some(lower + (bound - lower) * inside);
            }
            (lower, below) = (bound, cumulative);
        }
        (self.count() > 0).then_some(lower)
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn sum(&self) -> f64 {
        self.sum
    }

    /// Upper bounds with the number of values at or below each.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        self.bounds.iter().zip(&self.counts).scan(0, |below, (bound, count)| {
            *below += count;
            Some((*bound, *below))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_a_bound_counts_below_it() {
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 2.0, 9.0] {
            histogram.observe(value, None);
        }
        assert_eq!(histogram.cumulative().collect::<Vec<_>>(), [(1.0, 2), (2.0, 4)]);
        assert_eq!((histogram.count(), histogram.sum()), (5, 14.0));
    }

    #[test]
    fn a_bucket_remembers_its_latest_trace() {
        let trace = |id| TraceId::new(id).unwrap();
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        let mut other = histogram.clone();
        histogram.observe(0.5, Some((trace(1), 10.0)));
        histogram.observe(0.6, Some((trace(2), 11.0)));
        histogram.observe(0.7, None);
        other.observe(0.8, Some((trace(3), 10.5)));
        other.observe(9.0, Some((trace(4), 10.6)));
        for (mut sum, other) in [(histogram.clone(), &other), (other.clone(), &histogram)] {
            sum.add(other);
            assert_eq!(sum.exemplar(0), Some(&Exemplar { trace: trace(2), value: 0.6, at: 11.0 }));
            assert_eq!(sum.exemplar(1), None);
            assert_eq!(sum.exemplar(2).unwrap().trace, trace(4));
        }
    }

    #[test]
    fn a_quantile_is_within_its_bucket() {
        let mut histogram = Histogram::new(&[0.1, 0.25, 1.0]);
        assert_eq!(histogram.quantile(0.5), None);
        for _ in 0..10 {
            histogram.observe(0.05, None);
            histogram.observe(0.2, None);
        }
        let at = |share: f64| (histogram.quantile(share).unwrap() * 1e6).round() / 1e6;
        assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(at), [0.0, 0.05, 0.1, 0.175, 0.25]);
        let earlier = histogram.clone();
        histogram.observe(0.7, None);
        histogram.observe(70.0, None);
        let latest = histogram.since(&earlier);
        assert_eq!(latest.count(), 2);
        assert_eq!(latest.quantile(0.5), Some(1.0), "the first bucket that holds half of them");
        assert_eq!(latest.quantile(0.99), Some(1.0), "nothing is known beyond the last bound");
    }
}
