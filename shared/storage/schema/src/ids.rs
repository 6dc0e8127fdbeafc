//! Ids of databases, tables, columns, caches, triggers and materialized views. Ids are never reused, so a reference by
//! id cannot be taken for a reference to a later object with the same name.

use std::{fmt, num::ParseIntError, str::FromStr};

use serde::{Deserialize, Serialize};

/// The error of parsing text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier: {0}")]
pub struct IdError(ParseIntError);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name($inner);

        impl $name {
            /// Creates the id with this number.
            pub const fn new(number: $inner) -> Self {
                Self(number)
            }

            /// Returns the number.
            pub const fn get(self) -> $inner {
                self.0
            }

            /// Returns the next id; `None` if all are used.
            pub fn next(self) -> Option<Self> {
                self.0.checked_add(1).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self).map_err(IdError)
            }
        }
    };
}

id! {
    /// A database, unique in a cluster.
    DatabaseId(u32)
}
id! {
    /// A table, unique in its database.
    TableId(u32)
}
id! {
    /// A column, unique in its table.
    ColumnId(u16)
}
id! {
    /// A last value or distinct value cache, unique in its database.
    CacheId(u32)
}
id! {
    /// A trigger of the processing engine, unique in its database.
    TriggerId(u32)
}
id! {
    /// A materialized view, unique in its database.
    ViewId(u32)
}
