//! Disagreement of the clocks, for `/ready`.

use neap_bucket::{Bucket, Stamp};

use super::readiness::{ConditionSource, ReadinessCondition};

/// Reports that the clocks of the store and of this machine disagree.
#[derive(Debug)]
pub(super) struct ClockCondition(pub(super) Bucket);

impl ConditionSource for ClockCondition {
    fn conditions(&self) -> Vec<ReadinessCondition> {
        let doubt = self.0.removal_time(Stamp::ZERO).err();
        let condition = doubt.map(|doubt| ReadinessCondition {
            name: "clock",
            text: format!("nothing expires and nothing is deleted: {doubt}"),
        });
        condition.into_iter().collect()
    }
}
