//! The function `info`: series with the labels of info metrics, such as `target_info`, of the same target.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, btree_map::Entry},
};

use ahash::HashMap;
use async_trait::async_trait;
use promql_parser::{
    label::{Matcher, Matchers},
    parser::VectorSelector,
};

use crate::{
    budget::Budget,
    error::PromqlError,
    expr_properties::matchers,
    labels::{Labels, NAME_LABEL},
    series::{BoxStream, Series, SeriesStream, StepValues},
    unique_series::collected,
    value::SampleValue,
};

/// The info metric, unless the call has a condition on its name.
const DEFAULT_METRIC: &str = "target_info";

/// Which info series add which labels.
#[derive(Debug)]
pub(crate) struct InfoRules {
    /// The conditions on the names of info metrics. Series of these metrics remain as they are.
    ignored: Vec<Matcher>,
    /// The conditions on the added labels. Without any, all labels are added.
    data: Vec<Matcher>,
}

impl InfoRules {
    /// Reads the conditions of a call.
    pub(crate) fn new(conditions: Option<&VectorSelector>) -> Result<Self, PromqlError> {
        let default = || VectorSelector::from(DEFAULT_METRIC);
        let all = conditions.map_or_else(|| matchers(&default()), matchers)?;
        let (ignored, data) = all.into_iter().partition(|matcher| matcher.name == NAME_LABEL);
        Ok(Self { ignored, data })
    }

    /// Returns the labels of a series with those of info series; `None` if there are none, but conditions require some.
    fn add(&self, labels: &Labels, infos: &[&Series]) -> Result<Option<Labels>, PromqlError> {
        let is_added = |name: &str| {
            let is_selected =
                self.data.is_empty() || self.data.iter().any(|matcher| matcher.name == name);
            is_selected && name != NAME_LABEL && labels.get(name).is_empty()
        };
        let mut added: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, value) in infos.iter().flat_map(|info| info.labels.iter()) {
            if is_added(name) && added.insert(name, value).is_some_and(|other| other != value) {
                return Err(PromqlError::Execution(format!("conflicting label: {name}")));
            }
        }
        if added.is_empty() && self.data.iter().any(|matcher| !matcher.is_match("")) {
            return Ok(None);
        }
        let with_added = |all: Labels, (name, value): (&str, &str)| all.set(name, value);
        Ok(Some(added.into_iter().fold(labels.clone(), with_added)))
    }
}

/// Returns the selector of the info series of a call. They are read at the times of the first selector of the enriched series.
pub(crate) fn info_selector(
    conditions: Option<&VectorSelector>,
    enriched: Option<&VectorSelector>,
) -> VectorSelector {
    let all = conditions.map_or_else(Matchers::empty, |selector| selector.matchers.clone());
    let has_name = all.matchers.iter().any(|matcher| matcher.name == NAME_LABEL);
    VectorSelector {
        name: (!has_name).then(|| DEFAULT_METRIC.to_owned()),
        matchers: all,
        offset: enriched.and_then(|selector| selector.offset.clone()),
        at: enriched.and_then(|selector| selector.at.clone()),
    }
}

/// The labels `instance` and `job`, which tell what a series describes.
type Target = (String, String);

fn target(labels: &Labels) -> Target {
    (labels.get("instance").to_owned(), labels.get("job").to_owned())
}

/// Series with the labels of info series.
pub(crate) struct EnrichedSeries<'a> {
    input: BoxStream<'a>,
    rules: InfoRules,
    /// The info series of each target. Their values are the times of their samples.
    infos: HashMap<Target, Vec<Series>>,
    /// Those of the last series of the input, with the memory of all but one, which takes that of the input.
    output: BoxStream<'a>,
    /// The memory of the info series.
    budget: Budget,
}

impl<'a> EnrichedSeries<'a> {
    /// Reads the info series, whose values are the times of their samples.
    pub(crate) async fn new(
        input: BoxStream<'a>,
        mut info_times: BoxStream<'_>,
        rules: InfoRules,
        mut budget: Budget,
    ) -> Result<Self, PromqlError> {
        let mut infos: HashMap<Target, Vec<Series>> = HashMap::default();
        while let Some(info) = info_times.next().await? {
            budget.keep(&info)?;
            infos.entry(target(&info.labels)).or_default().push(info);
        }
        Ok(Self {
            input,
            rules,
            infos,
            output: collected(Vec::new(), budget.new_empty()),
            budget,
        })
    }

    /// Returns a series with labels, or several ones if the added labels change.
    fn enrich(&self, series: Series) -> Result<BoxStream<'a>, PromqlError> {
        let mut budget = self.budget.new_empty();
        let name = series.labels.get(NAME_LABEL);
        if self.rules.ignored.iter().any(|matcher| matcher.is_match(name)) {
            return Ok(collected(vec![series], budget));
        }
        let of_series = target(&series.labels);
        let no_target = Target::default();
        let of_target = self.infos.get(&of_series).filter(|_| of_series != no_target);
        let infos = of_target.map_or(&[][..], Vec::as_slice);
        let steps = series.values.len();
        let mut enriched: BTreeMap<Labels, StepValues> = BTreeMap::new();
        for (step, value) in series.values.into_iter().enumerate() {
            if value.is_none() {
                continue;
            }
            let present = infos_at(infos, step)?;
            let Some(labels) = self.rules.add(&series.labels, &present)? else {
                continue;
            };
            let is_first = enriched.is_empty();
            let values = match enriched.entry(labels) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    if !is_first {
                        let bytes = steps * size_of::<Option<SampleValue>>();
                        budget.keep_series_of(steps, new.key().memory_size() + bytes)?;
                    }
                    new.insert(vec![None; steps])
                }
            };
            if let Some(place) = values.get_mut(step) {
                *place = value;
            }
        }
        let all = enriched.into_iter().map(|(labels, values)| Series { labels, values });
        Ok(collected(all.collect(), budget))
    }
}

/// Returns the info series that have a sample at a step: of each info metric, the one with the newest sample.
fn infos_at(infos: &[Series], step: usize) -> Result<Vec<&Series>, PromqlError> {
    let mut newest: BTreeMap<&str, (f64, &Series)> = BTreeMap::new();
    for info in infos {
        let value = info.values.get(step).and_then(Option::as_ref);
        let Some(time) = value.and_then(|value| value.float()) else {
            continue;
        };
        let name = info.labels.get(NAME_LABEL);
        let known = newest
            .get(name)
            .map(|(other_time, other)| (other_time.total_cmp(&time), *other));
        match known {
            Some((Ordering::Equal, other)) => {
                let text = "found duplicate series for info metric: existing";
                let (one, two) = (&other.labels, &info.labels);
                return Err(PromqlError::Execution(format!("{text} {one}, new {two}")));
            }
            Some((Ordering::Greater, _)) => {}
            Some((Ordering::Less, _)) | None => {
                newest.insert(name, (time, info));
            }
        }
    }
    Ok(newest.into_values().map(|(_, info)| info).collect())
}

#[async_trait]
impl SeriesStream for EnrichedSeries<'_> {
    async fn next(&mut self) -> Result<Option<Series>, PromqlError> {
        loop {
            if let Some(series) = self.output.next().await? {
                return Ok(Some(series));
            }
            let Some(series) = self.input.next().await? else {
                return Ok(None);
            };
            self.output = self.enrich(series)?;
        }
    }
}
