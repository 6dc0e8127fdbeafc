//! The store access that the query function declares.

use crate::interface::{PrefixAccess, StoreAction};

/// Store access of the query function. It puts segments into the tail because it deletes rows and refreshes views, and
/// exports because of `COPY` statements. Large answers of tasks are results, too.
pub(super) const QUERY_ACCESS: &[PrefixAccess] = &[
    PrefixAccess {
        prefix: "catalog",
        actions: &[StoreAction::Get, StoreAction::Put],
    },
    PrefixAccess {
        prefix: "db/",
        actions: &[StoreAction::Get, StoreAction::Put],
    },
    PrefixAccess {
        prefix: "tail/",
        actions: &[StoreAction::List, StoreAction::Get, StoreAction::Put],
    },
    PrefixAccess {
        prefix: "data/",
        actions: &[StoreAction::Get],
    },
    PrefixAccess {
        prefix: "cache/",
        actions: &[StoreAction::Get],
    },
    PrefixAccess {
        prefix: "engine/",
        actions: &[StoreAction::List, StoreAction::Get],
    },
    PrefixAccess {
        prefix: "exports/",
        actions: &[StoreAction::Get, StoreAction::Put, StoreAction::Abort],
    },
    PrefixAccess {
        prefix: "nodes/",
        actions: &[StoreAction::List, StoreAction::Get],
    },
    PrefixAccess {
        prefix: "results/",
        actions: &[StoreAction::Get, StoreAction::Put, StoreAction::Abort],
    },
];
