//! The end of the tasks that a stop waits for, after the requests in progress and before the last flush.

use std::time::Duration;

use futures::future::OptionFuture;
use neap_bucket::World;
use tokio::task::JoinHandle;

/// Maximum time for a running evaluation of rules to end.
const RULE_STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum time for plugins to end, and for their last input to be saved.
const PLUGIN_STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// Waits for plugins and rules at the same time, because supervisors kill a process that needs more than 60 seconds.
pub(super) async fn join_tasks(
    plugins: Option<JoinHandle<()>>,
    rules: Option<JoinHandle<()>>,
    world: &World,
) {
    let (plugins_ended, rules_ended) = tokio::join!(
        world.timeout(PLUGIN_STOP_TIMEOUT, OptionFuture::from(plugins)),
        world.timeout(RULE_STOP_TIMEOUT, OptionFuture::from(rules)),
    );
    if plugins_ended.is_none() {
        tracing::warn!("plugins did not end in time");
    }
    if rules_ended.is_none() {
        tracing::warn!("rules did not end in time; another process goes on after their claim");
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Arc};

    use neap_bucket::PausedClock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rules_that_do_not_end_take_no_time_beside_plugins_that_do_not_end() {
        let world = World::seeded(Arc::new(PausedClock::new(0)), 1);
        let endless = || Some(tokio::spawn(pending::<()>()));
        let joined = join_tasks(endless(), endless(), &world);
        let limit = PLUGIN_STOP_TIMEOUT + RULE_STOP_TIMEOUT / 2;
        assert!(world.timeout(limit, joined).await.is_some());
    }
}
