//! The parameters of a schedule: the rates of faults, and the pace of the actors.

use std::time::Duration;

use crate::{
    actor_mix::{ActorMix, ActorSelection, JobSelection},
    machine::Suspension,
    random::SeededRandom,
    simulated_store::StoreBehavior,
};

/// The lengths of freezes in seconds, from a few seconds to hours.
const MIXED: &[u64] = &[3, 8, 15, 25, 40, 75, 130, 400, 1000, 4000, 9000, 20000];
const SHORT: &[u64] = &[3, 6, 9, 12, 15, 19, 25, 32, 70];
const LONG: &[u64] = &[15, 400, 4000, 9000, 13000, 20000];

/// The distribution of a test's schedules. A schedule draws one value from each list.
#[derive(Clone, Debug)]
pub(crate) struct ScheduleMix {
    /// The number of calls to the store in a schedule.
    pub(crate) calls: &'static [usize],
    /// The probability that a write to the store is lost, late, refused, or takes effect without an answer.
    pub(crate) trouble: &'static [f64],
    /// The probability of a freeze before a request is sent, and before its answer is read.
    pub(crate) freeze: &'static [f64],
    /// The lengths of freezes in seconds.
    pub(crate) freezes: &'static [&'static [u64]],
    /// The probability of a sudden death, before a request is sent and before its answer is read.
    pub(crate) kill: &'static [f64],
    /// The mean latency of a request, and of its answer, in milliseconds.
    pub(crate) latency: &'static [u64],
    /// The factor by which the pauses of all actors are multiplied.
    pub(crate) pace: &'static [f64],
    /// The clocks that stop in a freeze; drawn for each machine.
    pub(crate) suspensions: &'static [Suspension],
    /// The error of a machine's wall clock in seconds; drawn for each machine.
    pub(crate) wall_skew: &'static [f64],
    /// Whether wall clocks step at random times.
    pub(crate) wall_steps: bool,
    /// The maximum error of a host of the store, in seconds.
    pub(crate) host_skew: &'static [f64],
    /// Whether the clock of the store is one hour ahead for a while.
    pub(crate) store_steps: bool,
    /// Whether flushes trust the store's clock even if it differs greatly from the machine's.
    pub(crate) trust_store_clock: bool,
    /// The keys on a page of a listing.
    pub(crate) page_keys: &'static [usize],
    /// The pauses between writes, flushes, queries and collections, in seconds.
    pub(crate) write_pauses: &'static [f64],
    pub(crate) flush_pauses: &'static [f64],
    pub(crate) query_pauses: &'static [f64],
    pub(crate) collect_pauses: &'static [f64],
    /// The probability that a schedule has actors that commit to a test register.
    pub(crate) ledger: f64,
    /// The probability that a write adds a new column.
    pub(crate) new_column: f64,
    /// The share of writes with strict order.
    pub(crate) strict: &'static [f64],
    /// The probability that writers and readers share a process that is configured as the only writer.
    pub(crate) sole_writer: f64,
    /// The optional actors.
    pub(crate) cast: ActorMix,
}

impl ScheduleMix {
    /// The distribution for the test of all invariants.
    pub(crate) const ALL: Self = Self {
        calls: &[80, 130, 200],
        trouble: &[0.0, 0.03, 0.12],
        freeze: &[0.003, 0.01, 0.03],
        freezes: &[MIXED, SHORT, LONG],
        kill: &[0.0, 0.003, 0.01],
        latency: &[20, 200, 1000],
        pace: &[0.1, 0.3, 1.0, 1.0, 4.0, 20.0],
        suspensions: &[
            Suspension::NoClockStops,
            Suspension::MonotonicClockStops,
            Suspension::BothClocksStop,
        ],
        wall_skew: &[0.0, 0.5, -0.5, 1.9, -1.9, 8.0, -8.0, 14.0, -14.0, 200.0, -4000.0],
        wall_steps: true,
        host_skew: &[0.0, 1.0, 5.0, 5.0],
        store_steps: false,
        trust_store_clock: false,
        page_keys: &[2, 5, 1000],
        write_pauses: &[0.05, 0.5, 0.5, 5.0, 5.0, 20.0, 60.0, 700.0],
        flush_pauses: &[1.0, 10.0, 60.0, 300.0],
        query_pauses: &[0.2, 3.0, 40.0, 300.0, 300.0],
        collect_pauses: &[20.0, 100.0, 600.0],
        ledger: 0.3,
        new_column: 0.15,
        strict: &[0.0, 0.3, 1.0],
        sole_writer: 0.15,
        cast: ActorMix::ALL,
    };

    /// The distribution for the test of all invariants, with caches, materialized views, triggers and renamed tables in some
    /// schedules.
    pub(crate) const EVERYTHING: Self = Self {
        cast: ActorMix {
            caching: 1.0 / 8.0,
            viewing: 1.0 / 12.0,
            triggering: 1.0 / 8.0,
            renaming: 1.0 / 8.0,
            ..ActorMix::ALL
        },
        ..Self::ALL
    };

    /// A distribution with frequent flushes.
    pub(crate) const COMPACTION: Self = Self {
        ledger: 0.0,
        flush_pauses: &[1.0, 10.0, 60.0],
        write_pauses: &[0.5, 5.0, 20.0, 60.0],
        ..Self::ALL
    };

    /// A distribution in which jobs of minutes have time, because all others pause for longer.
    pub(crate) const JOBS: Self = Self {
        pace: &[1.0, 4.0],
        write_pauses: &[5.0, 20.0, 60.0],
        flush_pauses: &[10.0, 60.0],
        query_pauses: &[40.0, 300.0],
        sole_writer: 0.0,
        cast: ActorMix::JOBS,
        ..Self::COMPACTION
    };

    /// The store's clock is an hour ahead for a while, as that of a directory until an operator sets it back.
    pub(crate) const LEAPS: Self = Self {
        store_steps: true,
        wall_steps: false,
        wall_skew: &[0.0, 1.9, -1.9, 14.0, -14.0],
        pace: &[1.0, 4.0],
        cast: ActorMix::AGES,
        ..Self::COMPACTION
    };

    /// Only writes, flushes and queries.
    pub(crate) const WITHOUT_COMPACTION: Self =
        Self { cast: ActorMix::NO_OPTIONAL_ACTORS, ..Self::ALL };
}

/// The additional calls of a schedule for each kind of late actors, in percent of those without.
const CALLS_OF_LATE_ACTORS: usize = 50;

#[derive(Clone, Debug)]
pub(crate) struct ScheduleParameters {
    pub(crate) calls: usize,
    pub(crate) trouble: f64,
    pub(crate) freeze: f64,
    pub(crate) freezes: &'static [u64],
    pub(crate) kill: f64,
    pub(crate) latency: Duration,
    pub(crate) pace: f64,
    pub(crate) sole_writer: bool,
    pub(crate) ledger: bool,
    pub(crate) strict: f64,
    pub(crate) store: StoreBehavior,
    pub(crate) cast: ActorSelection,
}

impl ScheduleParameters {
    /// No random faults, and a store with true clocks.
    pub(crate) const WITHOUT_FAULTS: Self = Self {
        calls: usize::MAX,
        trouble: 0.0,
        freeze: 0.0,
        freezes: &[],
        kill: 0.0,
        latency: Duration::ZERO,
        pace: 1.0,
        sole_writer: false,
        ledger: false,
        strict: 0.0,
        store: StoreBehavior { page_keys: 1000, sorted: true, host_skew: 0.0, fast: None },
        cast: ActorSelection::NO_OPTIONAL_ACTORS,
    };

    pub(crate) fn draw(mix: &ScheduleMix, chance: &SeededRandom) -> Self {
        let from = Duration::from_secs(200);
        let fast = from + Duration::from_secs(chance.pick(&[50, 300, 2000]));
        let cast = ActorSelection::draw(&mix.cast, chance);
        let percent = if cast.has_optional_actors() {
            chance.pick(mix.cast.calls)
        } else {
            100
        };
        Self {
            calls: chance.pick(mix.calls) * percent / 100,
            trouble: chance.pick(mix.trouble),
            freeze: chance.pick(mix.freeze),
            freezes: chance.pick(mix.freezes),
            kill: chance.pick(mix.kill),
            latency: Duration::from_millis(chance.pick(mix.latency)),
            pace: chance.pick(mix.pace),
            sole_writer: chance.happens(mix.sole_writer),
            ledger: chance.happens(mix.ledger),
            strict: chance.pick(mix.strict),
            store: StoreBehavior {
                page_keys: chance.pick(mix.page_keys),
                sorted: chance.happens(0.6),
                host_skew: chance.pick(mix.host_skew),
                fast: mix.store_steps.then_some((from, fast)),
            },
            cast,
        }
    }

    /// Decides whether the schedule has caches, materialized views, triggers, jobs and renamed tables. The decisions are not drawn from the
    /// numbers of the schedule, so that the seeds without them have the schedules that they have without this
    /// distribution.
    pub(crate) fn with_late_actors(mut self, mix: &ScheduleMix, seed: u64) -> Self {
        let (chance, cast) = (SeededRandom::new(!seed), &mut self.cast);
        cast.viewing = chance.happens(mix.cast.viewing);
        cast.caching = chance.happens(mix.cast.caching);
        cast.triggering = chance.happens(mix.cast.triggering);
        cast.jobs = JobSelection::draw(&mix.cast.jobs, &chance);
        cast.renaming = chance.happens(mix.cast.renaming);
        let kinds = [cast.viewing, cast.caching, cast.triggering]
            .into_iter()
            .filter(|is_there| *is_there)
            .count();
        let percent = 100 + CALLS_OF_LATE_ACTORS * (kinds + cast.jobs.kinds());
        self.calls = self.calls * percent / 100;
        self
    }
}
