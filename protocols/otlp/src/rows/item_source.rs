//! The attributes of a resource and a scope, which their items have, too.

use crate::messages::{AttributeMap, KeyValue, SharedAttributes};

#[derive(Clone, Copy, Debug)]
pub(super) struct ItemSource<'a> {
    pub(super) resource: &'a SharedAttributes<'a>,
    pub(super) scope: &'a SharedAttributes<'a>,
}

impl<'a> ItemSource<'a> {
    /// Returns the attributes of an item together with those of its source, which it overrides.
    pub(super) fn attributes(&self, item: &'a [KeyValue]) -> AttributeMap<'a> {
        AttributeMap::with_shared([self.resource, self.scope], item)
    }
}
