//! The optional actors of a schedule, besides writers, flushers and queriers, and the layout of the data.

use std::time::Duration;

use crate::{disabled_rule::DisabledRule, random::SeededRandom};

/// The probabilities of actors that act later or elsewhere than the request that started them. They are drawn as late
/// actors are: see [`ScheduleParameters::with_late_actors`](crate::schedule::ScheduleParameters::with_late_actors).
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobMix {
    /// Probability of two processes that accept files and import them.
    pub(crate) importing: f64,
    /// Probability of two processes that make backups and restore them.
    pub(crate) backing_up: f64,
    /// Probability of two processes that copy the cluster to the same destination.
    pub(crate) copying: f64,
    /// Probability of damaged objects, and of two processes that mend them from backups. Only with backups.
    pub(crate) scrubbing: f64,
    /// Probability of two processes that delete rows on request and report when no object has them any more.
    pub(crate) erasing: f64,
    /// Probability of clients that repeat requests that were not acknowledged.
    pub(crate) retrying: f64,
    /// Probability of a view whose rows go to another database. Only with views.
    pub(crate) forwarding: f64,
}

impl JobMix {
    /// No such actors.
    pub(crate) const NONE: Self = Self {
        importing: 0.0,
        backing_up: 0.0,
        copying: 0.0,
        scrubbing: 0.0,
        erasing: 0.0,
        retrying: 0.0,
        forwarding: 0.0,
    };
}

/// The actors of one schedule that act later or elsewhere than the request that started them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobSelection {
    pub(crate) importing: bool,
    pub(crate) backing_up: bool,
    pub(crate) copying: bool,
    pub(crate) scrubbing: bool,
    pub(crate) erasing: bool,
    pub(crate) retrying: bool,
    pub(crate) forwarding: bool,
}

impl JobSelection {
    /// No such actors.
    pub(crate) const NONE: Self = Self {
        importing: false,
        backing_up: false,
        copying: false,
        scrubbing: false,
        erasing: false,
        retrying: false,
        forwarding: false,
    };

    pub(crate) fn draw(mix: &JobMix, chance: &SeededRandom) -> Self {
        let backing_up = chance.happens(mix.backing_up);
        Self {
            importing: chance.happens(mix.importing),
            backing_up,
            copying: chance.happens(mix.copying),
            scrubbing: chance.happens(mix.scrubbing) && backing_up,
            erasing: chance.happens(mix.erasing),
            retrying: chance.happens(mix.retrying),
            forwarding: chance.happens(mix.forwarding),
        }
    }

    /// Number of kinds of actors that send requests of their own.
    pub(crate) fn kinds(self) -> usize {
        let kinds = [self.importing, self.backing_up, self.copying, self.scrubbing, self.erasing];
        kinds.into_iter().filter(|is_there| *is_there).count()
    }
}

/// The probability distribution of optional actors. A schedule draws one value from each list; each probability decides
/// once per schedule.
#[derive(Clone, Debug)]
pub(crate) struct ActorMix {
    /// The probability of any optional actors at all.
    pub(crate) any: f64,
    /// Probability of mergers that choose any closed set of sections.
    pub(crate) merging: f64,
    /// Probability of mergers that follow the product's plans, which also remove expired and dropped rows.
    pub(crate) planning: f64,
    /// Probability of the whole compact function with its events.
    pub(crate) compacting: f64,
    /// Probability of two collectors with different time-travel periods; otherwise one collector deletes segments only.
    pub(crate) collecting: f64,
    /// Probability of clients that delete rows; the second number is the share of deletes among their requests.
    pub(crate) deleting: (f64, f64),
    /// Probability of an operator that sets, shortens and clears the retention.
    pub(crate) expiring: f64,
    /// Probability of an operator that drops and undeletes tables.
    pub(crate) dropping: f64,
    /// Probability of an operator that renames tables and deletes their aliases. Drawn like `caching`.
    pub(crate) renaming: f64,
    /// Probability of an operator that restores earlier versions.
    pub(crate) restoring: f64,
    /// Probability of an operator that drops databases, mostly restored ones, and undeletes them.
    pub(crate) destroying: f64,
    /// Probability of actors that create, drop and fill caches. This one and the next two are not drawn with the others:
    /// see [`ScheduleParameters::with_late_actors`](crate::schedule::ScheduleParameters::with_late_actors).
    pub(crate) caching: f64,
    /// Probability of materialized views with two refreshers.
    pub(crate) viewing: f64,
    /// Probability of triggers on writes with two engines.
    pub(crate) triggering: f64,
    pub(crate) jobs: JobMix,
    /// Probability of queries of earlier states; the second number is their share among all queries.
    pub(crate) looking_back: (f64, f64),
    /// Probability that each write has a row on each of the days.
    pub(crate) wide: f64,
    /// The number of days that have rows.
    pub(crate) days: &'static [usize],
    /// The number of sections that a manifest holds before it writes pages.
    pub(crate) inline_sections: &'static [usize],
    /// How long collectors keep dropped sections and earlier versions, in seconds; drawn for each collector.
    pub(crate) time_travel: &'static [u64],
    /// The minimum age of orphans, in seconds; the product's collector has a lower limit of its own.
    pub(crate) orphan_age: &'static [u64],
    /// The pauses between merges, and between actions of operators, in seconds.
    pub(crate) merge_pauses: &'static [f64],
    pub(crate) operator_pauses: &'static [f64],
    /// The pauses between refreshes of views, and between events of engines, in seconds.
    pub(crate) refresh_pauses: &'static [f64],
    /// The calls of a schedule with optional actors, in percent of those without.
    pub(crate) calls: &'static [usize],
    /// The disabled rule, if the simulation's own mergers and collectors replace those of the product.
    pub(crate) weakness: Option<DisabledRule>,
}

impl ActorMix {
    pub(crate) const NO_OPTIONAL_ACTORS: Self = Self { any: 0.0, ..Self::ALL };

    /// The distribution for the test of all invariants.
    pub(crate) const ALL: Self = Self {
        any: 0.7,
        merging: 0.6,
        planning: 0.3,
        compacting: 0.15,
        collecting: 0.7,
        deleting: (0.6, 0.2),
        expiring: 0.3,
        dropping: 0.3,
        renaming: 0.0,
        restoring: 0.3,
        destroying: 0.1,
        caching: 0.0,
        viewing: 0.0,
        triggering: 0.0,
        jobs: JobMix::NONE,
        looking_back: (0.5, 0.3),
        wide: 0.25,
        days: &[1, 2, 2, 4, 6],
        inline_sections: &[0, 4, 512],
        time_travel: &[60, 200, 1000],
        orphan_age: &[1800],
        merge_pauses: &[0.5, 5.0, 30.0, 100.0],
        operator_pauses: &[2.0, 20.0, 100.0],
        refresh_pauses: &[5.0, 30.0, 100.0],
        calls: &[100, 150, 200],
        weakness: None,
    };

    /// Optional actors in every schedule.
    const WITH_OPTIONAL_ACTORS: Self = Self {
        any: 1.0,
        merging: 0.7,
        planning: 0.5,
        collecting: 0.9,
        calls: &[200],
        ..Self::ALL
    };

    /// Manifests with pages.
    pub(crate) const PAGES: Self = Self {
        wide: 1.0,
        days: &[4],
        inline_sections: &[0, 4],
        time_travel: &[1000],
        merge_pauses: &[30.0],
        ..Self::WITH_OPTIONAL_ACTORS
    };

    /// Frequent changes of the retention.
    pub(crate) const EXPIRY: Self = Self {
        expiring: 1.0,
        planning: 1.0,
        days: &[2, 4],
        inline_sections: &[0, 512],
        operator_pauses: &[2.0, 20.0],
        ..Self::WITH_OPTIONAL_ACTORS
    };

    /// Tables that are dropped and undeleted.
    pub(crate) const DROPS: Self = Self {
        dropping: 1.0,
        planning: 1.0,
        operator_pauses: &[2.0, 20.0],
        ..Self::WITH_OPTIONAL_ACTORS
    };

    /// Tables that are renamed and lose their former names, are merged and dropped.
    pub(crate) const RENAMES: Self = Self {
        renaming: 1.0,
        dropping: 0.2,
        planning: 1.0,
        operator_pauses: &[2.0, 20.0],
        ..Self::WITH_OPTIONAL_ACTORS
    };

    /// Caches of tables that are merged, expire and are dropped.
    pub(crate) const CACHES: Self = Self {
        caching: 1.0,
        expiring: 0.5,
        dropping: 0.2,
        deleting: (0.6, 0.1),
        days: &[2, 4],
        merge_pauses: &[0.5, 5.0, 30.0],
        operator_pauses: &[2.0, 20.0],
        ..Self::WITH_OPTIONAL_ACTORS
    };

    /// Triggers on writes, while segments are flushed and collected.
    pub(crate) const TRIGGERS: Self = Self {
        triggering: 1.0,
        dropping: 0.2,
        restoring: 0.2,
        time_travel: &[60, 200],
        refresh_pauses: &[0.5, 5.0, 30.0, 100.0],
        ..Self::WITH_OPTIONAL_ACTORS
    };

    /// Materialized views of tables that are merged, expire, are dropped and restored.
    pub(crate) const VIEWS: Self = Self {
        viewing: 1.0,
        expiring: 0.3,
        dropping: 0.2,
        restoring: 0.2,
        days: &[2, 4],
        operator_pauses: &[20.0, 100.0],
        ..Self::WITH_OPTIONAL_ACTORS
    };

    /// Views of which one stores its rows in another database.
    pub(crate) const FORWARDED_VIEWS: Self = Self {
        jobs: JobMix { forwarding: 1.0, ..JobMix::NONE },
        dropping: 0.0,
        restoring: 0.0,
        destroying: 0.0,
        ..Self::VIEWS
    };

    /// Jobs beside everything that changes rows.
    pub(crate) const JOBS: Self = Self {
        jobs: JobMix {
            importing: 0.5,
            backing_up: 0.6,
            copying: 0.4,
            scrubbing: 0.4,
            erasing: 0.5,
            retrying: 0.5,
            forwarding: 0.0,
        },
        compacting: 0.3,
        expiring: 0.2,
        dropping: 0.0,
        restoring: 0.1,
        destroying: 0.0,
        days: &[2, 4],
        time_travel: &[200, 1000],
        merge_pauses: &[5.0, 30.0, 100.0],
        operator_pauses: &[20.0, 100.0],
        refresh_pauses: &[5.0, 30.0],
        calls: &[300],
        ..Self::WITH_OPTIONAL_ACTORS
    };

    /// Everything that depends on ages.
    pub(crate) const AGES: Self = Self {
        expiring: 1.0,
        dropping: 0.3,
        restoring: 0.0,
        destroying: 0.0,
        looking_back: (0.0, 0.0),
        planning: 1.0,
        collecting: 1.0,
        days: &[2, 4],
        operator_pauses: &[20.0, 100.0],
        ..Self::WITH_OPTIONAL_ACTORS
    };

    /// Databases that are restored from an earlier version of another one.
    pub(crate) const RESTORES: Self = Self {
        restoring: 1.0,
        destroying: 0.5,
        collecting: 1.0,
        time_travel: &[60, 200],
        operator_pauses: &[20.0, 100.0],
        ..Self::WITH_OPTIONAL_ACTORS
    };
}

/// The optional actors of one schedule.
#[derive(Clone, Debug)]
pub(crate) struct ActorSelection {
    pub(crate) merging: bool,
    pub(crate) planning: bool,
    pub(crate) compacting: bool,
    pub(crate) collecting: bool,
    pub(crate) deletes: f64,
    pub(crate) expiring: bool,
    pub(crate) dropping: bool,
    pub(crate) renaming: bool,
    pub(crate) restoring: bool,
    pub(crate) destroying: bool,
    pub(crate) caching: bool,
    pub(crate) viewing: bool,
    pub(crate) triggering: bool,
    pub(crate) jobs: JobSelection,
    pub(crate) past_queries: f64,
    pub(crate) wide: bool,
    pub(crate) days: usize,
    pub(crate) inline_sections: usize,
    /// The time-travel periods of the two collectors.
    pub(crate) time_travel: [Duration; 2],
    pub(crate) orphan_age: Duration,
    pub(crate) weakness: Option<DisabledRule>,
}

impl ActorSelection {
    pub(crate) const NO_OPTIONAL_ACTORS: Self = Self {
        merging: false,
        planning: false,
        compacting: false,
        collecting: false,
        deletes: 0.0,
        expiring: false,
        dropping: false,
        renaming: false,
        restoring: false,
        destroying: false,
        caching: false,
        viewing: false,
        triggering: false,
        jobs: JobSelection::NONE,
        past_queries: 0.0,
        wide: false,
        days: 2,
        inline_sections: 512,
        time_travel: [Duration::from_secs(3600); 2],
        orphan_age: Duration::from_secs(86_400),
        weakness: None,
    };

    pub(crate) fn draw(mix: &ActorMix, chance: &SeededRandom) -> Self {
        if !chance.happens(mix.any) {
            return Self::NO_OPTIONAL_ACTORS;
        }
        let destroying = chance.happens(mix.destroying);
        let share = |(any, share): (f64, f64)| if chance.happens(any) { share } else { 0.0 };
        Self {
            merging: chance.happens(mix.merging),
            planning: chance.happens(mix.planning),
            // No other actor removes the remains of a database.
            compacting: chance.happens(mix.compacting) || destroying,
            collecting: chance.happens(mix.collecting),
            deletes: share(mix.deleting),
            expiring: chance.happens(mix.expiring),
            dropping: chance.happens(mix.dropping),
            renaming: false,
            restoring: chance.happens(mix.restoring),
            destroying,
            caching: false,
            viewing: false,
            triggering: false,
            jobs: JobSelection::NONE,
            past_queries: share(mix.looking_back),
            wide: chance.happens(mix.wide),
            days: chance.pick(mix.days),
            inline_sections: chance.pick(mix.inline_sections),
            time_travel: [(); 2].map(|()| Duration::from_secs(chance.pick(mix.time_travel))),
            orphan_age: Duration::from_secs(chance.pick(mix.orphan_age)),
            weakness: mix.weakness,
        }
    }

    /// Whether the schedule has optional actors.
    pub(crate) fn has_optional_actors(&self) -> bool {
        self.merging || self.planning || self.compacting || self.collecting
    }

    /// Returns the shorter time-travel period of the two collectors.
    pub(crate) fn kept(&self) -> Duration {
        self.time_travel[0].min(self.time_travel[1])
    }
}
