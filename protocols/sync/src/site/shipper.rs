//! Ships the segments of a site, in the order of the site.
//!
//! ```text
//!   hold the segments ── ask for the position ── list settled segments ── ship them in parts ── record what is shipped
//!                             ▲                                                 │ any error
//!                             └─────────────────── wait ◄───────────────────────┘
//! ```
//!
//! The shipper keeps nothing: what is shipped is the position that the receiving cluster knows. After a crash or a cut
//! connection it asks again, and the receiver answers when it is certain whether the last part is stored.

use std::time::Duration;

use neap_bucket::{Stamp, StoreTime, World};
use neap_manifest::ShippingHold;

use super::{
    part::{Part, PartBuilder, PartError, PartRows},
    position::SitePosition,
    source::{SettledSegments, SiteSource, SiteSourceError},
    target::{SiteClient, SiteIdentity, SiteTarget, SiteTargetError},
};

/// The pauses after errors, and between two listings if nothing was to be shipped.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Maximum number of errors in a row after which [`Shipper::ship_all`] gives up: with the pauses, about a quarter of an hour.
const MAX_FAILURES: usize = 20;

/// The settings of a shipper.
#[derive(Clone, Debug)]
pub struct ShipperSettings {
    /// The name of the site, and the database that it ships to.
    pub identity: SiteIdentity,
    /// Whether rows that were flushed before the first start are left out.
    pub skips_history: bool,
    /// The memory of the rows of a part, in bytes.
    pub part_bytes: usize,
    /// Maximum bytes that are sent in a second; `None`: no limit.
    pub bytes_per_second: Option<u64>,
    /// The pause between two listings.
    pub interval: Duration,
}

impl ShipperSettings {
    /// The default of `part_bytes`: 8 MiB, about 1 MiB when they are compressed.
    pub const PART_BYTES: usize = 8 << 20;

    /// Returns the text by which the hold knows the target. Its address may change.
    pub(crate) fn held_for(&self) -> String {
        let SiteIdentity {
            database,
            site,
            tag,
        } = &self.identity;
        format!("{database} with {tag}={site}")
    }
}

/// The numbers of shipped parts and rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShippedCounts {
    /// The parts.
    pub parts: usize,
    /// The rows. Versions of a point count separately.
    pub rows: usize,
    /// The row deletes.
    pub deletes: usize,
    /// The sent bytes.
    pub bytes: u64,
}

/// The reason why shipping stops.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// The site can't be read.
    #[error(transparent)]
    Source(#[from] SiteSourceError),
    /// Rows can't be read.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The receiving cluster does not answer, or refuses a part.
    #[error("{0}")]
    Target(#[from] SiteTargetError),
    /// The receiving cluster has another position than a site can have.
    #[error("the receiving cluster has an unknown position of the site: '{0}'")]
    Position(String),
    /// The receiving cluster has forgotten rows of the site, as one that is restored from an older copy.
    #[error(
        "the receiving cluster is at an earlier position than before, and the rows in between are no longer kept for it here"
    )]
    Forgotten,
}

impl ShipError {
    /// Returns whether the error may pass by itself.
    fn passes(&self) -> bool {
        match self {
            Self::Target(error) => matches!(error, SiteTargetError::Temporary { .. }),
            Self::Source(error) => !matches!(
                error,
                SiteSourceError::Refused(_) | SiteSourceError::Gone(_)
            ),
            Self::Part(_) | Self::Position(_) | Self::Forgotten => false,
        }
    }

    /// Returns the time that the receiving cluster asks to wait.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Target(SiteTargetError::Temporary { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }
}

/// Ships the segments of a site.
#[derive(Debug)]
pub struct Shipper<'a> {
    source: &'a SiteSource,
    target: &'a dyn SiteTarget,
    settings: &'a ShipperSettings,
    world: World,
}

/// The state of a shipper between two errors.
struct ShippingSession<'a> {
    client: SiteClient<'a>,
    hold: ShippingHold,
    /// The position that the receiving cluster has; empty before the first part.
    position: String,
    /// The stamp of the last part.
    stamp: Option<Stamp>,
    counts: &'a mut ShippedCounts,
}

impl<'a> Shipper<'a> {
    /// Creates a shipper.
    pub fn new(
        source: &'a SiteSource,
        target: &'a dyn SiteTarget,
        settings: &'a ShipperSettings,
    ) -> Self {
        Self {
            source,
            target,
            settings,
            world: source.world().clone(),
        }
    }

    /// Ships everything that was acknowledged before this call, and counts it.
    ///
    /// # Errors
    /// The site can't be read, a part is refused, or the receiving cluster can't be reached for a while.
    pub async fn ship_all(&self, counts: &mut ShippedCounts) -> Result<(), ShipError> {
        let goal = self.source.end_of_writes().await?;
        self.ship_until(Some(goal), counts).await
    }

    /// Ships everything, now and later, however long the receiving cluster can't be reached.
    ///
    /// # Errors
    /// A part is refused, or the segments are no longer there.
    pub async fn follow(&self, counts: &mut ShippedCounts) -> Result<(), ShipError> {
        self.ship_until(None, counts).await
    }

    async fn ship_until(
        &self,
        goal: Option<StoreTime>,
        counts: &mut ShippedCounts,
    ) -> Result<(), ShipError> {
        let mut pause = FIRST_PAUSE;
        let mut failures = 0;
        loop {
            let parts_before = counts.parts;
            let error = match self.ship_session(goal, counts).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if counts.parts > parts_before {
                (pause, failures) = (FIRST_PAUSE, 0);
            }
            failures += 1;
            if !error.passes() || goal.is_some() && failures >= MAX_FAILURES {
                return Err(error);
            }
            tracing::warn!(%error, "shipping is interrupted");
            let wait = error.retry_after().unwrap_or(pause).min(MAX_PAUSE);
            self.world.clock.sleep(wait + self.world.entropy.below(FIRST_PAUSE)).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Ships until the goal is reached, or until an error.
    async fn ship_session(
        &self,
        goal: Option<StoreTime>,
        counts: &mut ShippedCounts,
    ) -> Result<(), ShipError> {
        let settings = self.settings;
        let hold = self.source.hold(&settings.held_for(), settings.skips_history).await?;
        let client = SiteClient {
            target: self.target,
            identity: &settings.identity,
            source: hold.source,
        };
        let position = client.position().await?;
        if parse(&position)? < parse(&hold.position)? {
            return Err(ShipError::Forgotten);
        }
        let mut session = ShippingSession {
            client,
            hold,
            position,
            stamp: None,
            counts,
        };
        loop {
            let above = session.hold.shipped;
            let settled = self.source.settled_segments(above).await?;
            self.ship_settled(&mut session, &settled).await?;
            // Before the first part, the receiving cluster does not know the site.
            if !session.position.is_empty() && !settled.names.is_empty() {
                let (source, position) = (session.hold.source, &session.position);
                self.source.record_shipped(source, settled.upto, position).await?;
            }
            session.hold.shipped = settled.upto;
            if goal.is_some_and(|goal| settled.upto.time() >= goal) {
                return Ok(());
            }
            if settled.names.is_empty() {
                self.world.clock.sleep(self.pause(goal, settled.upto)).await;
            }
        }
    }

    /// Returns the time until the next listing.
    fn pause(&self, goal: Option<StoreTime>, upto: Stamp) -> Duration {
        match goal {
            Some(goal) => goal.since(upto.time()).clamp(FIRST_PAUSE, MAX_PAUSE),
            None => self.settings.interval,
        }
    }

    async fn ship_settled(
        &self,
        session: &mut ShippingSession<'_>,
        settled: &SettledSegments,
    ) -> Result<(), ShipError> {
        let position = parse(&session.position)?;
        let mut builder = PartBuilder::new(
            &settled.catalog.value,
            &settled.manifest.value,
            self.settings.part_bytes,
            position,
        );
        for name in &settled.names {
            if position.is_some_and(|position| *name < position.segment) {
                continue;
            }
            let Some(segment) = settled.read(self.source, *name).await? else {
                continue;
            };
            while !builder.is_behind(&segment) {
                if let Some(part) = builder.add(&segment)? {
                    self.ship(session, &part).await?;
                }
            }
        }
        if let Some(part) = builder.finish() {
            self.ship(session, &part).await?;
        }
        Ok(())
    }

    async fn ship(&self, session: &mut ShippingSession<'_>, part: &Part) -> Result<(), ShipError> {
        let shipped = session.client.ship(&session.position, part, session.stamp).await?;
        session.position = part.to.to_string();
        session.stamp = shipped.max(session.stamp);
        let counts = &mut session.counts;
        counts.parts += 1;
        let bytes = match &part.rows {
            PartRows::Rows { body, rows, .. } => {
                counts.rows += rows;
                u64::try_from(body.len()).unwrap_or(u64::MAX)
            }
            PartRows::Deletes(deletes) => {
                counts.deletes += deletes.deletes.len();
                0
            }
        };
        counts.bytes = counts.bytes.saturating_add(bytes);
        if let Some(limit) = self.settings.bytes_per_second {
            let millis = bytes.saturating_mul(1_000) / limit.max(1);
            self.world.clock.sleep(Duration::from_millis(millis)).await;
        }
        Ok(())
    }
}

fn parse(position: &str) -> Result<Option<SitePosition>, ShipError> {
    if position.is_empty() {
        return Ok(None);
    }
    match position.parse() {
        Ok(parsed) => Ok(Some(parsed)),
        Err(_) => Err(ShipError::Position(position.to_owned())),
    }
}
