//! Parts that travel as files.

use std::{path::Path, sync::Arc};

use neap_bucket::World;
use tempfile::TempDir;

use super::test_bed::{Side, shipper_settings};
use crate::{PartFolder, Receipt, ShipError, ShippedCounts, Shipper, ship_folder};

async fn export(site: &Side, folder: &Path) -> ShippedCounts {
    let source = site.source().await;
    let settings = shipper_settings();
    let mut counts = ShippedCounts::default();
    let mut parts = PartFolder::create(folder).unwrap();
    Shipper::new(&source, &settings)
        .export_all(&mut parts, &mut counts)
        .await
        .unwrap();
    counts
}

/// Imports a folder, while the receiving cluster flushes.
async fn import(
    central: &mut Side,
    folder: &Path,
) -> Result<(ShippedCounts, Option<Receipt>), ShipError> {
    let parts = PartFolder::open(folder).unwrap();
    let target = central.target();
    let world = World::seeded(Arc::clone(&central.clock), 9);
    let mut counts = ShippedCounts::default();
    let receipt = tokio::select! {
        receipt = ship_folder(&parts, &target, &world, &mut counts) => receipt?,
        () = central.flush_for_ever() => unreachable!("it does not end"),
    };
    central.flush().await;
    Ok((counts, receipt))
}

#[tokio::test(start_paused = true)]
async fn a_folder_is_imported_once_and_its_receipt_ends_the_hold_of_its_segments() {
    let (site, mut central) = Side::pair().await;
    let folder = TempDir::new().unwrap();
    site.write("m,host=a value=1 1\nm,host=b value=2 2").await;
    assert_eq!(export(&site, folder.path()).await.rows, 2);
    // The folder goes on where it was.
    site.write("m,host=a value=3 1").await;
    assert_eq!(export(&site, folder.path()).await.rows, 1);
    let (counts, receipt) = import(&mut central, folder.path()).await.unwrap();
    assert_eq!((counts.parts, counts.rows), (2, 3));
    assert_eq!(
        central.contents().await,
        site.contents_as_site("plant-1").await
    );
    let (counts, again) = import(&mut central, folder.path()).await.unwrap();
    assert_eq!((counts.rows, &again), (0, &receipt));
    receipt.unwrap().write(folder.path()).unwrap();
    let receipt = Receipt::read(folder.path()).unwrap();
    site.source().await.confirm(&receipt).await.unwrap();
    // The next export begins after the confirmed rows.
    let next = TempDir::new().unwrap();
    site.write("m,host=c value=4 4").await;
    assert_eq!(export(&site, next.path()).await.rows, 1);
}

#[tokio::test(start_paused = true)]
async fn an_export_without_the_receipt_of_an_earlier_one_contains_it() {
    let (site, mut central) = Side::pair().await;
    let [first, second] = [(); 2].map(|()| TempDir::new().unwrap());
    site.write("m,host=a value=1 1").await;
    export(&site, first.path()).await;
    site.write("m,host=b value=2 2").await;
    assert_eq!(export(&site, second.path()).await.rows, 2);
    import(&mut central, first.path()).await.unwrap();
    let (counts, _) = import(&mut central, second.path()).await.unwrap();
    assert_eq!(counts.rows, 1);
    assert_eq!(
        central.contents().await,
        site.contents_as_site("plant-1").await
    );
    // The first folder again changes nothing.
    let (counts, _) = import(&mut central, first.path()).await.unwrap();
    assert_eq!(counts.rows, 0);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_part_and_a_folder_of_another_site_are_refused() {
    let (site, mut central) = Side::pair().await;
    let folder = TempDir::new().unwrap();
    site.write("m,host=a value=1 1").await;
    export(&site, folder.path()).await;
    let path = folder.path().join("00000001.part");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let refused = import(&mut central, folder.path()).await;
    assert!(matches!(refused, Err(ShipError::Folder(_))), "{refused:?}");
    // The other one, because sides with the same seed draw the same ids.
    let (_, other) = Side::pair().await;
    other.write("m,host=a value=1 1").await;
    let source = other.source().await;
    let settings = shipper_settings();
    let mut parts = PartFolder::open(folder.path()).unwrap();
    let mut counts = ShippedCounts::default();
    let exported = Shipper::new(&source, &settings).export_all(&mut parts, &mut counts).await;
    assert!(exported.is_err());
}
