//! Ships the segments of a site, in the order of the site.
//!
//! ```text
//!   hold the segments ── ask for the position ── list settled segments ── ship them in parts ── record what is shipped
//!                             ▲                                                 │ any error
//!                             └─────────────────── wait ◄───────────────────────┘
//! ```
//!
//! The shipper relies on the position that the receiving cluster knows, and not on its own record, which only shows that one of both
//! is an older copy. After a crash or a cut connection it asks again, and the receiver answers when it is certain whether the last part
//! is stored.

use std::time::Duration;

use neap_bucket::{Stamp, StoreTime, World};
use neap_manifest::ShippingHold;

use super::{
    error::ShipError,
    part::{OutgoingContent, OutgoingPart, PartBuilder},
    position::SitePosition,
    retries::{MAX_FAILURES, Retries},
    source::{SettledSegments, SiteSource, SiteSourceError},
    target::{SiteClient, SiteIdentity, SiteTarget},
};

/// The shortest pause between two listings before the goal is reached.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// The longest one.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The number of errors in a row, each of which halves the size of parts: down to 16 KiB.
const MAX_HALVINGS: u32 = 8;

/// The settings of a shipper.
#[derive(Clone, Debug)]
pub struct ShipperSettings {
    /// The name of the site, and the database that it ships to.
    pub identity: SiteIdentity,
    /// Whether rows that were flushed before the first start are left out.
    pub skips_history: bool,
    /// The memory of the rows of a part, in bytes.
    pub part_bytes: usize,
    /// The pause between two listings.
    pub interval: Duration,
}

impl ShipperSettings {
    /// The default of `part_bytes`: 4 MiB, about 500 KiB when they are compressed.
    pub const PART_BYTES: usize = 4 << 20;

    /// Returns the text by which the hold knows the target. Its address may change.
    pub(crate) fn hold_target(&self) -> String {
        let SiteIdentity { database, site } = &self.identity;
        format!("{database} as {site}")
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
    /// The bytes of the rows, as they were sent.
    pub bytes: usize,
}

impl ShippedCounts {
    fn add(&mut self, part: &OutgoingPart) {
        self.parts += 1;
        match &part.content {
            OutgoingContent::Rows { body, rows, .. } => {
                self.rows += rows;
                self.bytes += body.len();
            }
            OutgoingContent::Deletes(deletes) => self.deletes += deletes.deletes.len(),
        }
    }
}

/// Ships the segments of a site.
#[derive(Debug)]
pub struct Shipper<'a> {
    source: &'a SiteSource,
    settings: &'a ShipperSettings,
    world: World,
}

/// The state of a shipper between two errors.
struct ShippingSession<'a> {
    client: SiteClient<'a>,
    hold: ShippingHold,
    /// The position up to which everything is shipped; empty before the first part.
    position: String,
    /// The stamp of the last part.
    stamp: Option<Stamp>,
    /// The memory of the rows of a part, in bytes. Parts are smaller after errors, because a body must arrive in a limited
    /// time, however slow the link is.
    part_bytes: usize,
    counts: &'a mut ShippedCounts,
}

impl<'a> Shipper<'a> {
    /// Creates a shipper.
    pub fn new(source: &'a SiteSource, settings: &'a ShipperSettings) -> Self {
        Self { source, settings, world: source.world().clone() }
    }

    /// Keeps the segments of the site from now on, and ships nothing.
    ///
    /// # Errors
    /// The site has rows from before, or another target.
    pub async fn hold(&self) -> Result<(), SiteSourceError> {
        let settings = self.settings;
        self.source
            .hold(&settings.hold_target(), settings.skips_history)
            .await
            .map(drop)
    }

    /// Ships everything that was acknowledged before this call, and counts it.
    ///
    /// # Errors
    /// The site can't be read, a part is refused, or the receiving cluster can't be reached for a while.
    pub async fn ship_all(
        &self,
        target: &dyn SiteTarget,
        counts: &mut ShippedCounts,
    ) -> Result<(), ShipError> {
        let goal = self.source.end_of_writes().await?;
        self.ship_until(target, Some(goal), counts).await
    }

    /// Ships everything, now and later, however long the receiving cluster can't be reached.
    ///
    /// # Errors
    /// A part is refused, or the segments are no longer there.
    pub async fn follow(
        &self,
        target: &dyn SiteTarget,
        counts: &mut ShippedCounts,
    ) -> Result<(), ShipError> {
        self.ship_until(target, None, counts).await
    }

    async fn ship_until(
        &self,
        target: &dyn SiteTarget,
        goal: Option<StoreTime>,
        counts: &mut ShippedCounts,
    ) -> Result<(), ShipError> {
        let mut retries = Retries::new(goal.map(|_| MAX_FAILURES));
        loop {
            let parts_before = counts.parts;
            let part_bytes = self.settings.part_bytes >> retries.failures().min(MAX_HALVINGS);
            let Err(error) = self.ship_session(target, goal, part_bytes, counts).await else {
                return Ok(());
            };
            let has_progressed = counts.parts > parts_before;
            retries.wait_after(error, has_progressed, &self.world).await?;
        }
    }

    /// Ships until the goal is reached, or until an error.
    async fn ship_session(
        &self,
        target: &dyn SiteTarget,
        goal: Option<StoreTime>,
        part_bytes: usize,
        counts: &mut ShippedCounts,
    ) -> Result<(), ShipError> {
        let settings = self.settings;
        let hold = self.source.hold(&settings.hold_target(), settings.skips_history).await?;
        let client = SiteClient { target, identity: &settings.identity, source: hold.source };
        let position = client.position().await?;
        self.check_position(&position, &hold).await?;
        let mut session =
            ShippingSession { client, hold, position, stamp: None, part_bytes, counts };
        self.ship_listings(&mut session, goal).await
    }

    /// Checks that the position of the receiving cluster is one of this site: the recorded one, or a later one, whose segment is
    /// kept. A copy of the site would leave out rows of the other one.
    async fn check_position(&self, position: &str, hold: &ShippingHold) -> Result<(), ShipError> {
        let (current, recorded) = (parse(position)?, parse(&hold.position)?);
        if current < recorded {
            return Err(ShipError::EarlierPosition);
        }
        let is_known = match current.filter(|_| current != recorded) {
            Some(later) => self.source.has_segment(later.segment).await?,
            None => true,
        };
        if is_known {
            Ok(())
        } else {
            Err(ShipError::UnknownPosition(position.to_owned()))
        }
    }

    /// Lists and ships until the goal is reached, or until an error.
    async fn ship_listings(
        &self,
        session: &mut ShippingSession<'_>,
        goal: Option<StoreTime>,
    ) -> Result<(), ShipError> {
        loop {
            let above = session.hold.shipped;
            let settled = self.source.settled_segments(above).await?;
            self.ship_settled(session, &settled).await?;
            session.part_bytes = session.part_bytes.saturating_mul(2).min(self.settings.part_bytes);
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
            Some(goal) => goal.since(upto.time()).clamp(MIN_PAUSE, MAX_PAUSE),
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
            session.part_bytes,
            position,
        );
        for name in &settled.names {
            if position.is_some_and(|position| *name < position.segment) {
                continue;
            }
            let Some(segment) = settled.read(self.source, *name).await? else {
                continue;
            };
            while !builder.has_passed(&segment) {
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

    async fn ship(
        &self,
        session: &mut ShippingSession<'_>,
        part: &OutgoingPart,
    ) -> Result<(), ShipError> {
        let shipped = session.client.ship(&session.position, part, session.stamp).await?;
        session.position = part.to.to_string();
        session.stamp = shipped.max(session.stamp);
        session.counts.add(part);
        Ok(())
    }
}

/// Parses a position; `None` before the first part.
fn parse(position: &str) -> Result<Option<SitePosition>, ShipError> {
    if position.is_empty() {
        return Ok(None);
    }
    match position.parse() {
        Ok(parsed) => Ok(Some(parsed)),
        Err(_) => Err(ShipError::UnknownPosition(position.to_owned())),
    }
}
