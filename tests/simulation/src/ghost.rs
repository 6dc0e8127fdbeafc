//! The ghost: it sees every effect on the store and every answer to a client, and knows what must hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use arrow_array::RecordBatch;
use bytes::Bytes;
use neap_bucket::{Key, Object, RegisterValue, SegmentName, Stamp};
use neap_manifest::{Manifest, Section};
use neap_wal::Segment;
use serde::Deserialize;
use ulid::Ulid;

use crate::{
    rows::{Row, Rows, plain, read_section, requests, take_in},
    truth::cut,
};

/// What must always hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// I1: an answer is the fold of the segments above void.
    AnswerIsOfSegments,
    /// I2: what was acknowledged is in every later snapshot.
    AcknowledgedIsThere,
    /// I3: an acknowledged write does not lose to an earlier acknowledged one.
    LaterWins,
    /// I3: an acknowledged write does not lose to an earlier failed one.
    LaterWinsOverFailed,
    /// A segment is taken in once.
    TakenInOnce,
    /// The low-water mark never goes back.
    MarkRises,
    /// A manifest names only objects that are there.
    ObjectsExist,
    /// A manifest does not contradict itself: no two sections claim the same table, day and stamp.
    ManifestIsConsistent,
    /// The catalog of a query names every column of its data.
    CatalogKnowsData,
    /// What a register acknowledged stays.
    CommitStays,
    /// What a register acknowledged was applied once.
    CommitOnce,
    /// What a register refused was not applied.
    RefusalIsTrue,
    /// Nothing panics or fails for no reason.
    NoSurprise,
}

/// A broken invariant.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    pub(crate) text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.text)
    }
}

/// A write as its client saw it.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) request: u64,
    pub(crate) client: usize,
    pub(crate) begin: Duration,
    /// When the client had an answer or gave up; `None`: it still waits.
    pub(crate) until: Option<Duration>,
    /// The stamp that it passed back.
    pub(crate) token: Option<Stamp>,
    pub(crate) acknowledged: bool,
    /// The clocks of the writer's machine could not tell how long the request waited.
    pub(crate) deceived: bool,
}

#[derive(Debug)]
struct GhostSegment {
    rows: Vec<Row>,
    columns: BTreeSet<String>,
}

type Names = BTreeSet<SegmentName>;

/// What a version of the manifest stands for.
#[derive(Clone, Debug, Default)]
struct Commit {
    mark: Stamp,
    taken: Arc<Names>,
    sections: Vec<Arc<Section>>,
}

/// A section's rows, decoded once.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) batches: Vec<RecordBatch>,
    requests: BTreeSet<u64>,
}

/// The value of a register with its history, as it lies in the bucket.
#[derive(Deserialize)]
struct Body<T> {
    version: u64,
    value: T,
}

/// All that is known.
#[derive(Debug, Default)]
pub(crate) struct Ghost {
    segments: BTreeMap<SegmentName, GhostSegment>,
    of_request: BTreeMap<u64, SegmentName>,
    commits: BTreeMap<u64, Commit>,
    sections: BTreeMap<(Ulid, u64), Arc<Decoded>>,
    acknowledged: BTreeSet<u64>,
    pub(crate) writes: Vec<Write>,
    pub(crate) violations: Vec<Violation>,
}

/// What a query saw.
#[derive(Debug)]
pub(crate) struct Observed {
    /// The requests that were acknowledged before it began.
    pub(crate) acknowledged: BTreeSet<u64>,
    pub(crate) manifest_version: u64,
    pub(crate) mark: Stamp,
    pub(crate) tail: Vec<SegmentName>,
    pub(crate) answer: Rows,
}

impl Ghost {
    pub(crate) fn fail(&mut self, invariant: Invariant, text: impl fmt::Display) {
        let text = text.to_string();
        self.violations.push(Violation { invariant, text });
    }

    pub(crate) fn object_put(&mut self, key: &str, body: &Bytes, all: &BTreeMap<String, Object>) {
        match key.parse() {
            Ok(Key::Segment(database, name)) => {
                self.segment_put(&Segment::decode(database, name, body.clone()).unwrap());
            }
            Ok(Key::Manifest(_)) => self.manifest_put(key, body, all),
            _ => {}
        }
    }

    fn segment_put(&mut self, segment: &Segment) {
        let name = segment.name();
        if self.segments.contains_key(&name) {
            return;
        }
        let mut rows = Vec::new();
        let mut columns = BTreeSet::new();
        for table in segment.tables() {
            for batch in segment.rows(table.table).unwrap() {
                let schema = batch.schema();
                columns.extend(schema.fields().iter().map(|field| field.name().clone()));
                rows.extend(plain(&batch));
            }
        }
        let requests = requests(rows.iter().map(|(point, _)| point));
        for request in &requests {
            if let Some(other) = self.of_request.insert(*request, name) {
                let text = format!("request {request} is in {other:?} and in {name:?}");
                self.fail(Invariant::NoSurprise, text);
            }
        }
        self.segments.insert(name, GhostSegment { rows, columns });
    }

    fn manifest_put(&mut self, key: &str, body: &Bytes, all: &BTreeMap<String, Object>) {
        let (_, payload) = Manifest::FORMAT.decode(key, body).unwrap();
        let json = zstd::decode_all(payload.as_ref()).unwrap();
        let Body { version, value } = serde_json::from_slice::<Body<Manifest>>(&json).unwrap();
        let old = self
            .commits
            .get(&(version - 1))
            .cloned()
            .unwrap_or_default();
        if let Err(contradiction) = value.check() {
            self.fail(Invariant::ManifestIsConsistent, contradiction);
        }
        if value.low_water_mark < old.mark {
            let text = format!("from {} to {}", old.mark, value.low_water_mark);
            self.fail(Invariant::MarkRises, text);
        }
        let mut requests = BTreeSet::new();
        for section in &value.sections {
            let Some(decoded) = self.decode(section, all) else {
                self.fail(
                    Invariant::ObjectsExist,
                    format!("version {version}: {section:?}"),
                );
                continue;
            };
            // A request's witness has one time, so it is in one section.
            let twice: Vec<_> = decoded.requests.intersection(&requests).collect();
            if !twice.is_empty() {
                let text = format!("requests {twice:?} in version {version}");
                self.fail(Invariant::TakenInOnce, text);
            }
            requests.extend(&decoded.requests);
        }
        let names = requests
            .iter()
            .filter_map(|request| self.of_request.get(request));
        let taken: Names = names.copied().collect();
        if !taken.is_superset(&old.taken) {
            let text = format!(
                "{:?} left in version {version}",
                old.taken.difference(&taken)
            );
            self.fail(Invariant::AcknowledgedIsThere, text);
        }
        let commit = Commit {
            mark: value.low_water_mark,
            taken: Arc::new(taken),
            sections: value.sections.clone(),
        };
        let passed: Vec<_> = self
            .acknowledged
            .iter()
            .filter(|request| self.is_passed(**request, &commit))
            .collect();
        if !passed.is_empty() {
            let text = format!("the mark passed requests {passed:?} in version {version}");
            self.fail(Invariant::AcknowledgedIsThere, text);
        }
        self.commits.insert(version, commit);
    }

    /// The rows of a section, and which requests they are of.
    fn decode(
        &mut self,
        section: &Section,
        all: &BTreeMap<String, Object>,
    ) -> Option<Arc<Decoded>> {
        let place = (section.object, section.offset);
        if let Some(decoded) = self.sections.get(&place) {
            return Some(Arc::clone(decoded));
        }
        let suffix = format!("/{}.parquet", section.object);
        let object = all
            .range("data/".to_owned()..)
            .find(|(key, _)| key.ends_with(&suffix))?;
        let file = cut(&object.1.bytes, &section.range());
        let batches = read_section(file);
        let points: Vec<Row> = batches.iter().flat_map(plain).collect();
        let decoded = Arc::new(Decoded {
            requests: requests(points.iter().map(|(point, _)| point)),
            batches,
        });
        self.sections.insert(place, Arc::clone(&decoded));
        Some(decoded)
    }

    /// The rows of a section that a committed manifest names.
    pub(crate) fn section(&self, section: &Section) -> Option<Arc<Decoded>> {
        self.sections
            .get(&(section.object, section.offset))
            .cloned()
    }

    pub(crate) fn object_deleted(&mut self, key: &str) {
        let current = self.current();
        let named = |section: &Arc<Section>| key.ends_with(&format!("/{}.parquet", section.object));
        if current.sections.iter().any(named) {
            self.fail(Invariant::ObjectsExist, format!("{key} was deleted"));
        }
    }

    fn current(&self) -> Commit {
        let newest = self.commits.last_key_value();
        newest.map(|(_, commit)| commit.clone()).unwrap_or_default()
    }

    /// Whether the mark went past the segment of a request without taking it in.
    fn is_passed(&self, request: u64, commit: &Commit) -> bool {
        let name = self.of_request.get(&request);
        name.is_some_and(|name| name.stamp <= commit.mark && !commit.taken.contains(name))
    }

    /// A write was acknowledged.
    pub(crate) fn acknowledge(&mut self, request: u64) {
        self.acknowledged.insert(request);
        if !self.of_request.contains_key(&request) {
            let text = format!("request {request} was acknowledged and is nowhere");
            self.fail(Invariant::AcknowledgedIsThere, text);
        } else if self.is_passed(request, &self.current()) {
            let text = format!("request {request} was acknowledged and is void");
            self.fail(Invariant::AcknowledgedIsThere, text);
        }
    }

    pub(crate) fn acknowledged(&self) -> BTreeSet<u64> {
        self.acknowledged.clone()
    }

    /// The newest request that was acknowledged, and the stamp of its segment.
    pub(crate) fn last_acknowledged(&self) -> Option<(u64, Stamp)> {
        let request = self.acknowledged.last()?;
        Some((*request, self.of_request.get(request)?.stamp))
    }

    pub(crate) fn flushes(&self) -> usize {
        self.commits.len()
    }

    /// The columns that the data of a snapshot have.
    pub(crate) fn columns(
        &self,
        tail: &[SegmentName],
        sections: &[Arc<Decoded>],
    ) -> BTreeSet<String> {
        let segments = tail.iter().filter_map(|name| self.segments.get(name));
        let mut columns: BTreeSet<_> = segments
            .flat_map(|segment| segment.columns.clone())
            .collect();
        for batch in sections.iter().flat_map(|section| &section.batches) {
            columns.extend(
                batch
                    .schema()
                    .fields()
                    .iter()
                    .map(|field| field.name().clone()),
            );
        }
        columns
    }

    /// I1 and I2 of an answer.
    pub(crate) fn check_answer(&mut self, seen: &Observed) {
        let commit = match seen.manifest_version {
            0 => Commit::default(),
            version => self.commits[&version].clone(),
        };
        if commit.mark != seen.mark {
            let text = format!("the mark is {}, not {}", commit.mark, seen.mark);
            self.fail(Invariant::AnswerIsOfSegments, text);
        }
        let used: Names = commit.taken.iter().chain(&seen.tail).copied().collect();
        let in_answer = requests(seen.answer.keys());
        let missing: Vec<_> = seen.acknowledged.difference(&in_answer).collect();
        if !missing.is_empty() {
            let text = format!("acknowledged requests {missing:?} are not in the answer");
            self.fail(Invariant::AcknowledgedIsThere, text);
        }
        let mut expected = Rows::new();
        for name in &used {
            take_in(&mut expected, &self.segments[name].rows);
        }
        if seen.answer != expected {
            let text = format!("the answer is {:?}, not {expected:?}", seen.answer);
            self.fail(Invariant::AnswerIsOfSegments, text);
        }
    }

    /// Whether the segment is in queries after the end of the schedule.
    fn is_live(&self, name: &SegmentName, commit: &Commit) -> bool {
        commit.taken.contains(name) || name.stamp > commit.mark
    }

    /// I3, at the end: the order of stamps is that of the writes as clients saw it.
    pub(crate) fn check_order(&mut self) {
        // Without the stamp passed back, hosts that differ by 10 s and the limit A on both sides may invert
        // writes that are up to 21 s apart.
        const BOUND: Duration = Duration::from_secs(25);
        let commit = self.current();
        let placed: Vec<(Write, SegmentName)> = self
            .writes
            .iter()
            .filter_map(|write| Some((write.clone(), *self.of_request.get(&write.request)?)))
            .collect();
        for (first, first_name) in &placed {
            for (second, second_name) in &placed {
                let Some(until) = first.until.filter(|until| *until <= second.begin) else {
                    continue;
                };
                let inverted = first_name > second_name && self.is_live(first_name, &commit);
                let excused = first.deceived && !first.acknowledged;
                if !second.acknowledged || !inverted || excused {
                    continue;
                }
                let told = first.client == second.client
                    && second.token.is_some_and(|token| token >= first_name.stamp);
                if told || second.begin - until > BOUND {
                    let invariant = if first.acknowledged {
                        Invariant::LaterWins
                    } else {
                        Invariant::LaterWinsOverFailed
                    };
                    let text =
                        format!("{second:?} {second_name:?} loses to {first:?} {first_name:?}");
                    self.fail(invariant, text);
                }
            }
        }
    }
}
