//! The requests of the three signals, which are lists of lists: by resource, by scope, and the items.

use super::{
    RowCollector,
    item_error::check_attributes,
    item_source::ItemSource,
    logs,
    metric_tags::{MetricTags, resource_tags},
    metrics::add_metric,
    spans,
};
use crate::{
    encoding::{DecodeError, Field, Node},
    mapping::MappingOptions,
    messages::{Resource, Scope, SharedAttributes},
};

/// A kind of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Metrics,
    Logs,
    Traces,
}

const RESOURCE: Field = field(1, "resource");
const SCOPE: Field = field(1, "scope");

const fn field(number: u32, name: &'static str) -> Field {
    Field { number, name }
}

impl Signal {
    pub(crate) fn item_noun(self) -> &'static str {
        match self {
            Self::Metrics => "data point",
            Self::Logs => "log record",
            Self::Traces => "span",
        }
    }

    /// The name of the number of refused items in JSON.
    pub(crate) fn rejected_name(self) -> &'static str {
        match self {
            Self::Metrics => "rejectedDataPoints",
            Self::Logs => "rejectedLogRecords",
            Self::Traces => "rejectedSpans",
        }
    }

    /// The lists by resource, by scope, and of items.
    fn lists(self) -> [Field; 3] {
        match self {
            Self::Metrics => {
                [field(1, "resourceMetrics"), field(2, "scopeMetrics"), field(2, "metrics")]
            }
            Self::Logs => [field(1, "resourceLogs"), field(2, "scopeLogs"), field(2, "logRecords")],
            Self::Traces => [field(1, "resourceSpans"), field(2, "scopeSpans"), field(2, "spans")],
        }
    }
}

/// Adds the rows of a request. `arrival_ns` is the time of log records without a time.
///
/// # Errors
/// The request is malformed outside of its items, or its rows take too much memory.
pub(crate) fn collect_rows(
    signal: Signal,
    request: Node<'_>,
    mapping: &MappingOptions,
    arrival_ns: i64,
    rows: &mut RowCollector,
) -> Result<(), DecodeError> {
    let [resource_list, scope_list, item_list] = signal.lists();
    request.for_each(resource_list, |by_resource| {
        let resource: Resource = decode_child(by_resource, RESOURCE)?;
        let resource_check = check_attributes("the resource", &resource.attributes);
        // Once, because a resource may have many scopes and items.
        let shared = SharedAttributes::from_list(&resource.attributes);
        let resource_tags = match signal {
            Signal::Metrics => resource_tags(&resource),
            Signal::Logs | Signal::Traces => Vec::new(),
        };
        by_resource.for_each(scope_list, |by_scope| {
            let scope: Scope = decode_child(by_scope, SCOPE)?;
            let scope_check = || check_attributes("the scope", &scope.attributes);
            let check = resource_check.clone().and_then(|()| scope_check());
            let scope_attributes = SharedAttributes::from_list(&scope.attributes);
            let source = ItemSource { resource: &shared, scope: &scope_attributes };
            match signal {
                Signal::Metrics => {
                    let tags = MetricTags::new(&resource_tags, &scope, check);
                    by_scope.for_each(item_list, |metric| {
                        add_metric(metric, &tags, mapping.metric_schema, rows)
                    })
                }
                Signal::Logs => by_scope.for_each(item_list, |record| {
                    rows.add_item(|rows| {
                        check.clone()?;
                        let record = record.decode()?;
                        logs::add_record(&record, source, mapping, arrival_ns, rows)
                    })
                }),
                Signal::Traces => by_scope.for_each(item_list, |span| {
                    rows.add_item(|rows| {
                        check.clone()?;
                        let span = span.decode()?;
                        spans::add_span(&span, source, mapping, rows)
                    })
                }),
            }
        })
    })
}

/// Decodes a field that is not a list. The message is empty if it is absent.
fn decode_child<M>(node: Node<'_>, field: Field) -> Result<M, DecodeError>
where
    M: prost::Message + Default + serde::de::DeserializeOwned,
{
    let [child] = node.children([field])?;
    let decoded = child.map_or_else(|| Ok(M::default()), Node::decode);
    decoded.map_err(|error| error.within(field.name))
}
