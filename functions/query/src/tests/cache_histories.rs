//! Random histories of writes, deletes, flushes, merges, filled caches, evictions, new columns, restarts and passing
//! time. At every step, the contents of caches must give the answer of their definition, both planned over the table
//! and written as SQL.

use std::{sync::Arc, time::Duration};

use neap_bucket::{MemoryStore, SteppedClock};
use neap_catalog::{NewDistinctCache, NewLastCache};
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::{DATABASE, QueryTestInstance};
use crate::QuerySettings;

#[derive(Clone, Debug)]
struct CachedRowLine {
    k: Option<u8>,
    j: Option<u8>,
    time: i64,
    a: Option<i8>,
    b: Option<i8>,
    /// A tag or a field that only some lines have.
    extra: Option<bool>,
}

#[derive(Clone, Debug)]
enum CacheQueryStep {
    Write(Vec<CachedRowLine>),
    DeleteTimes(i64, i64),
    DeleteKey(Option<u8>),
    DeletePart(u8, i64),
    Flush,
    Merge,
    Fill,
    /// Sets the retention to this number of spans, or to forever.
    Keep(Option<i64>),
    /// Advances the clock by hours.
    Pass(u64),
    /// Restarts the reader. Whether the memory holds only a few caches, so that they evict each other.
    Restart(bool),
    Feed,
}

/// The number of histories. Each takes a second or more.
const CASES: u32 = 10;

/// Memory for a few caches, in bytes.
const FEW_CONTENTS: u64 = 12 << 10;

/// The unit of time in histories: four hours, in nanoseconds.
const SPAN: i64 = 4 * 3_600_000_000_000;

/// The time of points with number 0. The clock starts at 1700000000 s.
const FIRST: i64 = 1_700_000_000_000_000_000 - 24 * SPAN + SPAN / 3;

fn line() -> impl Strategy<Value = CachedRowLine> {
    let tag = || proptest::option::weighted(0.8, 0..3u8);
    let field = || proptest::option::weighted(0.6, any::<i8>());
    let extra = proptest::option::weighted(0.2, any::<bool>());
    let line = (tag(), tag(), 0..24i64, field(), field(), extra);
    line.prop_map(|(k, j, time, a, b, extra)| CachedRowLine {
        k,
        j,
        time,
        a: a.or(b.is_none().then_some(1)),
        b,
        extra,
    })
}

fn steps() -> impl Strategy<Value = Vec<CacheQueryStep>> {
    let step = prop_oneof![
        8 => proptest::collection::vec(line(), 1..8).prop_map(CacheQueryStep::Write),
        1 => (0..24i64, 0..4i64).prop_map(|(first, more)| CacheQueryStep::DeleteTimes(first, first + more)),
        1 => proptest::option::of(0..3u8).prop_map(CacheQueryStep::DeleteKey),
        1 => (0..3u8, 0..24i64).prop_map(|(k, first)| CacheQueryStep::DeletePart(k, first)),
        4 => Just(CacheQueryStep::Flush),
        1 => Just(CacheQueryStep::Merge),
        3 => Just(CacheQueryStep::Fill),
        1 => proptest::option::of(1..24i64).prop_map(CacheQueryStep::Keep),
        2 => (1..20u64).prop_map(CacheQueryStep::Pass),
        2 => any::<bool>().prop_map(CacheQueryStep::Restart),
        1 => Just(CacheQueryStep::Feed),
    ];
    proptest::collection::vec(step, 1..20)
}

impl CachedRowLine {
    fn text(&self) -> String {
        let tag = |name: &str, value: Option<u8>| {
            value.map_or(String::new(), |value| format!(",{name}={name}{value}"))
        };
        let (mut tags, mut fields) = (tag("k", self.k) + &tag("j", self.j), Vec::new());
        for (name, value) in [("a", self.a), ("b", self.b)] {
            fields.extend(value.map(|value| format!("{name}={value}i")));
        }
        match self.extra {
            Some(true) => tags += ",new=x",
            Some(false) => fields.push("more=1i".to_owned()),
            None => {}
        }
        let time = FIRST + self.time * SPAN;
        format!("t{tags} {} {time}", fields.join(","))
    }
}

struct LastCacheSpec {
    name: &'static str,
    keys: &'static [&'static str],
    values: Option<&'static [&'static str]>,
    count: u64,
    ttl_s: u64,
}

const LAST: [LastCacheSpec; 5] = [
    LastCacheSpec {
        name: "by_k",
        keys: &["k"],
        values: None,
        count: 1,
        ttl_s: 200_000,
    },
    LastCacheSpec {
        name: "two",
        keys: &["j", "k"],
        values: Some(&["b"]),
        count: 2,
        ttl_s: 100_000,
    },
    LastCacheSpec {
        name: "series",
        keys: &["k", "j"],
        values: None,
        count: 1,
        ttl_s: 150_000,
    },
    LastCacheSpec {
        name: "all",
        keys: &[],
        values: Some(&["a", "k"]),
        count: 3,
        ttl_s: 300_000,
    },
    LastCacheSpec {
        name: "by_a",
        keys: &["a"],
        values: Some(&["b"]),
        count: 1,
        ttl_s: 200_000,
    },
];

struct DistinctCacheSpec {
    name: &'static str,
    columns: &'static [&'static str],
    max_cardinality: u64,
    max_age_s: u64,
}

const DISTINCT: [DistinctCacheSpec; 2] = [
    DistinctCacheSpec {
        name: "ks",
        columns: &["k"],
        max_cardinality: 2,
        max_age_s: 150_000,
    },
    DistinctCacheSpec {
        name: "pairs",
        columns: &["j", "k"],
        max_cardinality: 100,
        max_age_s: 200_000,
    },
];

struct CacheQueryHistory {
    store: Arc<MemoryStore>,
    clock: Arc<SteppedClock>,
    writer: QueryTestInstance,
    reader: QueryTestInstance,
    hits: u64,
}

impl CacheQueryHistory {
    async fn new() -> Self {
        let (store, clock) = QueryTestInstance::memory_store();
        let writer = QueryTestInstance::new(Arc::clone(&store), Arc::clone(&clock)).await;
        writer.write(&format!("t,k=k0,j=j0 a=1i,b=1i {FIRST}")).await;
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        for last in LAST {
            let new = NewLastCache {
                table: "t".to_owned(),
                name: Some(last.name.to_owned()),
                key_columns: Some(owned(last.keys)),
                value_columns: last.values.map(owned),
                count: last.count,
                ttl_s: last.ttl_s,
            };
            let created = writer.catalog.create_last_cache(DATABASE, &new);
            created.await.unwrap();
        }
        for distinct in DISTINCT {
            let new = NewDistinctCache {
                table: "t".to_owned(),
                name: Some(distinct.name.to_owned()),
                columns: owned(distinct.columns),
                max_cardinality: distinct.max_cardinality,
                max_age_s: distinct.max_age_s,
            };
            let created = writer.catalog.create_distinct_cache(DATABASE, &new);
            created.await.unwrap();
        }
        let reader = QueryTestInstance::new(Arc::clone(&store), Arc::clone(&clock)).await;
        Self { store, clock, writer, reader, hits: 0 }
    }

    async fn delete(&self, condition: &str) {
        self.writer.pass(Duration::from_millis(1));
        let statement = format!("DELETE FROM t WHERE {condition}");
        self.writer.sql(&statement).await;
    }

    async fn take(&mut self, step: &CacheQueryStep) {
        let at = |step: i64| format!("to_timestamp({})", FIRST + step * SPAN);
        match step {
            CacheQueryStep::Write(lines) => {
                let lines: Vec<String> = lines.iter().map(CachedRowLine::text).collect();
                self.writer.write(&lines.join("\n")).await;
            }
            CacheQueryStep::DeleteTimes(first, last) => {
                let times = format!("time BETWEEN {} AND {}", at(*first), at(*last));
                self.delete(&times).await;
            }
            CacheQueryStep::DeleteKey(None) => self.delete("k IS NULL").await,
            CacheQueryStep::DeleteKey(Some(k)) => self.delete(&format!("k = 'k{k}'")).await,
            CacheQueryStep::DeletePart(k, first) => {
                let part = format!("k = 'k{k}' AND time >= {}", at(*first));
                self.delete(&part).await;
            }
            CacheQueryStep::Flush => {
                self.writer.flush().await;
            }
            CacheQueryStep::Merge => {
                self.writer.merge().await;
            }
            CacheQueryStep::Fill => self.writer.fill_caches().await,
            CacheQueryStep::Keep(kept) => {
                let nanos = kept.map(|kept| kept * SPAN + SPAN / 2);
                let kept = nanos.map(|nanos| Duration::from_nanos(nanos.unsigned_abs()));
                let kept = self.writer.catalog.set_retention(DATABASE, kept);
                kept.await.unwrap();
            }
            CacheQueryStep::Pass(hours) => self.writer.pass(Duration::from_secs(hours * 3600)),
            CacheQueryStep::Restart(crowded) => {
                self.hits += self.reader.engine.cache_stats().hits;
                let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
                let mut settings = QuerySettings::default();
                if *crowded {
                    settings.cache_bytes = FEW_CONTENTS;
                }
                self.reader = QueryTestInstance::with(store, clock, settings).await;
            }
            CacheQueryStep::Feed => {
                self.writer.engine.feed(DATABASE).await.unwrap();
            }
        }
    }

    /// Compares the instances' answers to statements that caches may rewrite with answers from the table.
    async fn check_tables(&self, chosen: impl Fn(usize) -> bool) {
        let now = neap_bucket::Clock::wall_micros(self.clock.as_ref()) * 1000;
        let recent = format!("time >= to_timestamp({})", now - 90_000_000_000_000);
        let statements = [
            format!("SELECT DISTINCT k FROM t WHERE {recent} ORDER BY k"),
            "SELECT DISTINCT j, k FROM t ORDER BY j, k".to_owned(),
            format!(
                "SELECT k, max(time) AS m FROM t WHERE {recent} AND k <> 'k2' GROUP BY k ORDER BY k"
            ),
            format!(
                "SELECT DISTINCT ON (k, j) k, j, time FROM t WHERE {recent} ORDER BY k, j, time DESC"
            ),
            format!(
                "SELECT j, k, selector_last(a, time)['value'] AS v FROM t \
                 WHERE {recent} AND k = 'k1' AND j <> 'j9' GROUP BY k, j ORDER BY k, j"
            ),
            format!(
                "SELECT k, last_value(time ORDER BY time) AS m FROM t WHERE {recent} GROUP BY k ORDER BY k"
            ),
            "SELECT time FROM t WHERE k = 'k1' ORDER BY time DESC LIMIT 1".to_owned(),
            "SELECT k, time FROM t WHERE k = 'k1' AND j = 'j0' ORDER BY time DESC LIMIT 2"
                .to_owned(),
            "SELECT time FROM t ORDER BY time DESC LIMIT 3".to_owned(),
        ];
        for (_, sql) in statements.iter().enumerate().filter(|(at, _)| chosen(*at)) {
            let expected = self.writer.sql_without_caches(sql).await;
            assert_eq!(self.writer.sql(sql).await, expected, "writer: {sql}");
            assert_eq!(self.reader.sql(sql).await, expected, "reader: {sql}");
        }
    }

    /// Compares the instances' answers from caches with those of the definition.
    async fn check(&self, filter: &str, chosen: impl Fn(usize) -> bool) {
        let catalog = self.writer.catalog.database(DATABASE, Duration::ZERO).await.unwrap();
        let table = catalog.value.table("t").unwrap();
        let tags = table
            .tag_names()
            .iter()
            .map(|tag| format!("{tag} NULLS FIRST"))
            .collect::<Vec<_>>()
            .join(", ");
        let now = neap_bucket::Clock::wall_micros(self.clock.as_ref()) * 1000;
        let from = |age_s: u64| format!("to_timestamp({})", now - age_s as i64 * 1_000_000_000);
        let lasts = LAST.into_iter().enumerate().filter(|(at, _)| chosen(*at));
        for (_, last) in lasts {
            let cache = table.last_cache(last.name).unwrap();
            let keys = cache.key_names(table);
            let time = vec!["time".to_owned()];
            let columns = [keys.clone(), cache.value_names(table), time].concat().join(", ");
            let is_keyed: String =
                keys.iter().map(|key| format!("{key} IS NOT NULL AND ")).collect();
            let (by, order): (String, String) = if keys.is_empty() {
                (String::new(), String::new())
            } else {
                (format!("PARTITION BY {}", keys.join(", ")), format!("{}, ", keys.join(", ")))
            };
            let defined = format!(
                "SELECT {columns} FROM (SELECT *, row_number() OVER ({by} ORDER BY time DESC, {tags}) \
                 AS place FROM t WHERE {is_keyed} time >= {}) WHERE place <= {} AND ({}) \
                 ORDER BY {order} time DESC, {tags}",
                from(last.ttl_s),
                last.count,
                if keys.contains(&"k".to_owned()) {
                    filter
                } else {
                    "true"
                }
            );
            let filter = if keys.contains(&"k".to_owned()) {
                format!("WHERE {filter}")
            } else {
                String::new()
            };
            let call = format!("SELECT * FROM last_cache('t', '{}') {filter}", last.name);
            self.compare(&call, &defined).await;
        }
        let distincts = DISTINCT.into_iter().enumerate().filter(|(at, _)| chosen(*at));
        for (_, distinct) in distincts {
            let columns = distinct.columns.join(", ");
            let order = distinct
                .columns
                .iter()
                .map(|column| format!("{column} NULLS FIRST"))
                .collect::<Vec<_>>()
                .join(", ");
            let defined = format!(
                "SELECT {columns} FROM (SELECT {columns}, max(time) AS seen FROM t WHERE time >= {} \
                 GROUP BY {columns} ORDER BY seen DESC, {order} LIMIT {}) WHERE {filter} ORDER BY {order}",
                from(distinct.max_age_s),
                distinct.max_cardinality
            );
            let name = distinct.name;
            let call = format!("SELECT * FROM distinct_cache('t', '{name}') WHERE {filter}");
            self.compare(&call, &defined).await;
        }
    }

    async fn compare(&self, call: &str, defined: &str) {
        let expected = self.writer.sql(defined).await;
        assert_eq!(self.writer.sql_without_caches(call).await, expected, "{call}\n{defined}");
        for (who, instance) in [("writer", &self.writer), ("reader", &self.reader)] {
            assert_eq!(instance.sql(call).await, expected, "{who}: {call}\n{defined}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(CASES)))]
    #[test]
    fn contents_of_caches_match_their_definitions(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut history = CacheQueryHistory::new().await;
            let filters = ["true", "k = 'k1'", "k <> 'k0'", "k IN ('k0', 'k2')", "k > 'k0' OR k IS NULL"];
            for (at, step) in steps.iter().enumerate() {
                history.take(step).await;
                history.check(filters[at % filters.len()], |cache| cache % 3 == at % 3).await;
                history.check_tables(|statement| statement % 4 == at % 4).await;
            }
            history.check("true", |_| true).await;
            history.check_tables(|_| true).await;
            let hits = history.hits + history.reader.engine.cache_stats().hits;
            prop_assert!(hits + history.writer.engine.cache_stats().hits > 0);
            Ok(())
        })?;
    }
}
