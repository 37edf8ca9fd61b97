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
        let bucket = self.bounds.partition_point(|bound| *bound < value);
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
}
