//! Tests that points survive a round trip through lines.

use proptest::{collection::btree_map, prelude::*};

use super::{
    points::{Field, Point},
    *,
};
use crate::line_protocol::Precision;

/// Generates names and tag values with all special characters that they can contain.
fn name() -> impl Strategy<Value = String> {
    "[a-c,= \"\\\\#é✓]{0,6}[a-cé\"]".prop_filter("no comment", |name| !name.starts_with('#'))
}

fn field() -> impl Strategy<Value = Field> {
    prop_oneof![
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(Field::Float),
        any::<i64>().prop_map(Field::Integer),
        any::<u64>().prop_map(Field::UInteger),
        "[a-c,= \"\\\\\n\t\ré✓]{0,8}".prop_map(Field::String),
        any::<bool>().prop_map(Field::Boolean),
    ]
}

fn point() -> impl Strategy<Value = Point> {
    let tags = btree_map(name().prop_map(|name| format!("t{name}")), name(), 0..5);
    let fields = btree_map(name().prop_map(|name| format!("f{name}")), field(), 1..5);
    (name(), tags, fields, any::<i64>()).prop_map(|(table, tags, fields, time)| Point {
        table,
        tags,
        fields,
        time,
    })
}

/// Returns the points whose field types do not conflict with those of earlier points.
fn without_conflicts(points: Vec<Point>) -> Vec<Point> {
    let mut types = HashMap::new();
    points
        .into_iter()
        .filter(|point| {
            let mut all = point.fields.iter();
            let is_consistent = all.clone().all(|(name, field)| {
                let type_of = std::mem::discriminant(field);
                *types.get(&(point.table.clone(), name.clone())).unwrap_or(&type_of) == type_of
            });
            if is_consistent {
                types.extend(all.by_ref().map(|(name, field)| {
                    ((point.table.clone(), name.clone()), std::mem::discriminant(field))
                }));
            }
            is_consistent
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn written_points_are_read_back(
        points in proptest::collection::vec(point(), 1..20),
        choices in proptest::collection::vec(any::<bool>(), 1..50),
    ) {
        // The lines are repeated, so that series and fields are recognised.
        let points = without_conflicts([points.clone(), points].concat());
        let mut choices = choices.into_iter().cycle();
        let body: String = points
            .iter()
            .map(|point| point.to_line(|| choices.next() == Some(true)) + "\n")
            .collect();
        let options = Options { precision: Precision::Nanosecond, ..Options::default() };
        let parsed = parse(body.as_bytes(), &TestDatabase::default(), &options).unwrap();
        prop_assert_eq!(messages(&parsed), [], "{}", body);
        let mut expected: HashMap<String, Vec<Point>> = HashMap::new();
        for point in points {
            expected.entry(point.table.clone()).or_default().push(point);
        }
        prop_assert_eq!(points_by_table(&parsed), expected, "{}", body);
    }
}
