//! Ships the rows of sites to a database of another cluster, exactly once and in the order of the site.
//!
//! ```text
//!   site                                          receiving cluster
//!   segments above the hold                       register of the sites, tail
//!     |-- GET  /api/v3/sync/position ---------->  |   where the site is; 503 until that is known
//!     |-- POST /api/v3/sync/rows -------------->  |   from one position to the next: start the part, put its segment
//!     |-- POST /api/v3/sync/deletes ----------->  |   row deletes are parts of their own
//!     |   commit: shipped up to                   |
//!     |   the collector deletes the segments      |   after any failure, the site asks for its position and goes on there
//! ```
//!
//! Each row gets a tag with the name of the site, and each delete the condition that the tag has this value. So sites never change
//! rows of each other, whatever they send. The rules of parts are in [`neap_wal::SiteProgress`].
//!
//! | item | purpose |
//! |---|---|
//! | [`router`] | the endpoints that receive parts |
//! | [`SiteSource`] | the segments of a site that are not shipped yet |
//! | [`Shipper`] | ships them to a [`SiteTarget`], which is a server ([`HttpTarget`]) |

mod receiver;
mod route;
mod rows_body;
mod site;
#[cfg(test)]
mod tests;

pub use route::router;
pub use site::{
    HttpTarget, HttpTargetError, HttpTargetSettings, PartError, ShipError, ShippedCounts, Shipper,
    ShipperSettings, SiteAnswer, SiteIdentity, SiteRequest, SiteSource, SiteSourceError,
    SiteTarget, SiteTargetError,
};
