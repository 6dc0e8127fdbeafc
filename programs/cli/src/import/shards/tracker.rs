//! Tracks which requests of a shard are answered.

use std::collections::VecDeque;

use super::worker::UnitProgress;
use crate::import::problems::UnitProblems;

/// The requests of a shard in the order in which they were built.
#[derive(Debug, Default)]
pub(super) struct UnitTracker {
    /// Number of the first request in `pending`.
    first: u64,
    pending: VecDeque<PendingBody>,
    /// What is read, after the last request was built.
    finished: Option<Box<UnitProgress>>,
    is_reported: bool,
    /// What the server refused of the requests up to the last progress.
    refused: UnitProblems,
    /// What it refused of later requests, which an import that is continued sends again.
    refused_since: UnitProblems,
}

#[derive(Debug)]
struct PendingBody {
    is_answered: bool,
    progress: Option<Box<UnitProgress>>,
    /// Whether its progress is forgotten, because a later request of the same run of answered requests has one.
    is_superseded: bool,
    /// What the server refused, if it was something.
    refused: Option<Box<UnitProblems>>,
}

/// The progress of a shard.
#[derive(Debug, PartialEq)]
pub(super) struct Advance {
    pub(super) progress: UnitProgress,
    pub(super) is_done: bool,
}

impl UnitTracker {
    /// Adds a request and returns its number.
    pub(super) fn add(&mut self, progress: Option<Box<UnitProgress>>) -> u64 {
        self.pending.push_back(PendingBody {
            is_answered: false,
            progress,
            is_superseded: false,
            refused: None,
        });
        self.first + self.pending.len() as u64 - 1
    }

    /// Marks a request as answered. Returns the new progress, if there is one.
    pub(super) fn answer(&mut self, number: u64, refused: Option<UnitProblems>) -> Option<Advance> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let body = self.pending.get_mut(index)?;
        body.is_answered = true;
        body.refused = refused.map(Box::new);
        self.forget_older_progress(index);
        let mut newest = None;
        while let Some(body) = self.pending.pop_front_if(|body| body.is_answered) {
            self.first += 1;
            if let Some(refused) = body.refused {
                self.refused_since.merge(*refused);
            }
            if body.progress.is_some() {
                newest = body.progress;
                self.refused.merge(std::mem::take(&mut self.refused_since));
            }
        }
        let done = self.take_done();
        done.or_else(|| newest.map(|progress| self.advance(*progress, false)))
    }

    /// Forgets the progress of a request if the next one is answered, too. While an early request is not answered, there
    /// is one progress for each run of answered requests, of which there are no more than requests in flight.
    fn forget_older_progress(&mut self, answered: usize) {
        for (older, newer) in [(Some(answered), answered + 1), (answered.checked_sub(1), answered)]
        {
            let supersedes = |body: &PendingBody| {
                body.is_answered && (body.progress.is_some() || body.is_superseded)
            };
            let is_superseded = self.pending.get(newer).is_some_and(supersedes);
            if is_superseded
                && let Some(body) = older.and_then(|older| self.pending.get_mut(older))
                && body.is_answered
            {
                body.progress = None;
                body.is_superseded = true;
            }
        }
    }

    fn advance(&self, mut progress: UnitProgress, is_done: bool) -> Advance {
        progress.problems.merge(self.refused.clone());
        Advance { progress, is_done }
    }

    /// Sets what is read at the end. Returns the new progress if everything is answered.
    pub(super) fn finish(&mut self, progress: Box<UnitProgress>) -> Option<Advance> {
        self.finished = Some(progress);
        self.take_done()
    }

    /// Returns whether everything is answered.
    pub(super) fn is_done(&self) -> bool {
        self.is_reported
    }

    fn take_done(&mut self) -> Option<Advance> {
        if !self.pending.is_empty() {
            return None;
        }
        let progress = self.finished.take()?;
        self.is_reported = true;
        self.refused.merge(std::mem::take(&mut self.refused_since));
        Some(self.advance(*progress, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(position: &str) -> Option<Box<UnitProgress>> {
        Some(Box::new(UnitProgress {
            position: Some(position.to_owned()),
            ..UnitProgress::default()
        }))
    }

    fn position(advance: Option<Advance>) -> Option<(String, bool)> {
        advance.map(|advance| (advance.progress.position.unwrap(), advance.is_done))
    }

    #[test]
    fn progress_is_made_when_all_earlier_requests_are_answered() {
        let mut tracker = UnitTracker::default();
        let first = tracker.add(None);
        let second = tracker.add(progress("b"));
        let third = tracker.add(progress("c"));
        assert_eq!(position(tracker.answer(second, None)), None);
        assert_eq!(position(tracker.answer(first, None)), Some(("b".to_owned(), false)));
        assert_eq!(position(tracker.finish(progress("d").unwrap())), None);
        assert!(!tracker.is_done());
        assert_eq!(position(tracker.answer(third, None)), Some(("d".to_owned(), true)));
        assert!(tracker.is_done());
        assert_eq!(position(tracker.answer(9, None)), None);
    }

    #[test]
    fn refused_rows_are_reported_with_the_progress_after_them() {
        let refused = || {
            let mut problems = UnitProblems::default();
            problems.add_damage("x");
            Some(problems)
        };
        let damaged =
            |advance: Option<Advance>| advance.map(|advance| advance.progress.problems.damaged);
        let mut tracker = UnitTracker::default();
        let first = tracker.add(None);
        let second = tracker.add(progress("b"));
        let third = tracker.add(None);
        assert_eq!(damaged(tracker.answer(first, refused())), None);
        assert_eq!(damaged(tracker.answer(second, refused())), Some(2));
        assert_eq!(damaged(tracker.answer(third, refused())), None);
        assert_eq!(damaged(tracker.finish(progress("d").unwrap())), Some(3));
    }

    #[test]
    fn only_the_newest_answered_progress_is_kept() {
        let mut tracker = UnitTracker::default();
        let first = tracker.add(progress("a"));
        let later: Vec<u64> = (0..100).map(|_| tracker.add(progress("b"))).collect();
        for number in later.into_iter().rev() {
            assert_eq!(position(tracker.answer(number, None)), None);
        }
        let kept = tracker
            .pending
            .iter()
            .filter(|body| body.is_answered && body.progress.is_some());
        assert_eq!(kept.count(), 1);
        let advance = tracker.answer(first, None);
        assert_eq!(position(advance), Some(("b".to_owned(), false)));
    }

    #[test]
    fn a_shard_without_requests_is_done_at_its_end() {
        let mut tracker = UnitTracker::default();
        let advance = tracker.finish(progress("a").unwrap());
        assert_eq!(position(advance), Some(("a".to_owned(), true)));
    }
}
