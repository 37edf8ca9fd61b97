//! The numbers of `auto`. They were tuned on pools of workers, processors, locks and thrashing services in virtual time; the runs that
//! justified them are in `tests/limiter` as bounds.

use crate::Duration;

/// The share of the throughput that trials may cost.
pub(super) const BUDGET: f64 = 0.01;
/// What may be lost before anything was gained.
pub(super) const FIRST_CREDIT: Duration = Duration::from_millis(250);
/// What may be lost at once.
pub(super) const MOST_CREDIT: Duration = Duration::from_secs(2);
/// Share of the time in which the limit must have been in the way.
pub(super) const BOUND: f64 = 0.9;
/// A period lasts for so many answers per slot after it has settled: alternating more often would leave less to count, more seldom
/// would take a service that changes for an effect of the limit.
pub(super) const PERIOD: f64 = 4.0;
/// A limit is adopted after so many answers per slot: workers that finish together look like speed until they have finished twice.
pub(super) const SOONEST: f64 = 2.0;
/// To drop what is tried, so many are enough.
pub(super) const SOONEST_DROPPED: f64 = 1.0;
/// Answers that a period is given time for.
pub(super) const PERIOD_ANSWERS: u32 = 32;
/// A period is over after this long whatever happens.
pub(super) const LONGEST_PERIOD: Duration = Duration::from_secs(2);
/// Shortest period.
pub(super) const SHORTEST_PERIOD: Duration = Duration::from_millis(20);
/// A trial that is not clear after this long, and so many periods, is given up; the next is wider.
pub(super) const LONGEST_TRIAL: Duration = Duration::from_secs(4);
/// A higher limit costs less to try, so it is tried for longer.
pub(super) const LONGEST_TRIAL_UP: Duration = Duration::from_secs(8);
/// After an abrupt fall of throughput, so that its return is noticed.
pub(super) const LONGEST_TRIAL_LOW: Duration = Duration::from_secs(2);
/// At least two periods at each of the two limits.
pub(super) const FEWEST_ROUNDS: u32 = 4;
/// The narrowest trial, as a share of the limit.
pub(super) const NARROWEST: f64 = 0.1;
/// A higher limit that is narrower than this begins with the widest again.
pub(super) const NARROWEST_UP: f64 = 0.2;
/// The narrowest after an abrupt fall, where the question is coarse and asked often.
pub(super) const COARSE: f64 = 0.5;
/// The widest upwards: twice as many.
pub(super) const WIDEST: f64 = 1.0;
/// The widest downwards: a quarter.
pub(super) const WIDEST_DOWN: f64 = 3.0;
/// After a trial that changed the limit, or was too narrow to tell, the next is wider by this factor.
pub(super) const WIDER: f64 = 1.5;
/// And else narrower.
pub(super) const NARROWER: f64 = 0.5;
/// A limit that costs more than this share of the throughput is not tried again for the sake of what once was.
pub(super) const CHEAP: f64 = 0.05;
/// Longest time between trials of a kind that cost nothing.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Nobody lowers the limit of a service that is not asked for more than it can do: it must have been in the way for so long without a
/// break.
pub(super) const OVERLOADED: Duration = Duration::from_secs(2);
/// And for as long as it takes to answer so many.
pub(super) const OVERLOADED_ANSWERS: f64 = 400.0;
/// But after this long it has been, however few are answered.
pub(super) const OVERLOADED_AT_LAST: Duration = Duration::from_secs(10);
/// Longest time between two trials of a higher limit, for a service that can do more again would not show it otherwise.
pub(super) const LONGEST_PAUSE_UP: Duration = Duration::from_secs(5);
/// The same where a higher limit gave less: looking there is dear, and only a change of the service makes it worthwhile.
pub(super) const LONGEST_PAUSE_FALLS: Duration = Duration::from_secs(30);
/// Throughput falls as the limit rises if the elasticity is below this, by more than its standard error.
pub(super) const FALLS: f64 = -0.25;
/// Throughput changed abruptly: by this at least, as a logarithm: a third up, a quarter down.
pub(super) const SHOCK: f64 = 0.3;
/// And at least so many standard errors, because it is asked after every answer.
pub(super) const SHOCK_ERRORS: f64 = 5.0;
/// After so many expected answers at the soonest.
pub(super) const SHOCK_ANSWERS: f64 = 20.0;
/// What is left of the limit when most of what was admitted is wasted.
pub(super) const CUT: f64 = 0.7;
