//! The store access that the query function declares.

use crate::interface::{
    PrefixAccess,
    StoreAction::{Abort, Get, List, Put},
};

/// Store access of the query function. It puts segments into the tail because it deletes rows and refreshes views, and
/// exports because of `COPY` statements. Large answers of tasks are results, too.
pub(super) const QUERY_ACCESS: &[PrefixAccess] = &[
    PrefixAccess::new("catalog", &[Get, Put]),
    PrefixAccess::new("db/", &[List, Get, Put]),
    PrefixAccess::new("tail/", &[List, Get, Put]),
    PrefixAccess::new("data/", &[List, Get]),
    PrefixAccess::new("cache/", &[Get]),
    PrefixAccess::new("engine/", &[List, Get]),
    PrefixAccess::new("exports/", &[Get, Put, Abort]),
    PrefixAccess::new("nodes/", &[List, Get]),
    PrefixAccess::new("published/", &[Get]),
    PrefixAccess::new("results/", &[Get, Put, Abort]),
];
