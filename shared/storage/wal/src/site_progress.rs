//! The progress of the sites that ship their rows to a database.
//!
//! A site is a database of another cluster. It ships its segments in parts, in the order of its writes. Each part leads from
//! one position of the site to the next, and positions are texts that only the site understands.
//!
//! ```text
//!   process that stores a part                    register of the database
//!     |-- commit: part n, from, to, time ------>  |   crash after: nothing is stored
//!     |-- PUT the segment with progress n         |   crash after: the outcome is in the manifest, once the mark is
//!     |-- answer                                  |   more than SETTLING_TIME above the time of the commit
//! ```
//!
//! Rule E1: *the next part starts where the last one ended if the site knows that it was stored, because it was answered, or the
//! mark proves it; or where the last one started if the mark proves that it was not stored and never will be.* The register is
//! committed for each part, so of two requests only one goes on. A request stores its rows only if it arrived, by rule W1,
//! shortly after the commit; so its stamp is at most [`SETTLING_TIME`] later, and a segment that appears below the mark is void.
//! Therefore each part is stored once, however often it is sent. A part that certainly has no segment is ended in the register:
//! at its start if it failed, at its end if it had nothing to store.
//!
//! The manifest is read before the register. If it has a later part nevertheless, the register is lost or an older copy, and the
//! site stops, because later parts would be taken for those that are stored.

use std::{collections::BTreeMap, time::Duration};

use neap_bucket::{ObjectFormat, RegisterValue, Stamp, StoreTime, formats};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Time after the start of a part from which no segment of it can have a stamp: more than a request may wait before and after
/// its arrival, and more than stamps may be ahead of the store's clock.
pub const SETTLING_TIME: Duration = Duration::from_secs(30);

/// Maximum number of sites of a database. The manifest keeps about 100 bytes for each.
pub const MAX_SITES: usize = 1_000;

/// Maximum bytes of a position.
pub const MAX_POSITION_BYTES: usize = 200;

/// Maximum bytes of the name of a site.
const MAX_SITE_NAME_BYTES: usize = 64;

/// The progress of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteState {
    /// The source of the site. Its parts have it in their segments.
    pub source: Ulid,
    /// The number of the last part that was started.
    pub part: u64,
    /// The position at which that part starts.
    pub from: String,
    /// The position at which it ends.
    pub to: String,
    /// When it was started, by the store's clock.
    pub started_at: StoreTime,
    /// The stamp that it is ordered after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Stamp>,
}

/// The part of a site that a request brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SitePart<'a> {
    /// The name of the site.
    pub site: &'a str,
    /// The source of the site.
    pub source: Ulid,
    /// The position at which the part starts; empty for the first part of the site.
    pub from: &'a str,
    /// The position at which it ends.
    pub to: &'a str,
    /// The stamp of the part before, if the site knows it.
    pub after: Option<Stamp>,
}

/// A part that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartedPart {
    /// The number of the part.
    pub number: u64,
    /// The stamp that it must be ordered after.
    pub after: Option<Stamp>,
}

/// The last part of a site that the manifest has, and its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledPart {
    /// The low-water mark.
    pub mark: Stamp,
    /// The number of the part; 0: none.
    pub part: u64,
}

/// The reason why a part is not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartRefusal {
    /// The name or a position is not valid.
    #[error("{0}")]
    Invalid(&'static str),
    /// Another database ships under the name of the site.
    #[error("another database is shipped as site '{0}'")]
    OtherSource(String),
    /// The part does not start at the position of the site.
    #[error("the site is at position '{0}'")]
    OtherPosition(String),
    /// It is not known yet whether the last part is stored.
    #[error("it is not known yet whether the last part of the site is stored")]
    NotSettled,
    /// The manifest has parts of the source that the progress does not know, as in a copy of the database, or under the name
    /// of another site.
    #[error(
        "the database has rows of this source that the progress of the site does not know: ship it under another name"
    )]
    UnknownRows,
    /// There are too many sites.
    #[error("a database has at most {MAX_SITES} sites")]
    TooMany,
}

/// The progress of all sites of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteProgress {
    /// The sites by name.
    pub sites: BTreeMap<String, SiteState>,
}

impl RegisterValue for SiteProgress {
    const FORMAT: ObjectFormat = formats::SITE_PROGRESS;
}

impl SiteState {
    /// Returns the position up to which everything is stored; `None`: it is not known yet.
    pub fn position(&self, settled: SettledPart) -> Option<&str> {
        if self.from == self.to || settled.part >= self.part {
            Some(&self.to)
        } else if settled.mark.time() > self.started_at.plus(SETTLING_TIME) {
            Some(&self.from)
        } else {
            None
        }
    }
}

impl SiteProgress {
    /// Returns the position of a site; empty if nothing was shipped.
    ///
    /// # Errors
    /// `OtherSource`, `UnknownRows` or `NotSettled`.
    pub fn position(&self, part: &SitePart<'_>, settled: SettledPart) -> Result<&str, PartRefusal> {
        match self.known(part, settled)? {
            Some(state) => state.position(settled).ok_or(PartRefusal::NotSettled),
            None => Ok(""),
        }
    }

    /// Returns the state of the site of a part; `None` if nothing was shipped.
    fn known(
        &self,
        part: &SitePart<'_>,
        settled: SettledPart,
    ) -> Result<Option<&SiteState>, PartRefusal> {
        part.check()?;
        let Some(state) = self.sites.get(part.site) else {
            let has_source = self.sites.values().any(|other| other.source == part.source);
            return if has_source || settled.part > 0 {
                Err(PartRefusal::UnknownRows)
            } else {
                Ok(None)
            };
        };
        if state.source != part.source {
            return Err(PartRefusal::OtherSource(part.site.to_owned()));
        }
        // The manifest is read before the progress, so it cannot have a later part.
        if settled.part > state.part {
            return Err(PartRefusal::UnknownRows);
        }
        Ok(Some(state))
    }

    /// Starts a part. (Rule E1)
    ///
    /// # Errors
    /// The reason why the part must not be stored.
    pub fn start(
        &mut self,
        part: &SitePart<'_>,
        settled: SettledPart,
        now: StoreTime,
    ) -> Result<StartedPart, PartRefusal> {
        if part.from == part.to {
            return Err(PartRefusal::Invalid("a part ends after its start"));
        }
        let (last, last_after) = match self.known(part, settled)? {
            None if !part.from.is_empty() => {
                return Err(PartRefusal::OtherPosition(String::new()));
            }
            None if self.sites.len() >= MAX_SITES => return Err(PartRefusal::TooMany),
            None => (0, None),
            // The site knows from the answer that the last part is stored.
            Some(state) if state.to == part.from => (state.part, state.after),
            Some(state) => match state.position(settled) {
                Some(position) if position == part.from => (state.part, state.after),
                Some(position) => return Err(PartRefusal::OtherPosition(position.to_owned())),
                None => return Err(PartRefusal::NotSettled),
            },
        };
        let started = StartedPart {
            number: last.saturating_add(1),
            // A part that was taken back was ordered after the one before it.
            after: part.after.max(last_after),
        };
        let state = SiteState {
            source: part.source,
            part: started.number,
            from: part.from.to_owned(),
            to: part.to.to_owned(),
            started_at: now,
            after: started.after,
        };
        self.sites.insert(part.site.to_owned(), state);
        Ok(started)
    }

    /// Takes back a part of which certainly nothing was stored, so that it can be sent again at once. Returns whether it was
    /// the last one.
    pub fn cancel(&mut self, site: &str, number: u64) -> bool {
        self.end(site, number, |state| state.to.clone_from(&state.from))
    }

    /// Ends a part that has nothing to store, whose number the manifest will never have. Returns whether it was the last one.
    pub fn skip(&mut self, site: &str, number: u64) -> bool {
        self.end(site, number, |state| state.from.clone_from(&state.to))
    }

    fn end(&mut self, site: &str, number: u64, change: impl FnOnce(&mut SiteState)) -> bool {
        match self.sites.get_mut(site) {
            Some(state) if state.part == number => {
                change(state);
                true
            }
            _ => false,
        }
    }
}

impl SitePart<'_> {
    fn check(&self) -> Result<(), PartRefusal> {
        let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if self.site.is_empty()
            || self.site.len() > MAX_SITE_NAME_BYTES
            || !self.site.bytes().all(is_name_byte)
        {
            return Err(PartRefusal::Invalid(
                "the name of a site has 1 to 64 letters, digits, '-', '_' or '.'",
            ));
        }
        if self.from.len().max(self.to.len()) > MAX_POSITION_BYTES {
            return Err(PartRefusal::Invalid("a position has at most 200 bytes"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Ulid = Ulid(7);

    fn at(seconds: i64) -> StoreTime {
        StoreTime::from_micros(seconds * 1_000_000)
    }

    fn settled(seconds: i64, part: u64) -> SettledPart {
        SettledPart { mark: Stamp::new(at(seconds), 0), part }
    }

    fn part<'a>(from: &'a str, to: &'a str) -> SitePart<'a> {
        SitePart { site: "plant-1", source: SOURCE, from, to, after: None }
    }

    fn start(
        progress: &mut SiteProgress,
        part: &SitePart<'_>,
        settled: SettledPart,
        now: StoreTime,
    ) -> Result<u64, PartRefusal> {
        progress.start(part, settled, now).map(|started| started.number)
    }

    fn other_position(position: &str) -> Result<u64, PartRefusal> {
        Err(PartRefusal::OtherPosition(position.to_owned()))
    }

    #[test]
    fn answered_parts_follow_each_other_at_once() {
        let mut progress = SiteProgress::default();
        let none = settled(0, 0);
        assert_eq!(start(&mut progress, &part("", "a"), none, at(1)), Ok(1));
        assert_eq!(start(&mut progress, &part("a", "b"), none, at(2)), Ok(2));
        assert_eq!(start(&mut progress, &part("b", "c"), none, at(3)), Ok(3));
    }

    #[test]
    fn a_part_is_started_again_only_if_the_mark_proves_that_it_is_not_stored() {
        let mut progress = SiteProgress::default();
        start(&mut progress, &part("", "a"), settled(0, 0), at(100)).unwrap();
        let again = |progress: &SiteProgress, settled| {
            start(&mut progress.clone(), &part("", "a"), settled, at(500))
        };
        assert_eq!(again(&progress, settled(130, 0)), Err(PartRefusal::NotSettled));
        // The part is stored, and the site learns it.
        assert_eq!(again(&progress, settled(110, 1)), other_position("a"));
        let site = part("", "");
        assert_eq!(progress.position(&site, settled(110, 1)), Ok("a"));
        // It is not stored, and never will be.
        assert_eq!(progress.position(&site, settled(131, 0)), Ok(""));
        assert_eq!(again(&progress, settled(131, 0)), Ok(2));
        start(&mut progress, &part("", "a"), settled(131, 0), at(131)).unwrap();
        // The time of the new attempt counts.
        assert_eq!(again(&progress, settled(140, 0)), Err(PartRefusal::NotSettled));
    }

    #[test]
    fn a_part_that_was_taken_back_is_started_again_at_once() {
        let mut progress = SiteProgress::default();
        let none = settled(0, 0);
        start(&mut progress, &part("", "a"), none, at(1)).unwrap();
        start(&mut progress, &part("a", "b"), none, at(2)).unwrap();
        assert!(!progress.cancel("plant-1", 1), "it is stored");
        assert!(progress.cancel("plant-1", 2));
        assert_eq!(progress.position(&part("", ""), none), Ok("a"));
        assert_eq!(start(&mut progress, &part("a", "c"), none, at(3)), Ok(3));
    }

    #[test]
    fn a_part_with_nothing_to_store_is_behind_the_site_for_ever() {
        let mut progress = SiteProgress::default();
        let none = settled(0, 0);
        start(&mut progress, &part("", "a"), none, at(1)).unwrap();
        assert!(progress.skip("plant-1", 1));
        for mark in [none, settled(90, 0)] {
            assert_eq!(progress.position(&part("", ""), mark), Ok("a"));
        }
        assert_eq!(start(&mut progress, &part("a", "b"), none, at(2)), Ok(2));
        assert!(!progress.skip("plant-1", 1), "it is not the last one");
    }

    #[test]
    fn a_site_stops_if_the_manifest_has_parts_that_the_progress_does_not_know() {
        let mut progress = SiteProgress::default();
        let unknown = Err(PartRefusal::UnknownRows);
        // The register is lost.
        assert_eq!(start(&mut progress, &part("", "a"), settled(90, 3), at(1)), unknown);
        // It is an older copy.
        start(&mut progress, &part("", "a"), settled(0, 0), at(1)).unwrap();
        assert_eq!(start(&mut progress, &part("a", "b"), settled(90, 3), at(2)), unknown);
        // Parts of a source count for one site only.
        let renamed = SitePart { site: "plant-2", ..part("", "a") };
        assert_eq!(start(&mut progress, &renamed, settled(0, 0), at(2)), unknown);
    }

    #[test]
    fn a_part_is_ordered_after_the_one_before_even_if_another_attempt_was_taken_back() {
        let mut progress = SiteProgress::default();
        let none = settled(0, 0);
        start(&mut progress, &part("", "a"), none, at(1)).unwrap();
        let after = Some(Stamp::new(at(2), 0));
        let next = SitePart { after, ..part("a", "b") };
        start(&mut progress, &next, none, at(3)).unwrap();
        assert!(progress.cancel("plant-1", 2));
        let started = progress.start(&part("a", "b"), none, at(4)).unwrap();
        assert_eq!(started.after, after);
    }

    #[test]
    fn a_copy_of_a_site_and_a_lost_register_store_nothing() {
        let mut progress = SiteProgress::default();
        let none = settled(0, 0);
        assert_eq!(start(&mut progress, &part("z", "a"), none, at(1)), other_position(""));
        start(&mut progress, &part("", "a"), none, at(1)).unwrap();
        start(&mut progress, &part("a", "b"), none, at(2)).unwrap();
        assert_eq!(
            start(&mut progress, &part("", "x"), settled(90, 2), at(3)),
            other_position("b")
        );
        let other = SitePart { source: Ulid(8), ..part("b", "c") };
        let refused = start(&mut progress, &other, none, at(3));
        assert_eq!(refused, Err(PartRefusal::OtherSource("plant-1".to_owned())));
    }

    #[test]
    fn names_and_positions_are_bounded() {
        let mut progress = SiteProgress::default();
        let long = "x".repeat(201);
        for refused in [
            SitePart { site: "", ..part("", "a") },
            SitePart { site: "a/b", ..part("", "a") },
            part("", &long),
            part("a", "a"),
        ] {
            let started = start(&mut progress, &refused, settled(0, 0), at(1));
            assert!(matches!(started, Err(PartRefusal::Invalid(_))), "{refused:?}");
        }
        let names: Vec<_> = (0_u32..)
            .take(MAX_SITES + 1)
            .map(|number| (number, format!("s{number}")))
            .collect();
        let started = names.iter().map(|(number, site)| {
            let part = SitePart {
                site: site.as_str(),
                source: Ulid(u128::from(*number)),
                ..part("", "a")
            };
            start(&mut progress, &part, settled(0, 0), at(1))
        });
        let refused: Vec<_> = started.filter_map(Result::err).collect();
        assert_eq!(refused, [PartRefusal::TooMany]);
    }
}
