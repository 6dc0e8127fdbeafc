//! A site and a receiving cluster in memory. Processes and connections stop anywhere, and both sides end equal.

mod interruptions;
mod test_bed;

use async_trait::async_trait;
use neap_bucket::Key;
use neap_row_delete::Condition;
use test_bed::{RouterTarget, SECOND, Side, shipper_settings};

use crate::{
    ShipError, ShippedCounts, Shipper, SiteAnswer, SiteRequest, SiteSourceError, SiteTarget,
    SiteTargetError,
};

/// A link over which no large body arrives in time.
#[derive(Debug)]
struct SlowLink {
    target: RouterTarget,
    max_bytes: usize,
}

#[async_trait]
impl SiteTarget for SlowLink {
    async fn send(&self, request: SiteRequest) -> Result<SiteAnswer, SiteTargetError> {
        if request.body.len() > self.max_bytes {
            return Err(SiteTargetError::Temporary {
                message: "the body does not arrive in time".to_owned(),
                retry_after: None,
            });
        }
        self.target.send(request).await
    }
}

#[tokio::test(start_paused = true)]
async fn rows_and_deletes_are_shipped_in_order_with_the_name_of_the_site() {
    let (site, mut central) = Side::pair().await;
    site.write("m,host=a value=1 1\nm,host=b value=2 2").await;
    site.delete(Condition::between(2 * SECOND, 2 * SECOND)).await;
    site.write("m,host=b value=3 2").await;
    let source = site.source().await;
    let target = central.target();
    let settings = shipper_settings();
    let mut counts = ShippedCounts::default();
    let shipper = Shipper::new(&source, &settings);
    shipper.ship_all(&target, &mut counts).await.unwrap();
    assert_eq!((counts.rows, counts.deletes), (3, 1));
    central.flush().await;
    let shipped = central.contents().await;
    assert_eq!(shipped, site.contents_as_site("plant-1").await);
    assert_eq!(shipped.len(), 2);
    // Nothing is shipped twice, whatever asks for it.
    shipper.ship_all(&target, &mut counts).await.unwrap();
    assert_eq!(counts.rows, 3);
}

#[tokio::test(start_paused = true)]
async fn deletes_of_a_site_leave_the_rows_of_others() {
    let (site, mut central) = Side::pair().await;
    central.write("m,host=a,site=other value=1 1\nm,host=a value=2 1").await;
    site.write("m,host=a value=3 1").await;
    site.delete(Condition::EVERYTHING).await;
    let source = site.source().await;
    let (target, settings) = (central.target(), shipper_settings());
    let mut counts = ShippedCounts::default();
    Shipper::new(&source, &settings).ship_all(&target, &mut counts).await.unwrap();
    central.flush().await;
    let left = central.contents().await;
    let sites: Vec<_> = left.keys().map(|key| key.site.as_deref()).collect();
    assert_eq!(sites, [None, Some("other")]);
}

#[tokio::test(start_paused = true)]
async fn a_delete_in_a_table_that_never_arrived_is_shipped_once() {
    let (mut site, mut central) = Side::pair().await;
    site.write("m,host=a value=1 1").await;
    site.flush().await;
    let source = site.source().await;
    let target = central.target();
    let mut settings = shipper_settings();
    settings.skips_history = true;
    source.hold(&settings.hold_target(), true).await.unwrap();
    site.delete(Condition::EVERYTHING).await;
    let mut counts = ShippedCounts::default();
    let shipper = Shipper::new(&source, &settings);
    shipper.ship_all(&target, &mut counts).await.unwrap();
    assert_eq!((counts.parts, counts.deletes), (1, 1));
    // The mark proves that the manifest never gets the number of the part.
    central.sleep(60).await;
    central.write("m,host=b value=2 2").await;
    central.flush().await;
    shipper.ship_all(&target, &mut counts).await.unwrap();
    assert_eq!(counts.parts, 1);
    assert_eq!(central.contents().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn segments_are_kept_until_they_are_shipped() {
    let (mut site, central) = Side::pair().await;
    let source = site.source().await;
    let settings = shipper_settings();
    Shipper::new(&source, &settings).hold().await.unwrap();
    site.write("m,host=a value=1 1").await;
    site.flush().await;
    site.collect_garbage().await;
    assert_eq!(site.keys(Key::TAIL_PREFIX).await.len(), 1);
    let mut counts = ShippedCounts::default();
    let target = central.target();
    Shipper::new(&source, &settings).ship_all(&target, &mut counts).await.unwrap();
    assert_eq!(counts.rows, 1);
    site.collect_garbage().await;
    assert!(site.keys(Key::TAIL_PREFIX).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn rows_from_before_are_not_left_out_unless_that_is_requested() {
    let (mut site, central) = Side::pair().await;
    site.write("m,host=a value=1 1").await;
    site.flush().await;
    let source = site.source().await;
    let target = central.target();
    let mut settings = shipper_settings();
    let mut counts = ShippedCounts::default();
    let refused = Shipper::new(&source, &settings).ship_all(&target, &mut counts).await;
    assert!(
        matches!(refused, Err(ShipError::Source(SiteSourceError::Refused(_)))),
        "{refused:?}"
    );
    settings.skips_history = true;
    site.write("m,host=a value=2 2").await;
    Shipper::new(&source, &settings).ship_all(&target, &mut counts).await.unwrap();
    assert_eq!(counts.rows, 1);
    source.release().await.unwrap();
    assert!(source.release().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_site_does_not_go_on_where_the_other_one_is() {
    let (site, mut central) = Side::pair().await;
    let (_, copy) = Side::pair().await;
    let settings = shipper_settings();
    let target = central.target();
    let source = site.source().await;
    let hold = source.hold(&settings.hold_target(), false).await.unwrap();
    copy.set_hold(hold).await;
    let mut counts = ShippedCounts::default();
    site.write("m,host=a value=1 1").await;
    Shipper::new(&source, &settings).ship_all(&target, &mut counts).await.unwrap();
    central.flush().await;
    copy.write("m,host=b value=2 2").await;
    let other = copy.source().await;
    let refused = Shipper::new(&other, &settings).ship_all(&target, &mut counts).await;
    assert!(matches!(refused, Err(ShipError::UnknownPosition(_))), "{refused:?}");
    assert_eq!(counts.rows, 1);
}

#[tokio::test(start_paused = true)]
async fn large_segments_are_shipped_in_parts() {
    let (site, mut central) = Side::pair().await;
    let text = "x".repeat(1_000);
    let lines: Vec<_> = (0..500)
        .map(|row| format!("m,host=h{row} value={row},note=\"{text}\" {row}"))
        .collect();
    site.write(&lines.join("\n")).await;
    let source = site.source().await;
    let target = central.target();
    let mut settings = shipper_settings();
    settings.part_bytes = 100 << 10;
    let mut counts = ShippedCounts::default();
    Shipper::new(&source, &settings).ship_all(&target, &mut counts).await.unwrap();
    assert_eq!(counts.rows, 500);
    assert!(counts.parts > 5, "{counts:?}");
    central.flush().await;
    assert_eq!(central.contents().await.len(), 500);
}

#[tokio::test(start_paused = true)]
async fn parts_become_smaller_until_they_arrive_over_a_slow_link() {
    let (site, mut central) = Side::pair().await;
    // Texts that do not compress well.
    let digits = |row: u64, index: u64| (row * 20 + index).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let text = |row| -> String { (0..20).map(|at| format!("{:016x}", digits(row, at))).collect() };
    let lines: Vec<_> = (0..500)
        .map(|row| format!("m,host=h{row} value={row},note=\"{}\" {row}", text(row)))
        .collect();
    site.write(&lines.join("\n")).await;
    let source = site.source().await;
    let target = SlowLink { target: central.target(), max_bytes: 20_000 };
    let settings = shipper_settings();
    let mut counts = ShippedCounts::default();
    Shipper::new(&source, &settings).ship_all(&target, &mut counts).await.unwrap();
    assert_eq!(counts.rows, 500);
    assert!(counts.parts > 4, "{counts:?}");
    central.flush().await;
    assert_eq!(central.contents().await.len(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_row_with_the_tag_of_the_site_stops_it() {
    let (site, central) = Side::pair().await;
    site.write("m,host=a,site=plant-2 value=1 1").await;
    let source = site.source().await;
    let (target, settings) = (central.target(), shipper_settings());
    let mut counts = ShippedCounts::default();
    let refused = Shipper::new(&source, &settings).ship_all(&target, &mut counts).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("has a column 'site'"), "{error}");
}
