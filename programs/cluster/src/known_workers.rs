//! The last list of workers, and what is known of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use neap_catalog::{Node, NodeState};
use neap_distributed::WorkerAddress;
use ulid::Ulid;
use url::Url;

/// A worker with a record in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordedWorker {
    pub(crate) url: Url,
    /// The process. Another process with the same URL may have another version.
    instance: Ulid,
    name: String,
}

/// The last answers of a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct WorkerHealth {
    /// The version of its process; `None`: not asked yet.
    pub(crate) version: Option<String>,
    /// The end of the pause after a failure, on the monotonic clock.
    paused_until: Option<Duration>,
}

/// The last list of workers, and what is known of them.
#[derive(Debug, Default)]
pub(crate) struct KnownWorkers {
    pub(crate) workers: Vec<RecordedWorker>,
    health: BTreeMap<Url, (Ulid, WorkerHealth)>,
}

impl WorkerHealth {
    pub(crate) fn is_paused(&self, now: Duration) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }
}

impl KnownWorkers {
    /// Replaces the list, and forgets the processes that are not in it.
    pub(crate) fn set(&mut self, workers: Vec<RecordedWorker>) {
        let listed: BTreeSet<_> = workers.iter().map(|it| (&it.url, it.instance)).collect();
        self.health.retain(|url, (instance, _)| listed.contains(&(url, *instance)));
        self.workers = workers;
    }

    pub(crate) fn health(&self, worker: &RecordedWorker) -> WorkerHealth {
        let health = self
            .health
            .get(&worker.url)
            .filter(|(instance, _)| *instance == worker.instance);
        health.map(|(_, health)| health.clone()).unwrap_or_default()
    }

    pub(crate) fn set_version(&mut self, worker: &RecordedWorker, version: String) {
        let health = WorkerHealth { version: Some(version), paused_until: None };
        self.health.insert(worker.url.clone(), (worker.instance, health));
    }

    /// Records a failure. The version is asked again after the pause, which shows whether the worker answers.
    pub(crate) fn pause(&mut self, url: &Url, until: Duration) {
        let listed = self.workers.iter().find(|worker| worker.url == *url);
        let Some(instance) = listed.map(|worker| worker.instance) else {
            return;
        };
        let health = WorkerHealth { version: None, paused_until: Some(until) };
        self.health.insert(url.clone(), (instance, health));
    }

    /// Returns the workers to ask for their versions: those that were never asked, and those that failed and whose pause
    /// is over. The latter are paused until `until`, so that they are asked once.
    pub(crate) fn unknown(
        &mut self,
        now: Duration,
        until: Duration,
    ) -> (Vec<RecordedWorker>, Vec<RecordedWorker>) {
        let unknown = self.workers.iter().filter(|worker| {
            let health = self.health(worker);
            health.version.is_none() && !health.is_paused(now)
        });
        let is_new = |worker: &RecordedWorker| self.health(worker).paused_until.is_none();
        let (new, failed): (Vec<_>, Vec<_>) = unknown.cloned().partition(is_new);
        for worker in &failed {
            self.pause(&worker.url, until);
        }
        (new, failed)
    }

    /// Returns the workers of a version that have not failed.
    pub(crate) fn usable(&self, version: &str, now: Duration) -> Vec<WorkerAddress> {
        let usable = self.workers.iter().filter(|worker| {
            let health = self.health(worker);
            health.version.as_deref() == Some(version) && !health.is_paused(now)
        });
        let address = |worker: &RecordedWorker| WorkerAddress {
            name: worker.name.clone(),
            url: worker.url.clone(),
        };
        usable.map(address).collect()
    }
}

/// Returns the running workers among processes, in the order of their URLs. If several have the same URL, the one with
/// the newest record is there. If several have the same name, their URLs distinguish them.
pub(crate) fn recorded_workers(nodes: Vec<Node>) -> Vec<RecordedWorker> {
    let mut newest = BTreeMap::new();
    for node in nodes {
        let is_running = node.record.state == NodeState::Running;
        let url = node.record.worker.as_deref().filter(|_| is_running);
        let Some(Ok(url)) = url.map(str::parse::<Url>) else {
            continue;
        };
        let worker = RecordedWorker {
            url: url.clone(),
            instance: node.record.instance_id,
            name: node.record.name(),
        };
        let entry = newest.entry(url);
        let (updated, kept) = entry.or_insert_with(|| (node.updated, worker.clone()));
        if node.updated > *updated {
            (*updated, *kept) = (node.updated, worker);
        }
    }
    let mut workers: Vec<_> = newest.into_values().map(|(_, worker)| worker).collect();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for worker in &workers {
        *names.entry(worker.name.clone()).or_default() += 1;
    }
    for worker in &mut workers {
        if names.get(&worker.name).is_some_and(|count| *count > 1) {
            worker.name = format!("{} {}", worker.name, worker.url);
        }
    }
    workers
}

#[cfg(test)]
mod tests {
    use neap_bucket::StoreTime;
    use neap_catalog::NodeRecord;

    use super::*;

    fn node(instance: u128, name: &str, url: Option<&str>, updated: i64) -> Node {
        Node {
            record: NodeRecord {
                instance_id: Ulid(instance),
                node_id: Some(name.to_owned()),
                mode: vec!["query".to_owned()],
                core_count: 1,
                state: NodeState::Running,
                version: "1".to_owned(),
                address: None,
                worker: url.map(str::to_owned),
                stop: None,
            },
            updated: StoreTime::from_micros(updated),
        }
    }

    fn names(workers: &[RecordedWorker]) -> Vec<&str> {
        workers.iter().map(|worker| worker.name.as_str()).collect()
    }

    #[test]
    fn the_newest_running_process_has_a_url_and_names_are_unique() {
        let mut stopped = node(4, "d", Some("http://d:1"), 9);
        stopped.record.state = NodeState::Stopped;
        let workers = recorded_workers(vec![
            node(1, "old", Some("http://a:1"), 1),
            node(2, "new", Some("http://a:1"), 2),
            node(3, "client", None, 3),
            stopped,
            node(5, "bad", Some("no url"), 3),
            node(6, "twin", Some("http://e:1"), 3),
            node(7, "twin", Some("http://f:1"), 3),
        ]);
        assert_eq!(names(&workers), ["new", "twin http://e:1/", "twin http://f:1/"]);
    }

    #[test]
    fn a_worker_is_asked_once_and_again_after_a_failure_or_a_restart() {
        let list = |instance| recorded_workers(vec![node(instance, "a", Some("http://a:1"), 1)]);
        let mut known = KnownWorkers::default();
        known.set(list(1));
        let second = Duration::from_secs;
        let asked = |known: &mut KnownWorkers, at| {
            let (new, failed) = known.unknown(second(at), second(at + 30));
            (new.len(), failed.len())
        };
        assert_eq!(asked(&mut known, 0), (1, 0));
        assert_eq!(known.usable("v1", second(0)), []);
        let worker = known.workers[0].clone();
        known.set_version(&worker, "v1".to_owned());
        known.set(list(1));
        assert_eq!(asked(&mut known, 0), (0, 0));
        let usable = known.usable("v1", second(0));
        assert_eq!(usable[0].name, "a");
        assert_eq!(known.usable("v2", second(0)), []);
        known.pause(&worker.url, second(30));
        assert_eq!(known.usable("v1", second(29)), []);
        assert_eq!(asked(&mut known, 29), (0, 0));
        assert_eq!(asked(&mut known, 30), (0, 1));
        assert_eq!(asked(&mut known, 59), (0, 0), "it is being asked");
        known.set_version(&worker, "v1".to_owned());
        assert_eq!(known.usable("v1", second(59)), usable);
        known.set(list(2));
        assert_eq!(asked(&mut known, 59), (1, 0));
        assert_eq!(known.usable("v1", second(59)), []);
    }
}
