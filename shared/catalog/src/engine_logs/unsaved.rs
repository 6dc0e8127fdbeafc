//! The lines of a database that are not saved, or not known to be.
//!
//! When there is no room, the oldest line of the trigger goes whose lines take up the most: a plugin that logs without end
//! loses its own lines, and those of others stay.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
};

use super::EngineLogLine;

/// The most bytes of lines of a database that wait to be saved.
pub(super) const MAX_UNSAVED_BYTES: usize = 2 << 20;

/// Lines that follow each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    /// The number of the first one.
    pub(super) first: u64,
    pub(super) lines: Vec<EngineLogLine>,
}

/// The lines of a trigger that wait, each with its place among those of all.
#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<(u64, EngineLogLine)>,
    bytes: usize,
}

/// The lines of a database that are not saved, or not known to be.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    /// What is being saved, which is older than what waits.
    saving: Option<Arc<Lines>>,
    /// By trigger.
    waiting: BTreeMap<String, Waiting>,
    bytes: usize,
    /// The place of the next line.
    next_place: u64,
    /// The number that the first line has once it is taken to be saved.
    first: u64,
    /// Lines that were dropped for want of room.
    dropped: u64,
}

impl Unsaved {
    pub(super) fn add(&mut self, line: EngineLogLine) {
        if !self.waiting.contains_key(&line.trigger) {
            let trigger = line.trigger.clone();
            self.waiting.insert(trigger, Waiting::default());
        }
        let place = self.next_place;
        self.next_place += 1;
        let bytes = line.bytes();
        if let Some(waiting) = self.waiting.get_mut(&line.trigger) {
            waiting.lines.push_back((place, line));
            waiting.bytes += bytes;
            self.bytes += bytes;
        }
        while self.bytes > MAX_UNSAVED_BYTES && self.drop_one() {
            self.dropped += 1;
        }
    }

    /// Drops the oldest line of the trigger that has most; whether there was one.
    fn drop_one(&mut self) -> bool {
        let most = self.waiting.values_mut().max_by_key(|of| of.bytes);
        let Some((of, (_, line))) = most.and_then(|of| of.lines.pop_front().map(|line| (of, line)))
        else {
            return false;
        };
        let bytes = line.bytes();
        of.bytes = of.bytes.saturating_sub(bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }

    /// Whether lines wait to be saved.
    pub(super) fn is_waiting(&self) -> bool {
        self.bytes > 0
    }

    /// The bytes of the lines that wait.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lines that were dropped for want of room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes what waits, to be saved.
    pub(super) fn take(&mut self) -> Option<Arc<Lines>> {
        if !self.is_waiting() || self.saving.is_some() {
            return None;
        }
        let lines = Lines {
            first: self.first,
            lines: self.take_waiting(),
        };
        self.first = lines.first + lines.lines.len() as u64;
        let lines = Arc::new(lines);
        self.saving = Some(Arc::clone(&lines));
        Some(lines)
    }

    fn take_waiting(&mut self) -> Vec<EngineLogLine> {
        self.bytes = 0;
        let waiting = mem::take(&mut self.waiting).into_values();
        let mut lines: Vec<_> = waiting.flat_map(|of| of.lines).collect();
        lines.sort_unstable_by_key(|(place, _)| *place);
        lines.into_iter().map(|(_, line)| line).collect()
    }

    /// Notes what became of what was taken.
    pub(super) fn settle(&mut self, is_saved: bool) {
        let Some(lines) = self.saving.take().filter(|_| !is_saved) else {
            return;
        };
        let later = self.take_waiting();
        let earlier = Arc::unwrap_or_clone(lines);
        self.first = earlier.first;
        for line in earlier.lines.into_iter().chain(later) {
            self.add(line);
        }
    }

    /// All lines that are not known to be saved.
    pub(super) fn all(&self) -> Lines {
        let saving = self.saving.as_deref();
        let mut waiting: Vec<_> = self.waiting.values().flat_map(|of| &of.lines).collect();
        waiting.sort_unstable_by_key(|(place, _)| *place);
        let waiting = waiting.into_iter().map(|(_, line)| line);
        let earlier = saving.into_iter().flat_map(|lines| &lines.lines);
        Lines {
            first: saving.map_or(self.first, |lines| lines.first),
            lines: earlier.chain(waiting).cloned().collect(),
        }
    }
}
