//! Ships the parts of a folder to the receiving cluster.

use neap_bucket::World;

use super::{
    error::ShipError,
    part_folder::{PartFolder, Receipt},
    retries::{MAX_FAILURES, Retries},
    shipper::{ShippedCounts, parse},
    target::{SiteClient, SiteTarget},
};

/// Ships the parts of a folder that the receiving cluster does not have yet, and counts them. Returns the receipt; `None` if the
/// folder has no parts.
///
/// # Errors
/// The folder lacks a part or is damaged, a part is refused, or the receiving cluster can't be reached for a while.
pub async fn ship_folder(
    folder: &PartFolder,
    target: &dyn SiteTarget,
    world: &World,
    counts: &mut ShippedCounts,
) -> Result<Option<Receipt>, ShipError> {
    let Some((identity, source)) = folder.site() else {
        return Ok(None);
    };
    let client = SiteClient {
        target,
        identity,
        source,
    };
    let mut retries = Retries::new(Some(MAX_FAILURES));
    loop {
        let parts_before = counts.parts;
        let error = match ship_missing(folder, &client, counts).await {
            Ok(position) => return Ok(Some(Receipt { source, position })),
            Err(error) => error,
        };
        let has_progressed = counts.parts > parts_before;
        retries.wait_after(error, has_progressed, world).await?;
    }
}

/// Ships the parts that the receiving cluster does not have yet. Returns its position.
async fn ship_missing(
    folder: &PartFolder,
    client: &SiteClient<'_>,
    counts: &mut ShippedCounts,
) -> Result<String, ShipError> {
    let mut position = client.position().await?;
    let mut stamp = None;
    for index in 0..folder.len() {
        let Some((from, to)) = folder.positions(index) else {
            break;
        };
        if parse(to)? <= parse(&position)? {
            continue;
        }
        if from != position {
            return Err(ShipError::Gap(position));
        }
        let part = folder.read(index)?;
        stamp = client.ship(from, &part, stamp).await?.max(stamp);
        counts.add(&part);
        to.clone_into(&mut position);
    }
    Ok(position)
}
