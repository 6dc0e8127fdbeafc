//! Format levels: the stored formats that the programs of a cluster write.
//!
//! ```text
//!   programs that know level 1       root catalog              programs that know levels 1 to 2
//!     |-- write formats of level 1     level 1                   |-- write formats of level 1, read both
//!     |   until all are replaced          |                      |
//!                                      level 2 <-- commit ------ |   neap format-level 2
//!                                         |                      |-- write formats of level 2
//!     |-- GET root catalog -----------> level 2
//!     |   a forgotten one refuses every request
//! ```
//!
//! A format with a new version, or a new kind of object, gets the next level. Programs write it from that level on and read it
//! at every level, so that the versions of a program that run during an upgrade read each other's objects.

use std::{fmt, num::ParseIntError, str::FromStr};

use serde::{Deserialize, Serialize};

/// A format level: a number from 1. It is recorded in the root catalog.
#[derive(
    Clone, Copy, Debug, derive_more::Display, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct FormatLevel(u16);

impl FormatLevel {
    /// Returns the level with a number.
    pub const fn new(level: u16) -> Self {
        Self(level)
    }

    /// Returns the level of version 1 of all formats, and of a root catalog that records no level.
    pub const fn first() -> Self {
        Self(1)
    }

    /// Returns whether it is the first level.
    pub fn is_first(&self) -> bool {
        *self == Self::first()
    }
}

impl FromStr for FormatLevel {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The format levels that a program reads and writes, and that of clusters that it creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatLevels {
    /// The oldest level.
    pub oldest: FormatLevel,
    /// The newest level.
    pub newest: FormatLevel,
    /// The level of new clusters.
    pub initial: FormatLevel,
}

impl FormatLevels {
    /// The levels of this release. New clusters have the oldest one by default, because programs of the release before may use
    /// them during an upgrade.
    pub const SUPPORTED: Self = Self {
        oldest: FormatLevel::first(),
        newest: FormatLevel::first(),
        initial: FormatLevel::first(),
    };

    /// Returns whether the program reads and writes a level.
    pub fn includes(self, level: FormatLevel) -> bool {
        (self.oldest..=self.newest).contains(&level)
    }
}

impl fmt::Display for FormatLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { oldest, newest, .. } = self;
        if oldest == newest {
            write!(f, "level {newest}")
        } else {
            write!(f, "levels {oldest} to {newest}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_knows_the_levels_from_its_oldest_to_its_newest() {
        let levels = FormatLevels {
            newest: FormatLevel::new(3),
            oldest: FormatLevel::new(2),
            ..FormatLevels::SUPPORTED
        };
        let known = (0..5).map(FormatLevel::new).filter(|level| levels.includes(*level));
        assert_eq!(known.collect::<Vec<_>>(), [2, 3].map(FormatLevel::new));
        assert_eq!(levels.to_string(), "levels 2 to 3");
        assert_eq!(FormatLevels::SUPPORTED.to_string(), "level 1");
    }

    #[test]
    fn this_release_creates_clusters_of_a_level_that_it_knows() {
        let levels = FormatLevels::SUPPORTED;
        assert!(levels.includes(levels.initial));
    }
}
