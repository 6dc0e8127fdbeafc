//! Sets of steps.

#[derive(Clone, Debug, Default)]
pub(crate) struct StepSet(Vec<u64>);

/// Returns the word and the bit of a step.
fn position(step: usize) -> (usize, u64) {
    (step / 64, 1 << (step % 64))
}

impl StepSet {
    /// Creates an empty set for a number of steps.
    pub(crate) fn new(steps: usize) -> Self {
        Self(vec![0; steps.div_ceil(64)])
    }

    /// Adds a step. Returns whether the set did not contain it.
    pub(crate) fn insert(&mut self, step: usize) -> bool {
        let (word, bit) = position(step);
        let Some(word) = self.0.get_mut(word) else {
            return false;
        };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    pub(crate) fn contains(&self, step: usize) -> bool {
        let (word, bit) = position(step);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Returns the bytes of a set for a number of steps.
    pub(crate) fn memory_size(steps: usize) -> usize {
        steps.div_ceil(64) * size_of::<u64>() + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_inserted_once() {
        let mut steps = StepSet::new(65);
        assert!(steps.insert(64));
        assert!(!steps.insert(64));
        assert!(steps.contains(64));
        assert!(!steps.contains(0));
        assert!(!steps.insert(200));
    }
}
