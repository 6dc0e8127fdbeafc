//! Instances: the components of the product on a machine, each instance with its own network.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use neap_bucket::{Bucket, ProtocolMargins, ProtocolRules, World};
use neap_catalog::Catalog;
use neap_compact::{
    CacheBackfill, Compactor, CompactorSettings, FlushLimits, FlushTriggers, Flusher,
    GarbageCollector, GarbageCollectorSettings, Maintainer, MergePolicy, Merger,
};
use neap_http::Metrics;
use neap_manifest::{ManifestSettings, ManifestStore, SnapshotReader, SnapshotSettings};
use neap_schema::DatabaseId;
use neap_wal::{
    BackpressureLimits, SegmentObserver, TailReader, TailReaderSettings, TailWriter,
    TailWriterSettings,
};
use neap_write::{WriteService, WriteServiceParts, WriteSettings};

use crate::{
    actor_mix::ActorSelection,
    disabled_rule::DisabledRule,
    machine::{Machine, SimClock, Suspension},
    mutant_progress::with_progress_of,
    network::{CallScript, SimulatedNetwork, SimulationContext},
    schedule::ScheduleMix,
};

/// The database that all actors use.
pub(crate) const DATABASE: DatabaseId = DatabaseId::new(1);

/// The name of [`DATABASE`].
pub(crate) const DATABASE_NAME: &str = "db";

/// A running process with all components of the product.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) world: Arc<SimulationContext>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) network: SimulatedNetwork,
    pub(crate) bucket: Bucket,
    pub(crate) rules: ProtocolRules,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) manifests: ManifestStore,
    pub(crate) tail: TailReader,
    pub(crate) writer: Arc<WriteService>,
    pub(crate) snapshots: Arc<SnapshotReader>,
    pub(crate) flusher: Flusher,
    pub(crate) merger: Merger,
    pub(crate) maintainer: Maintainer,
    pub(crate) collector: GarbageCollector,
    pub(crate) compactor: Compactor,
    pub(crate) collects: GarbageCollectorSettings,
    pub(crate) weakness: Option<DisabledRule>,
}

#[derive(Clone)]
pub(crate) struct InstanceOptions {
    pub(crate) rules: ProtocolRules,
    pub(crate) faulty: bool,
    pub(crate) sole_writer: bool,
    pub(crate) flush_limits: FlushLimits,
    pub(crate) trusts_store_clock: bool,
    /// The number of sections that a manifest holds before it writes pages.
    pub(crate) inline_sections: usize,
    pub(crate) merges: MergePolicy,
    pub(crate) collects: GarbageCollectorSettings,
    pub(crate) weakness: Option<DisabledRule>,
    pub(crate) script: Option<CallScript>,
    /// The seed of the instance's ids, salts and nonces.
    pub(crate) entropy: Option<u64>,
}

impl InstanceOptions {
    /// Returns options without faults.
    pub(crate) fn healthy(rules: ProtocolRules) -> Self {
        Self {
            rules,
            faulty: false,
            sole_writer: false,
            flush_limits: FlushLimits::default(),
            trusts_store_clock: false,
            inline_sections: ManifestSettings::default().inline_sections,
            merges: MergePolicy::default(),
            collects: GarbageCollectorSettings::default(),
            weakness: None,
            script: None,
            entropy: None,
        }
    }
}

impl Instance {
    pub(crate) fn start(
        world: &Arc<SimulationContext>,
        machine: Arc<Machine>,
        start: InstanceOptions,
    ) -> Arc<Self> {
        let mut network =
            SimulatedNetwork::new(Arc::clone(world), Arc::clone(&machine), start.faulty)
                .with_weakness(start.weakness);
        if let Some(script) = start.script {
            network = network.with_script(script);
        }
        let seed = start.entropy.unwrap_or_else(|| world.chance.number());
        let surroundings = World::seeded(Arc::new(SimClock(Arc::clone(&machine))), seed);
        let rules = start.rules;
        let bucket = Bucket::new(
            with_progress_of(network.clone(), start.weakness, world.time),
            surroundings,
        )
        .trusting_store_clock(start.trusts_store_clock);
        let catalog = Arc::new(Catalog::new(bucket.clone(), ProtocolMargins::NETWORK, Some(rules)));
        let manifest_settings = ManifestSettings::with_inline_sections(start.inline_sections);
        let manifests = ManifestStore::new(bucket.clone(), &rules, manifest_settings);
        let tail = TailReader::new(bucket.clone(), TailReaderSettings::default());
        let settings = SnapshotSettings {
            sole_writer: start.sole_writer,
            ..SnapshotSettings::default()
        };
        let snapshots = Arc::new(SnapshotReader::new(
            manifests.clone(),
            Arc::clone(&catalog),
            tail.clone(),
            rules,
            settings,
        ));
        let observer =
            start.sole_writer.then(|| Arc::clone(&snapshots) as Arc<dyn SegmentObserver>);
        let writer = Arc::new(WriteService::new(WriteServiceParts {
            catalog: Arc::clone(&catalog),
            writer: TailWriter::new(bucket.clone(), rules, TailWriterSettings::NETWORK, observer),
            rules,
            metrics: Metrics::default(),
            settings: WriteSettings::default(),
        }));
        let flusher = Flusher::new(
            bucket.clone(),
            Arc::clone(&catalog),
            manifests.clone(),
            tail.clone(),
            rules,
            start.flush_limits,
        );
        let merger = Merger::new(bucket.clone(), Arc::clone(&catalog), manifests.clone());
        let maintainer = Maintainer::new(
            bucket.clone(),
            Arc::clone(&catalog),
            manifests.clone(),
            merger.clone(),
            start.merges,
        );
        let collector = GarbageCollector::new(
            bucket.clone(),
            Arc::clone(&catalog),
            manifests.clone(),
            start.collects,
        );
        let compactor = Compactor::new(
            bucket.clone(),
            flusher.clone(),
            maintainer.clone(),
            CacheBackfill::new(bucket.clone(), Arc::clone(&catalog), manifests.clone()),
            collector.clone(),
            None,
            CompactorSettings {
                triggers: FlushTriggers {
                    age: Duration::from_secs(60),
                    ..FlushTriggers::default()
                },
                ..CompactorSettings::default()
            },
        );
        Arc::new(Self {
            world: Arc::clone(world),
            machine,
            network,
            bucket,
            rules,
            catalog,
            manifests,
            tail,
            writer,
            snapshots,
            flusher,
            merger,
            maintainer,
            collector,
            compactor,
            collects: start.collects,
            weakness: start.weakness,
        })
    }

    /// Starts an instance on a machine with true clocks and a network without faults.
    pub(crate) fn healthy(
        world: &Arc<SimulationContext>,
        name: &str,
        rules: ProtocolRules,
    ) -> Arc<Self> {
        let machine = Machine::new(name.to_owned(), world.time, Suspension::NoClockStops, 0.0);
        let cast = &world.choices.cast;
        let start = InstanceOptions {
            inline_sections: cast.inline_sections,
            merges: merge_everything(),
            collects: collects(cast, cast.kept()),
            weakness: cast.weakness,
            ..InstanceOptions::healthy(rules)
        };
        Self::start(world, machine, start)
    }

    pub(crate) fn trace(&self, what: impl std::fmt::Display) {
        self.world.trace(self.machine.name(), what);
    }
}

/// Returns a policy that merges everything that can be merged.
fn merge_everything() -> MergePolicy {
    MergePolicy {
        settle_after: Duration::ZERO,
        recent_sections: 2,
        range_after: Duration::ZERO,
        delete_after: Duration::ZERO,
        ..MergePolicy::default()
    }
}

fn collects(cast: &ActorSelection, time_travel: Duration) -> GarbageCollectorSettings {
    GarbageCollectorSettings {
        time_travel: match cast.weakness {
            Some(DisabledRule::TimeTravelPeriod) => Duration::ZERO,
            _ => time_travel,
        },
        orphan_age: cast.orphan_age,
        ..GarbageCollectorSettings::default()
    }
}

/// A slot in which one instance runs at a time. When it dies, the next one starts cold on another machine.
#[derive(Debug)]
pub(crate) struct InstanceSlot {
    name: String,
    world: Arc<SimulationContext>,
    mix: ScheduleMix,
    rules: ProtocolRules,
    sole_writer: bool,
    /// How long a collector in this slot keeps dropped sections and earlier versions.
    time_travel: Duration,
    current: Mutex<Option<(u32, Arc<Instance>)>>,
}

impl InstanceSlot {
    pub(crate) fn new(
        name: &str,
        world: &Arc<SimulationContext>,
        mix: &ScheduleMix,
        rules: ProtocolRules,
    ) -> Arc<Self> {
        Arc::new(Self::vacant(name, world, mix, rules))
    }

    /// Returns a slot for a process that writes and queries and is configured as the only writer.
    pub(crate) fn of_sole_writer(
        world: &Arc<SimulationContext>,
        mix: &ScheduleMix,
        rules: ProtocolRules,
    ) -> Arc<Self> {
        Arc::new(Self {
            sole_writer: true,
            ..Self::vacant("serve", world, mix, rules)
        })
    }

    /// Returns a slot for one of the two collectors.
    pub(crate) fn of_collector(
        number: usize,
        world: &Arc<SimulationContext>,
        mix: &ScheduleMix,
        rules: ProtocolRules,
    ) -> Arc<Self> {
        let name = format!("collector {number}");
        Arc::new(Self {
            time_travel: world.choices.cast.time_travel[number],
            ..Self::vacant(&name, world, mix, rules)
        })
    }

    fn vacant(
        name: &str,
        world: &Arc<SimulationContext>,
        mix: &ScheduleMix,
        rules: ProtocolRules,
    ) -> Self {
        Self {
            name: name.to_owned(),
            world: Arc::clone(world),
            mix: mix.clone(),
            rules,
            sole_writer: false,
            time_travel: world.choices.cast.time_travel[0],
            current: Mutex::default(),
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<(u32, Arc<Instance>)>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the running instance. Starts one if there is none or it is dead.
    pub(crate) fn instance(&self) -> Arc<Instance> {
        let mut current = self.current();
        let generation = match &*current {
            Some((_, instance)) if !instance.machine.is_dead() => return Arc::clone(instance),
            Some((generation, _)) => generation + 1,
            None => 0,
        };
        let chance = &self.world.chance;
        let (suspension, skew) =
            (chance.pick(self.mix.suspensions), chance.pick(self.mix.wall_skew));
        let name = format!("{}.{generation}", self.name);
        self.world.trace(&name, format_args!("starts: {suspension:?}, wall {skew:+} s"));
        let machine = Machine::new(name, self.world.time, suspension, skew);
        let cast = &self.world.choices.cast;
        let segments = chance.pick(&[1, 3, 1000, 1000]);
        // Small flushes list only a part of the tail, and often publish it in a separate commit.
        let pressure = match segments {
            1000 => BackpressureLimits::DEFAULT,
            // If the store's clock jumps, ages are wrong and so is the grace period of segments, so no more commits are
            // made there.
            _ if self.mix.store_steps => BackpressureLimits::DEFAULT,
            _ => BackpressureLimits { slow: 1, stop: 2 },
        };
        let start = InstanceOptions {
            rules: self.rules,
            faulty: true,
            sole_writer: self.sole_writer,
            flush_limits: FlushLimits { segments, pressure, ..FlushLimits::default() },
            trusts_store_clock: self.mix.trust_store_clock,
            inline_sections: cast.inline_sections,
            merges: MergePolicy {
                settle_after: Duration::from_secs(chance.pick(&[0, 60, 1800])),
                recent_sections: chance.pick(&[2, 3, 8]),
                max_inputs: chance.pick(&[2, 4, 64]),
                ..merge_everything()
            },
            collects: collects(cast, self.time_travel),
            weakness: cast.weakness,
            script: None,
            entropy: None,
        };
        let instance = Instance::start(&self.world, machine, start);
        *current = Some((generation, Arc::clone(&instance)));
        instance
    }
}
