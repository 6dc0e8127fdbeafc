//! Assigns the regions of a fragment to workers: each region to one worker, the same objects to the same worker in each
//! query, and about the same number of bytes to each.
//!
//! Rendezvous hashing ranks the workers for an object. A region goes to the first worker in the ranking that has room,
//! so a worker that joins or leaves moves few objects, and none gets much more than its share. Large regions are divided
//! by series first.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
};

use crate::{
    fragment::{ScanFragment, ScanRegion, SeriesRange, interval},
    regions::TimeInterval,
};

/// Parts into which the share of a worker is divided at most: a smaller part balances better and is read with more
/// requests.
const PARTS_PER_WORKER: u64 = 8;

/// The room of a worker, in percent of the mean.
const ROOM_PERCENT: u64 = 110;

/// The values of a tag at which a region may be divided: sorted and distinct.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeriesCuts {
    pub(crate) tag: String,
    /// The values, each the first of a part.
    pub(crate) values: Vec<String>,
}

/// A region with its size.
#[derive(Clone, Debug)]
pub(crate) struct WeightedRegion {
    pub(crate) region: ScanRegion,
    /// The bytes that a scan of the region reads.
    pub(crate) bytes: u64,
    /// Where the region may be divided, if that is known.
    pub(crate) cuts: Option<SeriesCuts>,
}

/// Returns the bytes of a region: the share of its sections and of the tail, by time.
pub(crate) fn region_bytes(fragment: &ScanFragment, region: &ScanRegion, tail_bytes: u64) -> u64 {
    let sections = region.sections.iter().filter_map(|at| fragment.sections.get(*at));
    let of_sections = sections.map(|section| share(section.length, interval(section), region.time));
    let of_tail = fragment
        .tail
        .time
        .filter(|_| region.has_tail)
        .map_or(0, |whole| share(tail_bytes, whole, region.time));
    of_sections.sum::<u64>() + of_tail
}

/// Returns the bytes of the part of `whole` within `range`, if bytes are spread evenly over time.
fn share(bytes: u64, whole: TimeInterval, range: TimeInterval) -> u64 {
    let length = |range: TimeInterval| u128::from(range.max.abs_diff(range.min)) + 1;
    let Some(part) = whole.intersection(range) else {
        return 0;
    };
    let bytes = u128::from(bytes) * length(part) / length(whole);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Assigns regions to workers. The result has one list for each worker, in their order. Regions are
/// divided into parts of at least `min_part_bytes`.
pub(crate) fn assign(
    fragment: &ScanFragment,
    regions: &[WeightedRegion],
    workers: &[&str],
    min_part_bytes: u64,
) -> Vec<Vec<WeightedRegion>> {
    let mut lists: Vec<Vec<WeightedRegion>> = vec![Vec::new(); workers.len()];
    if workers.is_empty() {
        return lists;
    }
    let total: u64 = regions.iter().map(|region| region.bytes).sum();
    let mean = total / workers.len() as u64;
    let part = (mean / PARTS_PER_WORKER).max(min_part_bytes.max(1));
    let mut parts: Vec<WeightedRegion> =
        regions.iter().flat_map(|region| divide(region, part)).collect();
    // The largest first, so that the small ones fill the gaps. The sort is stable: equal parts keep their order.
    parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
    let room = (mean.saturating_mul(ROOM_PERCENT) / 100).max(1);
    let mut loads = vec![0_u64; workers.len()];
    for part in parts {
        let ranking = ranking(&key(fragment, &part.region), workers);
        let fits = |worker: &&usize| {
            let load = loads.get(**worker).copied().unwrap_or(u64::MAX);
            load.saturating_add(part.bytes) <= room
        };
        let least = || (0..workers.len()).min_by_key(|worker| loads.get(*worker).copied());
        let chosen = ranking.iter().find(fits).copied().or_else(least);
        let Some(chosen) = chosen else { continue };
        if let (Some(load), Some(list)) = (loads.get_mut(chosen), lists.get_mut(chosen)) {
            *load = load.saturating_add(part.bytes);
            list.push(part);
        }
    }
    lists
}

/// Divides a region by series into parts of about this many bytes.
fn divide(weighted: &WeightedRegion, part_bytes: u64) -> Vec<WeightedRegion> {
    let cuts = weighted.cuts.as_ref().filter(|cuts| !cuts.values.is_empty());
    let Some(cuts) = cuts.filter(|_| weighted.bytes > part_bytes) else {
        return vec![weighted.clone()];
    };
    let wanted = usize::try_from(weighted.bytes.div_ceil(part_bytes)).unwrap_or(usize::MAX);
    let count = wanted.min(cuts.values.len() + 1);
    // The first values of the parts after the first, evenly spread over the cuts.
    let mut firsts: Vec<&String> = (1..count)
        .filter_map(|part| cuts.values.get(part * (cuts.values.len() + 1) / count - 1))
        .collect();
    firsts.dedup();
    let count = firsts.len() as u64 + 1;
    let bounds = |at: usize| firsts.get(at).map(|value| (*value).clone());
    (0..=firsts.len())
        .map(|at| WeightedRegion {
            region: ScanRegion {
                series: Some(SeriesRange {
                    tag: cuts.tag.clone(),
                    from: at.checked_sub(1).and_then(bounds),
                    below: bounds(at),
                }),
                ..weighted.region.clone()
            },
            bytes: weighted.bytes / count,
            cuts: None,
        })
        .collect()
}

/// The identity of the data of a region, which decides its ranking: the first object and the series.
fn key(fragment: &ScanFragment, region: &ScanRegion) -> u64 {
    let mut hasher = DefaultHasher::new();
    let first = region.sections.first();
    match first.and_then(|at| fragment.sections.get(*at)) {
        Some(section) => (section.object.0, section.offset).hash(&mut hasher),
        None => (fragment.table.id(), "tail").hash(&mut hasher),
    }
    if let Some(series) = &region.series {
        series.from.hash(&mut hasher);
    }
    hasher.finish()
}

/// Returns the workers in the order in which they should read the data, the best one first.
pub(crate) fn ranking(key: &u64, workers: &[&str]) -> Vec<usize> {
    let score = |worker: &usize| {
        let mut hasher = DefaultHasher::new();
        (key, workers.get(*worker)).hash(&mut hasher);
        hasher.finish()
    };
    let mut order: Vec<usize> = (0..workers.len()).collect();
    order.sort_by_cached_key(|worker| std::cmp::Reverse(score(worker)));
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    const MIN_PART_BYTES: u64 = 1 << 20;

    use super::*;
    use crate::fragment::divide as regions_of;

    const ALL: TimeInterval = TimeInterval::ALL;

    /// A fragment of sections with these times and lengths.
    fn fragment(sections: &[(i64, i64, u64)]) -> ScanFragment {
        let section = |(number, (min, max, length)): (usize, &(i64, i64, u64))| {
            json!({
                "object": ulid::Ulid::from_parts(7, number as u128).to_string(), "offset": 0, "length": length,
                "footer_length": 100, "table": 1, "first_day": 0, "last_day": 0, "above": number, "upto": number + 1,
                "rows": 10, "min_time": min, "max_time": max, "crc32c": 1, "footer_crc32c": 2, "added": 1,
            })
        };
        let sections: Vec<_> = sections.iter().enumerate().map(section).collect();
        let time = json!({"id": 0, "name": "time", "type": "time"});
        let fragment = json!({
            "database": 1, "catalog_version": 1, "manifest_version": 1,
            "table": {"id": 1, "name": "cpu", "columns": [time], "next_column": 1},
            "first_seen": i64::MIN, "deletes": [], "tail_deletes": [],
            "tail": {"mark": 0, "as_of": null, "names": [], "time": null},
            "sections": sections, "regions": [], "projection": [0], "limit": null, "partitions": 2,
        });
        let mut fragment: ScanFragment = serde_json::from_value(fragment).unwrap();
        fragment.regions = regions_of(&fragment.sections, None, ALL);
        fragment
    }

    fn weighted(fragment: &ScanFragment, cuts: &[String]) -> Vec<WeightedRegion> {
        let regions = fragment.regions.iter();
        let weigh = |region: &ScanRegion| WeightedRegion {
            bytes: region_bytes(fragment, region, 0),
            region: region.clone(),
            cuts: Some(SeriesCuts { tag: "host".to_owned(), values: cuts.to_vec() }),
        };
        regions.map(weigh).collect()
    }

    fn load(list: &[WeightedRegion]) -> u64 {
        list.iter().map(|part| part.bytes).sum()
    }

    /// Whether a part reads the series of a host at a time.
    fn reads(part: &WeightedRegion, time: i64, host: &str) -> bool {
        let range = &part.region.time;
        let series = part.region.series.as_ref();
        let has_host = series.is_none_or(|series| {
            series.from.as_deref().is_none_or(|from| host >= from)
                && series.below.as_deref().is_none_or(|below| host < below)
        });
        (range.min..=range.max).contains(&time) && has_host
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn each_point_is_read_by_exactly_one_worker(
            sections in proptest::collection::vec((0..30_i64, 0..10_i64, 1..64_u64), 1..12),
            cuts in proptest::collection::btree_set("[a-f]{1,2}", 0..6),
            count in 1..6_usize,
            min_part_bytes in prop_oneof![Just(0), Just(MIN_PART_BYTES)],
        ) {
            let sections: Vec<_> = sections.into_iter().map(|(min, length, mib)| (min, min + length, mib << 20)).collect();
            let fragment = fragment(&sections);
            let cuts: Vec<String> = cuts.into_iter().collect();
            let workers: Vec<String> =
                (0..count).map(|worker| format!("worker {worker}")).collect();
            let names: Vec<&str> = workers.iter().map(String::as_str).collect();
            let lists = assign(&fragment, &weighted(&fragment, &cuts), &names, min_part_bytes);
            prop_assert_eq!(lists.len(), count);
            for time in 0..40 {
                let covering: Vec<usize> = (0..sections.len())
                    .filter(|at| (sections[*at].0..=sections[*at].1).contains(&time))
                    .collect();
                for host in ["", "a", "ab", "c", "f", "z"] {
                    let readers: Vec<&WeightedRegion> =
                        lists.iter().flatten().filter(|part| reads(part, time, host)).collect();
                    prop_assert_eq!(readers.len(), usize::from(!covering.is_empty()), "{} {}", time, host);
                    for reader in readers {
                        let sections = &reader.region.sections;
                        prop_assert!(covering.iter().all(|section| sections.contains(section)));
                    }
                }
            }
        }
    }

    #[test]
    fn a_region_keeps_its_sections_when_a_fragment_is_divided() {
        let whole = fragment(&[(0, 9, 10), (20, 29, 10), (25, 34, 10)]);
        let last = whole.regions.iter().filter(|region| region.time.min >= 25);
        let part = whole.with_regions(last.cloned().collect());
        assert_eq!(part.sections, whole.sections[1..]);
        let overlap = part.regions.iter().find(|region| region.time.min == 25);
        assert_eq!(overlap.unwrap().sections, [0, 1]);
    }

    #[test]
    fn workers_read_about_the_same_number_of_bytes() {
        let sections: Vec<_> = (0..300)
            .map(|day| (day * 10, day * 10 + 9, (1 + day as u64 % 7) << 20))
            .collect();
        let fragment = fragment(&sections);
        let workers = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let lists = assign(&fragment, &weighted(&fragment, &[]), &workers, MIN_PART_BYTES);
        let total: u64 = lists.iter().map(|list| load(list)).sum();
        let most = lists.iter().map(|list| load(list)).max().unwrap();
        assert!(most * 8 <= total * 12 / 10, "{most} of {total}");
    }

    #[test]
    fn one_large_section_is_divided_by_series() {
        let fragment = fragment(&[(0, 9, 1 << 30)]);
        let cuts: Vec<String> = (1..100).map(|host| format!("host_{host:02}")).collect();
        let lists =
            assign(&fragment, &weighted(&fragment, &cuts), &["a", "b", "c", "d"], MIN_PART_BYTES);
        let total: u64 = lists.iter().map(|list| load(list)).sum();
        let most = lists.iter().map(|list| load(list)).max().unwrap();
        assert!(most * 4 <= total * 13 / 10, "{most} of {total}");
    }

    #[test]
    fn a_worker_that_leaves_moves_few_regions_of_the_others() {
        let sections: Vec<_> = (0..400).map(|day| (day * 10, day * 10 + 9, 4 << 20)).collect();
        let fragment = fragment(&sections);
        let regions = weighted(&fragment, &[]);
        let before = assign(&fragment, &regions, &["a", "b", "c", "d", "e"], MIN_PART_BYTES);
        let after = assign(&fragment, &regions, &["a", "b", "c", "d"], MIN_PART_BYTES);
        let kept = before.iter().zip(&after).map(|(before, after)| {
            let is_kept =
                |part: &&WeightedRegion| after.iter().any(|other| other.region == part.region);
            before.iter().filter(is_kept).count()
        });
        let (kept, had): (usize, usize) = (kept.sum(), before[..4].iter().map(Vec::len).sum());
        assert!(kept * 10 >= had * 7, "{kept} of {had}");
    }
}
