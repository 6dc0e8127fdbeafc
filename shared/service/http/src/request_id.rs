//! The id of a request. It is in the log line and in the answer, so that a problem with an answer can be traced.

use std::fmt;

use http::{HeaderName, HeaderValue};
use neap_bucket::World;
use uuid::{Builder, Uuid};

/// The id of a request: a UUID of version 7, so that ids sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(Uuid);

impl RequestId {
    /// The header with the id in every answer. `/ping` also has the id in the headers that InfluxDB 3 uses there.
    pub const HEADER: HeaderName = HeaderName::from_static("x-neap-request-id");

    /// Generates an id of the present time.
    pub fn draw(world: &World) -> Self {
        let millis = u64::try_from(world.clock.wall_micros() / 1000).unwrap_or(0);
        let mut random = [0; 10];
        world.entropy.fill(&mut random);
        Self(Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// Returns the id as the value of a header.
    pub fn header_value(&self) -> HeaderValue {
        // A UUID is ASCII, so the other branch is never taken.
        HeaderValue::try_from(self.to_string()).unwrap_or(HeaderValue::from_static(""))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_7_and_differ() {
        let world = World::system();
        let (one, other) = (RequestId::draw(&world), RequestId::draw(&world));
        assert_eq!(one.0.get_version_num(), 7);
        assert_ne!(one, other);
    }
}
