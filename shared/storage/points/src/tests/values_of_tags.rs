//! Series that are chosen by conditions on the values of a tag.

use super::*;

#[test]
fn series_are_chosen_by_the_numbers_of_values() {
    let mut builder = TailImageBuilder::new(&tags(), schema());
    let row = |host, zone| ([host, zone], 7, [None; 2]);
    let rows = [(Some(1), Some(1)), (Some(2), Some(1)), (None, Some(2)), (Some(1), Some(2))];
    builder.push(&batch(&rows.map(|(host, zone)| row(host, zone)))).unwrap();
    let image = builder.image();
    assert_eq!(
        ["host", "zone", "a"].map(|tag| image.value_count(tag)),
        [Some(3), Some(3), None]
    );
    let values = |tag| image.values(tag, 0..3).unwrap();
    let column = values("host");
    let hosts: Vec<_> = column
        .as_dictionary::<Int32Type>()
        .downcast_dict::<StringArray>()
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(hosts, [None, Some(text(1).as_str()), Some(text(2).as_str())]);
    assert_eq!(values("a").null_count(), 3);
    let chosen = |selected: Option<&SelectedSeries>, tag, values: [bool; 3]| {
        let chosen = image.with_values(selected, tag, &values.to_vec().into());
        let series = (0..4).filter(|series| chosen.contains(*series)).collect::<Vec<u32>>();
        (series, chosen.are_most(), chosen)
    };
    let (series, are_most, first) = chosen(None, "host", [false, true, false]);
    assert_eq!((series, are_most), (vec![0, 3], false));
    let (series, ..) = chosen(Some(&first), "zone", [false, false, true]);
    assert_eq!(series, [3]);
    let (series, are_most, missing) = chosen(None, "host", [true, true, false]);
    assert_eq!((series, are_most, missing.are_few()), (vec![0, 2, 3], true, true));
    let (series, ..) = chosen(None, "a", [true; 3]);
    assert!(series.is_empty());
    assert_eq!(image.series_count(), 4);
    assert_eq!([6..=7, 7..=9, 8..=9].map(|times| image.rows_near(&times)), [4, 4, 0]);
    // Values that came later are not chosen.
    let few = image.with_values(None, "zone", &vec![false, true].into());
    assert_eq!(few.count(), 2);
}
