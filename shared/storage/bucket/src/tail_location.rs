//! The locations of segments that a process is configured with.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A location of segments: the bucket of all other objects, or a bucket of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TailLocation(Option<String>);

impl TailLocation {
    /// The bucket of all other objects.
    pub const MAIN: Self = Self(None);

    /// Returns the bucket with this name.
    pub fn bucket(name: impl Into<String>) -> Self {
        Self(Some(name.into()))
    }

    /// Returns the name of the bucket; `None` if it is that of all other objects.
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Returns whether it is the bucket of all other objects.
    pub fn is_main(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Display for TailLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("the main bucket"),
            Some(name) => write!(f, "bucket '{name}'"),
        }
    }
}

/// Where a process puts new segments, and where it reads others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailLocations {
    /// The location of new segments.
    pub current: TailLocation,
    /// The location of earlier segments, while the tail is moved.
    pub former: Option<TailLocation>,
}

impl TailLocations {
    /// All segments are in the bucket of all other objects.
    pub const MAIN: Self = Self { current: TailLocation::MAIN, former: None };

    /// Returns whether the process reads the segments of a location.
    pub fn includes(&self, location: &TailLocation) -> bool {
        self.current == *location || self.former.as_ref() == Some(location)
    }
}
