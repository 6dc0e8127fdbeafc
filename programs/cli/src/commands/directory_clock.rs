//! `neap fsck --clock`: shows the time of a directory, and sets it back if a wrong clock has put it ahead.

use std::{fmt, path::Path};

use chrono::{DateTime, SecondsFormat};
use neap_bucket::{DirectoryTime, MAX_CLOCK_DIFFERENCE, StoreConfig, StoreTime, World};
use neap_fsck::{Fsck, WritesAhead};
use neap_server::{
    console::Console,
    stores::{Stores, data_directory},
};
use serde::Serialize;

use super::{CommandError, CommandResult};

/// The time of a directory compared with the clock of this machine.
#[derive(Debug, Serialize)]
struct ClockReport {
    /// The newest time that a process issued, in microseconds since the Unix epoch.
    directory: StoreTime,
    machine: StoreTime,
    /// The number of processes that have the directory open.
    processes: usize,
    /// Databases with writes that are ahead of this machine's clock.
    writes_ahead: Vec<WritesAhead>,
    /// Whether the directory's time was set to that of this machine.
    repaired: bool,
}

impl ClockReport {
    fn is_ahead(&self) -> bool {
        self.directory.since(self.machine) > MAX_CLOCK_DIFFERENCE
    }
}

impl fmt::Display for ClockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (directory, machine) = (time(self.directory), time(self.machine));
        writeln!(f, "time of the directory: {directory}")?;
        writeln!(f, "time of this machine:  {machine}")?;
        if !self.is_ahead() {
            return write!(f, "The directory's time needs no repair.");
        }
        let seconds = self.directory.since(self.machine).as_secs();
        writeln!(
            f,
            "The directory's time is {seconds} s ahead: flushes are blocked, nothing expires and nothing is deleted."
        )?;
        for ahead in &self.writes_ahead {
            let name = &ahead.database;
            if let Some(mark) = ahead.mark {
                let mark = time(mark);
                writeln!(
                    f,
                    "database {name:?}: refuses writes until {mark}, the time of its last flush"
                )?;
            }
            if let Some(newest) = ahead.newest {
                let newest = time(newest);
                writeln!(
                    f,
                    "database {name:?}: has writes of up to {newest}; until then they win over later writes of the same \
                     points, and stay in the tail"
                )?;
            }
        }
        if self.repaired {
            return write!(f, "The directory's time is now that of this machine.");
        }
        write!(
            f,
            "If this machine's clock is right, --repair sets the directory's time to it. First stop the processes that \
             have the directory open: {} now.",
            self.processes
        )
    }
}

fn time(time: StoreTime) -> String {
    let time = DateTime::from_timestamp_micros(time.micros()).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Shows the time of a directory, and with `repair` sets it to that of this machine if it is ahead.
///
/// # Errors
///
/// The store is no directory, can't be read, or is open in another process.
pub(super) async fn run(
    config: &StoreConfig,
    repair: bool,
    is_json: bool,
    console: &mut Console,
    world: &World,
) -> CommandResult {
    let root = data_directory(config).ok_or(CommandError::NoDirectory)?;
    let mut report = inspect(config, &root, world).await?;
    if repair && report.is_ahead() {
        DirectoryTime::set(&root, report.machine).map_err(CommandError::DirectoryTime)?;
        report.repaired = true;
    }
    let text = if is_json {
        serde_json::to_string_pretty(&report).map_err(|error| CommandError::Output(error.into()))?
    } else {
        report.to_string()
    };
    console.print(text).map_err(CommandError::Output)
}

async fn inspect(config: &StoreConfig, root: &Path, world: &World) -> CommandResult<ClockReport> {
    // Before this process opens the directory.
    let found = DirectoryTime::read(root).map_err(CommandError::DirectoryTime)?;
    let machine = StoreTime::from_micros(world.clock.wall_micros());
    let mut report = ClockReport {
        directory: found.newest.unwrap_or_default(),
        machine,
        processes: found.processes,
        writes_ahead: Vec::new(),
        repaired: false,
    };
    if report.is_ahead() {
        let stores = Stores::open(config, world)?;
        report.writes_ahead = Fsck::new(stores.bucket).writes_ahead(machine).await?;
    }
    Ok(report)
}
