//! The unsaved lines of a database, including those of a save in flight.
//!
//! When the buffer is full, the oldest line of the trigger with the most bytes is dropped. A plugin that logs
//! continuously therefore loses its own lines and not those of others.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
};

use super::log_line::EngineLogLine;

/// Maximum bytes of lines of a database that wait to be saved.
pub(super) const MAX_UNSAVED_BYTES: usize = 2 << 20;

/// Consecutively numbered lines.
#[derive(Clone, Debug, Default)]
pub(super) struct LogLineBatch {
    /// The number of the first line.
    pub(super) first: u64,
    pub(super) lines: Vec<EngineLogLine>,
}

/// The waiting lines of a trigger, each with its position among the lines of all triggers.
#[derive(Debug, Default)]
struct TriggerQueue {
    lines: VecDeque<(u64, EngineLogLine)>,
    bytes: usize,
}

/// The unsaved lines of a database, including those of a save in flight.
#[derive(Debug, Default)]
pub(super) struct UnsavedLines {
    /// The lines of the save in flight, which are older than the waiting ones.
    saving: Option<Arc<LogLineBatch>>,
    /// The waiting lines, by trigger.
    waiting: BTreeMap<String, TriggerQueue>,
    bytes: usize,
    /// The position of the next line.
    next_place: u64,
    /// The number that the first waiting line gets in the next save.
    first: u64,
    /// Number of lines dropped because the buffer was full.
    dropped: u64,
}

impl UnsavedLines {
    pub(super) fn add(&mut self, line: EngineLogLine) {
        if !self.waiting.contains_key(&line.trigger) {
            let trigger = line.trigger.clone();
            self.waiting.insert(trigger, TriggerQueue::default());
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

    /// Drops the oldest line of the trigger with the most bytes. Returns false if there is no line.
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

    /// Returns whether lines wait to be saved.
    pub(super) fn is_waiting(&self) -> bool {
        self.bytes > 0
    }

    /// Returns the bytes of the waiting lines.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of lines dropped because the buffer was full.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes the waiting lines for a save. Returns `None` without waiting lines or with a save in flight.
    pub(super) fn take(&mut self) -> Option<Arc<LogLineBatch>> {
        if !self.is_waiting() || self.saving.is_some() {
            return None;
        }
        let lines = LogLineBatch { first: self.first, lines: self.take_waiting() };
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

    /// Ends a save. If it failed, its lines wait again.
    pub(super) fn finish_save(&mut self, is_saved: bool) {
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

    /// Returns all unsaved lines, including those of a save in flight.
    pub(super) fn all(&self) -> LogLineBatch {
        let saving = self.saving.as_deref();
        let mut waiting: Vec<_> = self.waiting.values().flat_map(|of| &of.lines).collect();
        waiting.sort_unstable_by_key(|(place, _)| *place);
        let waiting = waiting.into_iter().map(|(_, line)| line);
        let earlier = saving.into_iter().flat_map(|lines| &lines.lines);
        LogLineBatch {
            first: saving.map_or(self.first, |lines| lines.first),
            lines: earlier.chain(waiting).cloned().collect(),
        }
    }
}
