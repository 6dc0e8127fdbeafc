//! Deviations from S3: what other stores with S3's interface do differently.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, Method, Request};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, dto::*, s3_error};
use strum::{IntoStaticStr, VariantArray};

/// A deviation from S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Deviation {
    /// Puts ignore `If-Match` and `If-None-Match`.
    IgnoredConditions,
    /// Puts with `If-Match` or `If-None-Match` are answered with 501.
    RefusedConditions,
    /// The condition of a put is checked before its write begins, so that several concurrent puts pass.
    RacingConditions,
    /// Every other put whose condition does not hold is answered with 409 instead of 412.
    Conflicts,
    /// A put with `If-Match` of a missing object is answered with 412 instead of 404.
    MissingIsPrecondition,
    /// Responses have no `Date`.
    MissingDates,
    /// Responses have an `Age`, as those of a cache between the client and the store.
    CachedResponses,
    /// Listings lack the object that was put last.
    LateListings,
    /// Pages of listings are in reverse order.
    UnsortedListings,
    /// Listings start at the beginning, whatever the client asks for.
    IgnoredStartAfter,
    /// Deletions of several objects in one request are answered with 501.
    RefusedBulkDeletes,
    /// Puts with a checksum in a header are answered with 501.
    RefusedChecksums,
    /// Puts into another storage class are answered with 400.
    RefusedStorageClasses,
}

impl Deviation {
    /// All deviations.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Returns the name on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the deviation with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|deviation| deviation.name() == name)
    }
}

/// The deviations of a server.
#[derive(Debug, Default)]
pub(crate) struct Deviations {
    all: BTreeSet<Deviation>,
    last_put: Mutex<Option<String>>,
    failed_conditions: AtomicU64,
}

impl Deviations {
    pub(crate) fn new(all: &[Deviation]) -> Self {
        Self { all: all.iter().copied().collect(), ..Self::default() }
    }

    pub(crate) fn has(&self, deviation: Deviation) -> bool {
        self.all.contains(&deviation)
    }

    /// Returns whether a request is answered with 501 before its signature is checked.
    pub(crate) fn refuses<B>(&self, request: &Request<B>) -> bool {
        let query = request.uri().query().unwrap_or_default();
        let is_bulk_delete = *request.method() == Method::POST && query.starts_with("delete");
        let is_put = *request.method() == Method::PUT;
        (is_bulk_delete && self.has(Deviation::RefusedBulkDeletes))
            || (is_put && has_checksum(request.headers()) && self.has(Deviation::RefusedChecksums))
    }

    /// Changes or refuses a put, and removes the storage class, because the storage has only one besides the archive.
    pub(crate) fn admit_put(&self, request: &mut S3Request<PutObjectInput>) -> S3Result<()> {
        let input = &mut request.input;
        let has_condition = input.if_match.is_some() || input.if_none_match.is_some();
        if has_condition && self.has(Deviation::RefusedConditions) {
            return Err(s3_error!(NotImplemented, "Conditional object PUTs are not supported."));
        }
        if self.has(Deviation::IgnoredConditions) {
            (input.if_match, input.if_none_match) = (None, None);
        }
        let class = input.storage_class.take_if(|class| class.as_str() != StorageClass::GLACIER);
        if class.is_some() && self.has(Deviation::RefusedStorageClasses) {
            return Err(s3_error!(InvalidStorageClass));
        }
        let mut last_put = self.last_put.lock().unwrap_or_else(PoisonError::into_inner);
        *last_put = Some(input.key.clone());
        Ok(())
    }

    /// Returns the error of a put as the store reports it.
    pub(crate) fn put_error(&self, error: S3Error) -> S3Error {
        match error.code() {
            S3ErrorCode::NoSuchKey if self.has(Deviation::MissingIsPrecondition) => {
                s3_error!(PreconditionFailed)
            }
            S3ErrorCode::PreconditionFailed if self.has(Deviation::Conflicts) => {
                let number = self.failed_conditions.fetch_add(1, Ordering::Relaxed);
                if number.is_multiple_of(2) {
                    s3_error!(ConditionalRequestConflict)
                } else {
                    error
                }
            }
            _ => error,
        }
    }

    /// Changes a request for a page of a listing.
    pub(crate) fn admit_listing(&self, request: &mut S3Request<ListObjectsV2Input>) {
        if self.has(Deviation::IgnoredStartAfter) {
            request.input.start_after = None;
        }
    }

    /// Changes a page of a listing.
    pub(crate) fn change_listing(&self, page: &mut ListObjectsV2Output) {
        let last_put = self.last_put.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(objects) = &mut page.contents {
            if self.has(Deviation::LateListings) {
                objects.retain(|object| object.key != *last_put);
            }
            if self.has(Deviation::UnsortedListings) {
                objects.reverse();
            }
        }
    }
}

fn has_checksum(headers: &HeaderMap) -> bool {
    let mut names = headers.keys().map(http::HeaderName::as_str);
    names.any(|name| name.starts_with("x-amz-checksum-") || name == "x-amz-sdk-checksum-algorithm")
}
