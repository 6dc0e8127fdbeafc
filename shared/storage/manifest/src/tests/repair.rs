//! Corrections of statistics, also while concurrent commits move and replace the sections.

use super::fixture::{ManifestFixture, mark};
use crate::{Corrections, Manifest, Section};

fn with_rows(section: &Section, rows: u64) -> Section {
    Section { rows, ..section.clone() }
}

#[tokio::test(start_paused = true)]
async fn sections_are_corrected_after_they_have_moved_to_a_page() {
    let fixture = ManifestFixture::new(16);
    let base = fixture.flush(&[(1, 0)]).await;
    let wrong = fixture.table(1).await.remove(0);
    fixture.flush_times(20, &[(1, 0)]).await;
    assert!(!fixture.read().await.value.pages.is_empty(), "it is in a page");
    let corrections = Corrections { sections: vec![with_rows(&wrong, 5)], pages: Vec::new() };
    // Correct on a manifest from before the move.
    let store = fixture.store();
    let corrected = store.correct(fixture.database, base, &corrections).await.unwrap();
    assert_eq!((corrected.sections, corrected.pages), (0, 1));
    let sections = fixture.table(1).await;
    assert_eq!(sections.len(), 21);
    assert_eq!(sections[0].rows, 5);
    assert_eq!(corrected.current.value.check(), Ok(()));

    // Earlier versions are corrected, too.
    let (_, view) = Manifest::at(&corrected.current, mark(1)).unwrap();
    let then = fixture.sections_of(&view).await;
    assert_eq!((then.len(), then[0].rows), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn replaced_sections_are_not_corrected() {
    let fixture = ManifestFixture::new(16);
    fixture.flush(&[(1, 0)]).await;
    let base = fixture.flush(&[(1, 0)]).await;
    let inputs = fixture.table(1).await;
    let merge = fixture.merge(&base, &inputs).await;
    let merged = fixture.replaced(base.clone(), &merge).await;
    let corrections = Corrections { sections: vec![with_rows(&inputs[0], 5)], pages: Vec::new() };
    let corrected = fixture.store().correct(fixture.database, base, &corrections).await.unwrap();
    assert_eq!(corrected.sections, 0);
    assert_eq!(corrected.current.version, merged.version, "no commit");
}
