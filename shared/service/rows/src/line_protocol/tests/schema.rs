//! Tests of schema changes by lines, and of the validation of lines against tables.

use neap_schema::{AutoCreate, ColumnType};

use super::*;
use crate::{
    SchemaLimits,
    line_protocol::{LineErrorKind, Precision, tests::points::Field},
};

fn column_names(table: &crate::line_protocol::TableRows) -> Vec<String> {
    table.batch.schema().fields().iter().map(|field| field.name().clone()).collect()
}

fn named(columns: &[(&str, ColumnType)]) -> Vec<(String, ColumnType)> {
    columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
}

#[test]
fn tags_come_before_fields_and_known_columns_before_new_ones() {
    use ColumnType::{Float, Integer, String, Tag, Time};
    let database = TestDatabase::with_table(
        "m",
        &[
            ("b", Tag),
            ("f", Float),
            ("a", Tag),
            ("time", Time),
            ("e", Integer),
            ("unused", Tag),
        ],
    );
    let body = b"m,z=1,a=1 e=1i,y=1\nm,x=1,b=1 y=2,s=\"\",f=1";
    let parsed = parse(body, &database, &Options::default()).unwrap();
    assert_eq!(messages(&parsed), []);
    let [table] = &parsed.tables[..] else {
        panic!()
    };
    assert_eq!(column_names(table), ["b", "a", "z", "x", "f", "e", "y", "s", "time"]);
    assert!(!table.is_new);
    assert_eq!(table.new_columns, named(&[("z", Tag), ("y", Float), ("x", Tag), ("s", String)]));
}

#[test]
fn a_new_table_has_its_columns_in_order_of_first_occurrence() {
    use ColumnType::{Boolean, Float, Tag, UInteger};
    let parsed = parse_text("m,b=1,a=2 x=1u\nn v=1\nm,a=3,c=4 w=t,x=2u");
    let [m, n] = &parsed.tables[..] else { panic!() };
    assert_eq!((m.name.as_str(), m.is_new), ("m", true));
    assert_eq!(
        m.new_columns,
        named(&[("b", Tag), ("a", Tag), ("x", UInteger), ("c", Tag), ("w", Boolean)])
    );
    assert_eq!((n.name.as_str(), &n.new_columns), ("n", &named(&[("v", Float)])));
}

#[test]
fn rows_keep_the_order_of_their_lines_and_absent_values_are_null() {
    let parsed = parse_text(
        "m,t=a s=\"x\",b=t 1\nm i=1i 2\nm,t=b,u=c f=1.5 3\nm,t=a s=\"\",b=f 1\nm,u=c n=7u 5",
    );
    let points = &points_by_table(&parsed)["m"];
    let times: Vec<_> = points.iter().map(|point| point.time / 1_000_000_000).collect();
    assert_eq!(times, [1, 2, 3, 1, 5]);
    let tags: Vec<_> = points
        .iter()
        .map(|point| point.tags.iter().map(|(key, value)| format!("{key}={value}")).collect())
        .map(|tags: Vec<_>| tags.join(","))
        .collect();
    assert_eq!(tags, ["t=a", "", "t=b,u=c", "t=a", "u=c"]);
    assert_eq!(points[0].fields["b"], Field::Boolean(true));
    assert_eq!(points[1].fields, BTreeMap::from([("i".to_owned(), Field::Integer(1))]));
    assert_eq!(points[3].fields["s"], Field::String(String::new()));
    assert_eq!(points[4].fields["n"], Field::UInteger(7));
}

#[test]
fn a_tag_dictionary_has_each_value_once() {
    let parsed = parse_text("m,t=a\\ b,k=1 v=1\nm,k=2,t=a\\ b v=1\nm,t=c v=1\nm,t=c,k=1 v=1");
    let column = parsed.tables[0].batch.column_by_name("t").unwrap();
    let dictionary = column
        .as_any()
        .downcast_ref::<arrow_array::DictionaryArray<arrow_array::types::Int32Type>>()
        .unwrap();
    assert_eq!(dictionary.keys().values(), &[0, 0, 1, 1]);
    assert_eq!(arrow_array::Array::len(dictionary.values()), 2);
}

#[test]
fn a_refused_line_adds_no_columns_and_no_rows() {
    let good = "m,t=a v=1i 1\nm,t=b v=2i 2";
    for bad in [
        "m,new=x v=1i,other=2,v=3i",
        "m,t=z,new=x v=\"text\"",
        "m,new=x v=1i 9223372036854775807",
        "m,t=z,new=x v=1i,more=1 bad",
        "other v=1,v=2",
        "m,x=1,x=2 v=1i",
    ] {
        let options = Options::with_precision(Precision::Second);
        let body = good.replace('\n', &format!("\n{bad}\n"));
        let with = parse(body.as_bytes(), &TestDatabase::default(), &options).unwrap();
        let without = parse(good.as_bytes(), &TestDatabase::default(), &options).unwrap();
        assert_eq!((with.lines, with.rows, with.errors.len()), (3, 2, 1), "{bad}");
        assert_eq!(with.tables.len(), 1);
        assert_eq!(with.tables[0].batch, without.tables[0].batch);
        assert_eq!(with.tables[0].new_columns, without.tables[0].new_columns);
    }
}

#[test]
fn names_of_a_refused_line_can_have_another_type_later() {
    let parsed = parse_text("m,k=a v=1i,v=2i\nm,v=a k=1i\nm,v=b k=2i");
    assert_eq!((parsed.rows, parsed.errors.len()), (2, 1));
    assert_eq!(
        parsed.tables[0].new_columns,
        named(&[("v", ColumnType::Tag), ("k", ColumnType::Integer)])
    );
}

#[test]
fn the_first_line_decides_on_the_type_of_a_new_column() {
    let parsed = parse_text("m,k=a v=1i\nm v=1u\nm v=2i\nm,v=a w=1\nm k=1");
    let conflict = |column, expected: ColumnType, got: ColumnType| {
        format!("invalid column type for column '{column}', expected {expected}, got {got}")
    };
    assert_eq!(
        messages(&parsed),
        [
            (2, conflict("v", ColumnType::Integer, ColumnType::UInteger)),
            (4, conflict("v", ColumnType::Integer, ColumnType::Tag)),
            (5, conflict("k", ColumnType::Tag, ColumnType::Float)),
        ]
    );
    assert!(parsed.errors.iter().all(|error| error.kind == LineErrorKind::Schema));
}

#[test]
fn the_tags_of_a_known_series_are_still_checked_against_fields() {
    let parsed = parse_text("m,t=a v=1\nm,t=a v=1,t=2\nm,t=a v=1,v=2\nm,t=a v=1");
    assert_eq!(
        messages(&parsed),
        [
            (
                2,
                "invalid column type for column 't', expected iox::column_type::tag, got \
                 iox::column_type::field::float"
                    .to_owned()
            ),
            (3, "invalid line protocol - multiple instances of 'v' field found".to_owned()),
        ]
    );
}

#[test]
fn fields_may_change_places_and_be_escaped_differently() {
    let parsed = parse_text("m a\\,=1,b=2\nm b=3,a\\,=4\nm b=5\nm \\a=1,c=2\nm \\a=1,\\a=2");
    let points = &points_by_table(&parsed)["m"];
    assert_eq!(points[1].fields["a,"], Field::Float(4.0));
    assert_eq!(points[1].fields["b"], Field::Float(3.0));
    assert_eq!(points[2].fields.len(), 1);
    assert_eq!(points[3].fields["\\a"], Field::Float(1.0));
    assert_eq!(
        messages(&parsed),
        [(5, "invalid line protocol - multiple instances of '\\a' field found".to_owned())]
    );
}

#[test]
fn reserved_columns_cannot_be_written() {
    let parsed =
        parse_text("m time=1\nm __chunk_order=1\nm,time=1 v=1\nm v=1\nm time=1\nm,time=1 v=1");
    let conflict =
        "invalid column type for column 'time', expected iox::column_type::timestamp, got";
    assert_eq!(
        messages(&parsed),
        [
            (1, "'time' is a reserved column".to_owned()),
            (2, "'__chunk_order' is a reserved column".to_owned()),
            (3, "'time' is a reserved column".to_owned()),
            (5, format!("{conflict} iox::column_type::field::float")),
            (6, format!("{conflict} iox::column_type::tag")),
        ]
    );
}

#[test]
fn tables_beyond_the_limit_are_refused_line_by_line() {
    let database = TestDatabase::with_table("old", &[("v", ColumnType::Float)]);
    let tables = Some(crate::TableLimit { count: 3, limit: 4 });
    let options = Options { tables, ..Options::default() };
    let body = b"old v=1\nbad v=x\na v=1\nb v=1\na v=2\nb v=2\nold v=2";
    let parsed = parse(body, &database, &options).unwrap();
    let refused = "Update to schema would exceed number of tables limit: attempted to create table but already have 4 table(s) (limit: 4)";
    let errors = messages(&parsed);
    assert_eq!(errors[1..], [(4, refused.to_owned()), (6, refused.to_owned())]);
    assert_eq!(parsed.rows, 4);
    let names: Vec<_> = parsed.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["old", "a"]);
}

#[test]
fn tables_and_columns_that_may_not_be_created_are_refused_line_by_line() {
    let database =
        TestDatabase::with_table("m", &[("t", ColumnType::Tag), ("v", ColumnType::Float)]);
    let parsed = |auto_create| {
        let limits = SchemaLimits { auto_create, ..SchemaLimits::default() };
        let options = Options { limits, ..Options::default() };
        let body = b"m,t=a v=1 1\nnew v=1 1\nm,t=a v=2,w=3 2\nm,u=b v=3 3\nm v=4 4";
        parse(body, &database, &options).unwrap()
    };
    let end = "does not exist, and writes to this database create no";
    let table = |setting| format!("table 'new' {end} tables (auto-create: {setting})");
    let column = |name| format!("column '{name}' of table 'm' {end} columns (auto-create: none)");
    let locked = parsed(AutoCreate::None);
    assert_eq!(messages(&locked), [(2, table("none")), (3, column("w")), (4, column("u"))]);
    assert!(locked.errors.iter().all(|error| error.kind == LineErrorKind::Schema));
    assert_eq!(locked.rows, 2);
    assert_eq!(locked.tables[0].new_columns, []);
    let of_tables = parsed(AutoCreate::Columns);
    assert_eq!(messages(&of_tables), [(2, table("columns"))]);
    assert_eq!(of_tables.rows, 4);
    assert_eq!(parsed(AutoCreate::All).rows, 5);
}

#[test]
fn limits_count_the_columns_that_exist() {
    use ColumnType::{Float, Tag, Time};
    let database = TestDatabase::with_table("m", &[("a", Tag), ("time", Time), ("f", Float)]);
    let limits = SchemaLimits {
        max_columns_per_table: Some(4),
        max_tags_per_table: Some(2),
        auto_create: AutoCreate::All,
    };
    let options = Options { limits, ..Options::default() };
    let body =
        b"m,a=1 g=1\nm,a=1 h=1,i=1\nm,b=1 f=1\nm f=1,g=2\nm i=1\nm,c=1 f=1\nn,a=1,b=1,c=1 f=1";
    let parsed = parse(body, &database, &options).unwrap();
    let columns =
        "Update to schema would exceed number of columns per table limit of 4 columns".to_owned();
    let tags = "Update to schema would exceed number of tag columns per table limit of 2 columns"
        .to_owned();
    assert_eq!(
        messages(&parsed),
        [(2, columns.clone()), (5, columns.clone()), (6, columns), (7, tags)]
    );
    assert!(parsed.errors.iter().all(|error| error.kind == LineErrorKind::Limit));
}

#[test]
fn sparse_tables_are_bounded_by_their_cells() {
    let body: String = (0..2000).map(|number| format!("m f{number}=1\n")).collect();
    let options = Options { max_cells: Some(100_000), ..Options::default() };
    let parsed = parse(body.as_bytes(), &TestDatabase::default(), &options).unwrap();
    let cells = parsed.tables[0].batch.num_rows() * parsed.tables[0].batch.num_columns();
    assert!(cells <= 100_000 && cells > 50_000, "{cells}");
    assert_eq!(parsed.errors.len(), 2000 - parsed.rows);
    assert_eq!(parsed.errors[0].kind, LineErrorKind::Limit);
}

#[test]
fn lines_without_timestamp_get_the_default_time() {
    for (precision, time) in [(Precision::Auto, 1_999_999_999), (Precision::Second, 1_000_000_000)]
    {
        let options = Options {
            precision,
            default_time_ns: 1_999_999_999,
            ..Options::default()
        };
        let parsed = parse(b"m v=1\nm v=2 3", &TestDatabase::default(), &options).unwrap();
        let times: Vec<_> = points_by_table(&parsed)["m"].iter().map(|point| point.time).collect();
        assert_eq!(times, [time, 3_000_000_000]);
    }
}

#[test]
fn parsing_can_stop_at_the_first_error() {
    let options = Options { stop_at_first_error: true, ..Options::default() };
    let parsed = parse(b"m v=1\nbad\nm v=2\nbad", &TestDatabase::default(), &options).unwrap();
    assert_eq!((parsed.lines, parsed.rows, parsed.errors.len()), (2, 1, 1));
}

#[test]
fn reported_errors_can_be_limited() {
    let options = Options { max_errors: Some(2), ..Options::default() };
    let parsed = parse(b"bad\nm v=1\nbad\nbad", &TestDatabase::default(), &options).unwrap();
    assert_eq!((parsed.lines, parsed.rows), (4, 1));
    assert_eq!(messages(&parsed).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 3]);
}
