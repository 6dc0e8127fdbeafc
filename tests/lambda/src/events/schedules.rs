//! Recurring events, as EventBridge Scheduler sends them: the input is the whole event.

use std::sync::Arc;

use crate::{
    configuration::{ScheduleSettings, seconds},
    runtime::LocalFunction,
    world,
};

/// Sends the events of a schedule forever. An event that takes longer than the interval does not delay the next one.
pub async fn run(schedule: ScheduleSettings, function: Arc<LocalFunction>) {
    let input = schedule.input.to_string();
    loop {
        world::sleep(seconds(schedule.every_seconds)).await;
        let (function, input) = (Arc::clone(&function), input.clone());
        tokio::spawn(async move { function.invoke_event(input.into()).await });
    }
}
