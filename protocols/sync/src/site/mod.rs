//! The side of a site: reads its segments, and ships them in parts.

mod error;
mod http_target;
mod part;
mod position;
mod retries;
mod shipper;
mod source;
mod target;

pub use error::ShipError;
pub use http_target::{HttpTarget, HttpTargetError, HttpTargetSettings};
pub use part::PartError;
pub use shipper::{ShippedCounts, Shipper, ShipperSettings};
pub use source::{SiteSource, SiteSourceError};
pub use target::{SiteAnswer, SiteIdentity, SiteRequest, SiteTarget, SiteTargetError};
