//! The numbers of `auto`. They were tuned on pools of workers, processors, locks and thrashing services in virtual time; the runs that
//! justified them are in `tests/limiter` as bounds.

use super::change::Factor;
use crate::Duration;

/// The share of the throughput that trials of lower limits may cost.
pub(super) const BUDGET: f64 = 0.003;
/// The same where throughput falls above a point: there it must be looked for.
pub(super) const BUDGET_PEAK: f64 = 0.01;
/// What may be lost before anything was gained.
pub(super) const FIRST_CREDIT: Duration = Duration::from_millis(100);
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
pub(super) const LONGEST_TRIAL: Duration = Duration::from_secs(8);
/// The same of a lower limit that has cost no more than it may: where little is answered, it takes long to be sure that it costs nothing.
pub(super) const LONGEST_TRIAL_CHEAP: Duration = Duration::from_secs(30);
/// That is: less than this, whatever there is on the account.
pub(super) const CHEAP_TRIAL: Duration = Duration::from_millis(500);
/// After an abrupt fall of throughput, so that its return is noticed.
pub(super) const LONGEST_TRIAL_LOW: Duration = Duration::from_secs(2);
/// A lower limit that is neither as good nor worse after so many answers lies on the other side of the best one, or close to it: how long a
/// request takes there says more about where that is than more of them.
pub(super) const ENOUGH_ANSWERS: f64 = 256.0;
/// At least two periods at each of the two limits.
pub(super) const FEWEST_ROUNDS: u32 = 4;
/// The narrowest trial, as a share of the limit.
pub(super) const NARROWEST: f64 = 0.1;
/// The narrowest upwards, and after an abrupt fall, where the question is coarse and asked often: what lies closer gains little.
pub(super) const COARSE: f64 = 0.5;
/// The widest upwards: twice as many.
pub(super) const WIDEST: f64 = 1.0;
/// The widest downwards: a quarter.
pub(super) const WIDEST_DOWN: f64 = 3.0;
/// After a trial that changed the limit, or was too narrow to tell, the next is wider by this factor.
pub(super) const WIDER: f64 = 1.5;
/// And else narrower.
pub(super) const NARROWER: f64 = 0.5;
/// What is left of the measurement that made a limit be adopted: it ended when it looked good, so it looks better than it is.
pub(super) const ADOPTED: f64 = 0.3;
/// What was lost has come back when so much of it is there.
pub(super) const BACK: f64 = 0.85;
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
/// What is left of the limit when most of what was admitted is wasted.
pub(super) const CUT: f64 = 0.7;
/// Longest time between two trials of a higher limit: a service that can do more again would not always show it otherwise.
pub(super) const LONGEST_PAUSE_UP: Duration = Duration::from_secs(15);
/// And of a lower one.
pub(super) const LONGEST_PAUSE_DOWN: Duration = Duration::from_secs(60);
/// And of either where throughput falls above a point.
pub(super) const LONGEST_PAUSE_PEAK: Duration = Duration::from_secs(20);
/// Time between trials that cost something after an abrupt fall of throughput, until it has come back.
pub(super) const PAUSE_LOW: Duration = Duration::from_secs(5);
/// Throughput falls as the limit rises if the elasticity is below this, by more than its standard errors.
pub(super) const FALLS: f64 = -0.12;
/// And rises if it is above this.
pub(super) const RISES: f64 = 0.06;
/// A single trial with such an elasticity is a reason to look again soon.
pub(super) const SEEMS_TO_FALL: f64 = -0.3;
/// So many answers at the limit are needed for a trial to say anything about that.
pub(super) const FALLS_ANSWERS: f64 = 20.0;
/// What is left of the weight of earlier trials' elasticities when there is another one.
pub(super) const KEPT_SLOPE: f64 = 0.8;
/// What is left of the weight of earlier measurements of how long a request takes alone.
pub(super) const KEPT_ALONE: f64 = 0.7;
/// So many answers are remembered of that at most.
pub(super) const MOST_ALONE: f64 = 256.0;
/// Standard errors of the knee that the limit may be above what is aimed at.
pub(super) const DOUBT: f64 = 0.6;
/// A limit that is aimed at and is closer than this factor is not worth a change.
pub(super) const CLOSE: f64 = 16.0 / 15.0;
/// There are too few slots to keep the service busy if so large a share of them is busy.
pub(super) const NEAR: f64 = 0.95;
/// The limit that is aimed at, as a multiple of the knee, where requests are alike.
pub(super) const ROOM: f64 = 1.25;
/// The same at most, where throughput is known not to fall.
pub(super) const MOST_ROOM: f64 = 1.5;
/// Where it is known, room for so many standard deviations of the number that chance has in the service: its square root.
pub(super) const CHANCE: f64 = 2.5;
/// The same after an abrupt fall of throughput, until it has come back: only a service that is kept busier than it can be shows that it can
/// do more again.
pub(super) const ROOM_LOW: f64 = 1.85;
/// The next limit where there is no better reason for another, as a share more or less.
pub(super) const STEP: f64 = 0.2;
/// The narrowest step where throughput falls above a point.
pub(super) const FINEST: f64 = 0.08;
/// At such an elasticity below the limit, there are too few slots to keep the service busy.
pub(super) const SCARCE: f64 = 0.8;
/// At such a one, the best limit is not far from the present one where throughput falls above it.
pub(super) const SHARE: f64 = 0.5;
/// At such a one, the lower of two limits was too low.
pub(super) const TOO_LOW: f64 = 0.15;
/// A change upwards that is noticed at once.
pub(super) const RISE: Factor = Factor { factor: 1.25, ln: 0.223_143_551_314_209_76, least_dispersion: 0.5 };
/// Evidence that throughput has risen.
pub(super) const RISE_EVIDENCE: f64 = 8.0;
/// What a service that lost most of what it could do does when it has it back.
pub(super) const RETURN: Factor = Factor { factor: 1.8, ln: 0.587_786_664_902_119, least_dispersion: 0.5 };
/// Evidence that it has: less, because it only makes the limit of before be tried.
pub(super) const RETURN_EVIDENCE: f64 = 5.0;
/// A change downwards that is noticed at once.
pub(super) const FALL: Factor = Factor { factor: 0.6, ln: -0.510_825_623_765_990_7, least_dispersion: 1.0 };
/// Evidence that it has fallen: higher, because everything is forgotten then.
pub(super) const FALL_EVIDENCE: f64 = 12.0;
/// After so many expected answers at the soonest.
pub(super) const SHOCK_ANSWERS: f64 = 40.0;
