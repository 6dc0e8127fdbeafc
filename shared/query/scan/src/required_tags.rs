//! The values that predicates require of tags.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::physical_expr::{
    PhysicalExpr,
    utils::{Guarantee, LiteralGuarantee},
};
use neap_points::TagFilter;

/// Returns the values that a predicate on tags and time requires of tags.
pub(crate) fn tag_filters(key: &Arc<dyn PhysicalExpr>) -> Vec<TagFilter> {
    let required = LiteralGuarantee::analyze(key).into_iter();
    let of_tags = required.filter_map(|required| {
        let texts = required.literals.iter().map(|value| value.try_as_str());
        // Times are no texts.
        let values: BTreeSet<String> =
            texts.map(|value| value.flatten().map(str::to_owned)).collect::<Option<_>>()?;
        (required.guarantee == Guarantee::In)
            .then_some(TagFilter { tag: required.column.name, values })
    });
    of_tags.collect()
}
