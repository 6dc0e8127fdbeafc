//! Rule files in the format of Prometheus, with the field `language` in addition.

use std::{collections::BTreeMap, sync::Arc};

use neap_catalog::{MAX_RULES_BYTES, Rule, RuleAction, RuleGroup, RuleGroups, RuleLanguage};
use serde::{Deserialize, Serialize};

use crate::{
    LabelSet, RuleError,
    duration::{format_duration, parse_duration},
    template::check_template,
};

/// The interval of groups that name none, in milliseconds, as in Prometheus.
const DEFAULT_INTERVAL_MS: u64 = 60_000;

/// Minimum interval in milliseconds. An evaluation needs at least two PUTs.
const MIN_INTERVAL_MS: u64 = 1_000;

/// Maximum of all durations, in milliseconds. Times that are earlier or later by this can be computed.
const MAX_DURATION_MS: u64 = 10 * 365 * 86_400_000;

/// Maximum number of values in a file, which aliases of YAML may repeat.
const MAX_NODES: usize = 100_000;

/// Maximum bytes of all values in a file, which aliases of YAML may repeat.
const MAX_VALUE_BYTES: usize = 2 * MAX_RULES_BYTES;

/// The label that has the name of a metric.
const NAME_LABEL: &str = "__name__";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    groups: Vec<GroupText>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct GroupText {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interval: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query_offset: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: LabelSet,
    rules: Vec<RuleText>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alert: Option<String>,
    #[serde(default, skip_serializing_if = "RuleLanguage::is_default")]
    language: RuleLanguage,
    expr: String,
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    hold: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep_firing_for: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: LabelSet,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: LabelSet,
}

fn invalid<T>(text: impl Into<String>) -> Result<T, RuleError> {
    Err(RuleError::Invalid(text.into()))
}

/// Parses a rule file: a map whose `groups` is a list of groups.
///
/// # Examples
///
/// ```
/// let file = "groups: [{name: node, rules: [{record: 'job:up:sum', expr: sum by (job) (up)}]}]";
/// let groups = neap_rules::parse_file(file)?;
/// assert_eq!(groups["node"].rules[0].name(), "job:up:sum");
/// # Ok::<(), neap_rules::RuleError>(())
/// ```
///
/// # Errors
/// `Invalid`: the text is not YAML, has unknown fields, or a group or a rule is not valid. Expressions are not checked.
pub fn parse_file(text: &str) -> Result<RuleGroups, RuleError> {
    let file: FileText = from_yaml(text)?;
    check_repeated_labels(&file.groups)?;
    let mut groups = RuleGroups::new();
    for group in file.groups {
        let (name, parsed) = group.parse()?;
        if groups.insert(name.clone(), Arc::new(parsed)).is_some() {
            return invalid(format!("groupname: {name:?} is repeated in the same file"));
        }
    }
    if groups.is_empty() {
        return invalid("the file has no groups");
    }
    Ok(groups)
}

/// Parses one group. Returns its name, too.
///
/// # Errors
/// As of [`parse_file`].
pub fn parse_group(text: &str) -> Result<(String, RuleGroup), RuleError> {
    let group: GroupText = from_yaml(text)?;
    check_repeated_labels(std::slice::from_ref(&group))?;
    group.parse()
}

/// Checks the size of the labels of groups, which each of their rules has, before they are repeated.
fn check_repeated_labels(groups: &[GroupText]) -> Result<(), RuleError> {
    let bytes = groups.iter().map(|group| {
        let labels = group.labels.iter().map(|(name, value)| name.len() + value.len());
        labels.sum::<usize>().saturating_mul(group.rules.len())
    });
    if bytes.fold(0, usize::saturating_add) > MAX_RULES_BYTES {
        return invalid(format!(
            "the labels of groups, repeated for each rule, have more than {MAX_RULES_BYTES} bytes"
        ));
    }
    Ok(())
}

/// Formats a group.
///
/// # Errors
/// `Invalid`: a text can't be YAML.
pub fn group_text(name: &str, group: &RuleGroup) -> Result<String, RuleError> {
    to_yaml(&GroupText::new(name, group))
}

/// Formats the groups of namespaces: a map whose values are lists of groups.
///
/// # Errors
/// `Invalid`: a text can't be YAML.
pub fn namespaces_text(namespaces: &BTreeMap<String, RuleGroups>) -> Result<String, RuleError> {
    let lists = namespaces.iter().map(|(namespace, groups)| {
        let groups = groups.iter().map(|(name, group)| GroupText::new(name, group));
        (namespace, groups.collect())
    });
    to_yaml(&lists.collect::<BTreeMap<&String, Vec<GroupText>>>())
}

fn from_yaml<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, RuleError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_total_scalar_bytes: MAX_VALUE_BYTES,
        },
    };
    let parsed = serde_saphyr::from_str_with_options(text, options);
    parsed.map_err(|error| RuleError::Invalid(error.to_string()))
}

fn to_yaml<T: Serialize>(value: &T) -> Result<String, RuleError> {
    serde_saphyr::to_string(value).map_err(|error| RuleError::Invalid(error.to_string()))
}

fn millis(name: &str, text: Option<&String>) -> Result<Option<u64>, RuleError> {
    let Some(text) = text else {
        return Ok(None);
    };
    match parse_duration(text) {
        Some(millis) if millis <= MAX_DURATION_MS => Ok(Some(millis)),
        Some(_) => invalid(format!("{name}: {text:?} is more than 10y")),
        None => invalid(format!("{name}: {text:?} is not a duration, such as 30s or 1h30m")),
    }
}

fn text_of(millis: u64) -> Option<String> {
    (millis > 0).then(|| format_duration(millis))
}

impl GroupText {
    fn new(name: &str, group: &RuleGroup) -> Self {
        Self {
            name: name.to_owned(),
            interval: text_of(group.interval_ms),
            query_offset: text_of(group.query_offset_ms),
            limit: (group.limit > 0).then_some(group.limit),
            labels: LabelSet::new(),
            rules: group.rules.iter().map(RuleText::new).collect(),
        }
    }

    fn parse(self) -> Result<(String, RuleGroup), RuleError> {
        let interval = millis("interval", self.interval.as_ref())?;
        let interval_ms = interval.unwrap_or(DEFAULT_INTERVAL_MS);
        if interval_ms < MIN_INTERVAL_MS {
            return invalid("the interval of a group is at least 1s");
        }
        let query_offset = millis("query_offset", self.query_offset.as_ref())?;
        let rules = self.rules.into_iter().map(|rule| rule.parse(&self.labels));
        let group = RuleGroup {
            interval_ms,
            query_offset_ms: query_offset.unwrap_or_default(),
            limit: self.limit.unwrap_or_default(),
            rules: rules.collect::<Result<_, _>>()?,
        };
        Ok((self.name, group))
    }
}

impl RuleText {
    fn new(rule: &Rule) -> Self {
        let text = Self {
            record: None,
            alert: None,
            language: rule.language,
            expr: rule.expression.clone(),
            hold: None,
            keep_firing_for: None,
            labels: rule.labels.clone(),
            annotations: LabelSet::new(),
        };
        match &rule.action {
            RuleAction::Record { metric } => Self { record: Some(metric.clone()), ..text },
            RuleAction::Alert { name, for_ms, keep_firing_for_ms, annotations } => Self {
                alert: Some(name.clone()),
                hold: text_of(*for_ms),
                keep_firing_for: text_of(*keep_firing_for_ms),
                annotations: annotations.clone(),
                ..text
            },
        }
    }

    fn parse(self, of_group: &LabelSet) -> Result<Rule, RuleError> {
        let mut labels = of_group.clone();
        labels.extend(self.labels);
        if labels.keys().any(|name| name.is_empty() || name == NAME_LABEL) {
            return invalid(format!("a label has a name, which is not {NAME_LABEL:?}"));
        }
        if self.expr.trim().is_empty() {
            return invalid("field 'expr' must be set in rule");
        }
        let for_ms = millis("for", self.hold.as_ref())?;
        let keep_firing_for_ms = millis("keep_firing_for", self.keep_firing_for.as_ref())?;
        let action = match (self.record, self.alert) {
            (Some(metric), None) if !metric.is_empty() => {
                if for_ms.or(keep_firing_for_ms).is_some() || !self.annotations.is_empty() {
                    return invalid(
                        "invalid field 'for', 'keep_firing_for' or 'annotations' in recording rule",
                    );
                }
                RuleAction::Record { metric }
            }
            (None, Some(name)) if !name.is_empty() => {
                for template in labels.values().chain(self.annotations.values()) {
                    check_template(template)?;
                }
                RuleAction::Alert {
                    name,
                    for_ms: for_ms.unwrap_or_default(),
                    keep_firing_for_ms: keep_firing_for_ms.unwrap_or_default(),
                    annotations: self.annotations,
                }
            }
            _ => return invalid("one of 'record' or 'alert' must be set"),
        };
        Ok(Rule {
            language: self.language,
            expression: self.expr,
            labels,
            action,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
groups:
  - name: node
    interval: 30s
    query_offset: 1m
    labels: {team: infra}
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
      - alert: Down
        expr: up == 0
        for: 5m
        keep_firing_for: 90s
        labels:
          severity: page
          team: "{{ $labels.team }}"
        annotations:
          summary: "{{ $labels.instance }} is down: {{ $value }}"
  - name: sql
    rules:
      - record: cpu_mean
        language: sql
        expr: SELECT host, avg(usage) AS value FROM cpu GROUP BY host
"#;

    fn error(rule: &str) -> String {
        let file = format!("groups: [{{name: a, rules: [{rule}]}}]");
        parse_file(&file).unwrap_err().to_string()
    }

    #[test]
    fn a_rule_file_of_prometheus_is_read() {
        let groups = parse_file(FILE).unwrap();
        let node = &groups["node"];
        assert_eq!((node.interval_ms, node.query_offset_ms), (30_000, 60_000));
        assert_eq!(node.rules[0].labels["team"], "infra");
        assert_eq!(node.rules[1].labels["team"], "{{ $labels.team }}");
        let RuleAction::Alert { for_ms, keep_firing_for_ms, .. } = node.rules[1].action else {
            panic!("{node:?}");
        };
        assert_eq!((for_ms, keep_firing_for_ms), (300_000, 90_000));
        assert_eq!(groups["sql"].interval_ms, 60_000);
        assert_eq!(groups["sql"].rules[0].language, RuleLanguage::Sql);
    }

    #[test]
    fn a_formatted_group_is_read_again() {
        for (name, group) in parse_file(FILE).unwrap() {
            let text = group_text(&name, &group).unwrap();
            let read = parse_group(&text).unwrap();
            assert_eq!(read, (name, RuleGroup::clone(&group)), "{text}");
        }
        let namespaces = BTreeMap::from([("ns".to_owned(), parse_file(FILE).unwrap())]);
        let text = namespaces_text(&namespaces).unwrap();
        assert!(text.starts_with("ns:"), "{text}");
    }

    #[test]
    fn a_small_file_does_not_make_large_rules() {
        let long = "x".repeat(MAX_RULES_BYTES / 8);
        let uses = (0..20).map(|number| format!("{{record: r{number}, expr: *long}}"));
        let rules: Vec<String> = uses.collect();
        let aliases = format!(
            "groups: [{{name: a, rules: [{{record: r, expr: &long {long}}}, {}]}}]",
            rules.join(", ")
        );
        assert!(parse_file(&aliases).is_err());
        let group = format!(
            "{{name: a, labels: {{a: {long}}}, rules: [{}]}}",
            ["{record: r, expr: up}"; 9].join(", ")
        );
        let error = parse_group(&group).unwrap_err().to_string();
        assert!(error.contains("repeated for each rule"), "{error}");
        let file = format!("groups: [{group}]");
        let error = parse_file(&file).unwrap_err().to_string();
        assert!(error.contains("repeated for each rule"), "{error}");
    }

    #[test]
    fn invalid_rules_are_refused() {
        let pairs = "
            {expr: up} ==> one of 'record' or 'alert'
            {record: a, alert: b, expr: up} ==> one of 'record' or 'alert'
            {record: a, expr: ''} ==> 'expr' must be set
            {record: a, expr: up, for: 5m} ==> in recording rule
            {alert: a, expr: up, for: x} ==> is not a duration
            {alert: a, expr: up, for: 11y} ==> is more than 10y
            {alert: a, expr: up, labels: {__name__: x}} ==> a label has a name
            {alert: a, expr: up, annotations: {x: '{{ range }}'}} ==> template
            {alert: a, expr: up, wait: 5m} ==> wait
        ";
        for (rule, expected) in neap_test_inputs::text_pairs(pairs) {
            let error = error(rule);
            assert!(error.contains(expected), "{rule}: {error}");
        }
        let twice = "groups: [{name: a, rules: []}, {name: a, rules: []}]";
        assert!(parse_file(twice).unwrap_err().to_string().contains("repeated"));
        let short = "groups: [{name: a, interval: 1ms, rules: []}]";
        assert!(parse_file(short).unwrap_err().to_string().contains("at least 1s"));
    }
}
