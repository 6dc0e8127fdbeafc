//! The side of a site: reads its segments, and ships them in parts.

mod http_target;
mod part;
mod position;
mod shipper;
mod source;
mod target;

pub use http_target::{HttpTarget, HttpTargetError, HttpTargetSettings};
pub use part::PartError;
pub use shipper::{ShipError, ShippedCounts, Shipper, ShipperSettings};
pub use source::{SiteSource, SiteSourceError};
pub use target::{DEFAULT_TAG, SiteAnswer, SiteIdentity, SiteRequest, SiteTarget, SiteTargetError};
