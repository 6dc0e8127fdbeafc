//! `WHERE`.

use super::instance;

#[tokio::test]
async fn tags_compare_as_strings_and_missing_ones_as_the_empty_string() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT v FROM ints WHERE src = ''", @"
    m,time,v
    ints,10:00:00,4
    ");
    assert_rows!(instance, "SELECT v FROM ints WHERE src != ''", @"
    m,time,v
    ints,08:00:00,1
    ints,09:00:00,2
    ");
    assert_rows!(instance, "SELECT v FROM ints WHERE src != 'a'", @"
    m,time,v
    ints,09:00:00,2
    ints,10:00:00,4
    ");
    assert_rows!(instance, "SELECT v FROM ints WHERE src =~ /^(a|)$/", @"
    m,time,v
    ints,08:00:00,1
    ints,10:00:00,4
    ");
    assert_rows!(instance, "SELECT v FROM ints WHERE src !~ /a/", @"
    m,time,v
    ints,09:00:00,2
    ints,10:00:00,4
    ");
    assert_rows!(instance, "SELECT v FROM ints WHERE src = 'a' OR src = 'b'", @"
    m,time,v
    ints,08:00:00,1
    ints,09:00:00,2
    ");
    assert_rows!(instance, "SELECT v FROM ints WHERE nope = ''", @"
    m,time,v
    ints,08:00:00,1
    ints,09:00:00,2
    ints,10:00:00,4
    ");
    assert_rows!(instance, "SELECT v FROM ints WHERE nope =~ /x/", @"");
}

#[tokio::test]
async fn missing_fields_satisfy_no_condition() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT temp FROM home WHERE hum > 0", @"
    m,time,temp
    home,08:00:00,21.0
    home,11:00:00,24.0
    ");
    assert_rows!(instance, "SELECT temp FROM home WHERE note != 'x'", @"
    m,time,temp
    home,09:00:00,21.0
    ");
    assert_rows!(instance, "SELECT temp FROM home WHERE note =~ /op/", @"
    m,time,temp
    home,09:00:00,21.0
    ");
    assert_rows!(instance, "SELECT temp FROM home WHERE lit = true", @"
    m,time,temp
    home,11:00:00,22.5
    ");
    assert_rows!(instance, "SELECT temp FROM home WHERE lit", @"
    m,time,temp
    home,11:00:00,22.5
    ");
}

#[tokio::test]
async fn values_of_different_types_satisfy_no_condition() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT temp FROM home WHERE temp = 'x' OR co = true OR room = 1", @"");
    assert_rows!(instance, "SELECT temp FROM home WHERE co > 2.5", @"
    m,time,temp
    home,10:00:00,22.0
    home,11:00:00,22.5
    ");
    assert_rows!(instance, "SELECT temp FROM home WHERE 2.5 < co", @"
    m,time,temp
    home,10:00:00,22.0
    home,11:00:00,22.5
    ");
    assert_rows!(instance, "SELECT temp FROM home WHERE temp * 2 >= 46 AND co + 1 = 2", @"
    m,time,temp
    home,09:00:00,23.0
    ");
}

#[tokio::test]
async fn times_are_strings_numbers_and_sums() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT temp FROM home WHERE time > '2023-11-14T10:00:00Z' AND room = 'Kitchen'", @"
    m,time,temp
    home,11:00:00,22.5
    ");
    assert_rows!(instance, "SELECT temp FROM home WHERE time = '2023-11-14 08:00:00'", @"
    m,time,temp
    home,08:00:00,21.0
    home,08:00:00,20.0
    ");
    assert_rows!(instance, "SELECT temp FROM home WHERE time < 1699952400s", @"
    m,time,temp
    home,08:00:00,21.0
    home,08:00:00,20.0
    ");
    assert_rows!(instance, "SELECT temp FROM home WHERE time <= 1699948800000000000", @"
    m,time,temp
    home,08:00:00,21.0
    home,08:00:00,20.0
    ");
    assert_rows!(instance, "SELECT temp FROM home WHERE time >= '2023-11-14' + 11h", @"
    m,time,temp
    home,11:00:00,22.5
    home,11:00:00,24.0
    ");
    assert_rows!(instance, "SELECT temp FROM home WHERE time >= '2023-11-14 12:00:00' TZ('Europe/Paris')", @"
    m,time,temp
    home,12:00:00+01:00,22.5
    home,12:00:00+01:00,24.0
    ");
    assert_rows!(instance, "SELECT temp FROM home WHERE time > now() - 12h LIMIT 1", @"
    m,time,temp
    home,11:00:00,22.5
    ");
    assert_rows!(instance, "SELECT temp FROM home WHERE 1699959600s <= time", @"
    m,time,temp
    home,11:00:00,22.5
    home,11:00:00,24.0
    ");
    assert_rows!(instance, "SELECT temp FROM home WHERE (time = 1699948800s OR time = 1699959600s) AND room = 'Kitchen'", @"
    m,time,temp
    home,08:00:00,21.0
    home,11:00:00,22.5
    ");
}

#[tokio::test]
async fn a_backslash_in_a_pattern_is_one_in_the_text() {
    let instance = instance().await;
    let paths = "\
paths,d=C:\\dir n=1i 1699948800000000000
paths,d=C:dir n=2i 1699948800000000000
paths,d=100% n=3i 1699948800000000000
";
    instance.write(paths).await;
    for (condition, expected) in [
        (r"d =~ /C:\\dir/", "home,1"),
        (r"d =~ /\\/", "home,1"),
        (r"d !~ /^C:\\/ AND d != '100%'", "home,2"),
        (r"d =~ /0%/", "home,3"),
    ] {
        let rows = instance.selected(&format!("SELECT n FROM paths WHERE {condition}")).await;
        let expected = expected.replace("home,", "paths,08:00:00,");
        assert_eq!(rows, format!("m,time,n\n{expected}\n"), "{condition}");
    }
}

#[tokio::test]
async fn regular_expressions_are_accepted_only_by_their_operators() {
    let instance = instance().await;
    for condition in [
        "room = /Kit/",
        "room != /Kit/",
        "room > /Kit/",
        "/Kit/ = room",
        "/Kit/ =~ /Kit/",
        "time = /Kit/",
    ] {
        let statement = format!("SELECT temp FROM home WHERE {condition}");
        let answer = instance.refused(&statement).await;
        assert!(answer.starts_with("400 "), "{answer}");
    }
}

#[tokio::test]
async fn unsigned_numbers_compare_exactly_with_negative_ones() {
    let instance = instance().await;
    let rows = "floats,src=b big=0u,v=-1 1699952400000000000\nwhole big=18446744073709551615u,v=-1i 1699948800000000000";
    instance.write(rows).await;
    for (condition, expected) in
        [("big > -1", "0"), ("big < -1", ""), ("big != -1", "0"), ("big >= 0", "0")]
    {
        let rows = instance
            .selected(&format!("SELECT big FROM floats WHERE ({condition}) AND src = 'b'"))
            .await;
        assert_eq!(rows.contains(",0\n"), expected == "0", "{condition}: {rows}");
    }
    for condition in ["big > -1", "big > v", "v < big", "big != v", "-1 < big"] {
        let rows = instance.selected(&format!("SELECT big FROM whole WHERE {condition}")).await;
        assert!(rows.contains("18446744073709551615"), "{condition}: {rows}");
    }
}

#[tokio::test]
async fn a_condition_that_needs_a_selected_field_replaces_the_search_for_one() {
    let instance = instance().await;
    let cases = [
        ("hum > 30 AND room = 'Kitchen'", false),
        ("30 < hum::integer OR co != 1", false),
        ("hum > co", true),
        ("hum + 1 > 30", true),
        ("hum::string = 'a' OR temp > 20", true),
        ("hum > 30 OR room = 'Kitchen'", true),
        ("temp > 20", true),
        ("room = 'Kitchen'", true),
    ];
    for (condition, is_searched) in cases {
        let statement = format!("EXPLAIN SELECT hum, co FROM home WHERE {condition}");
        let plan = instance.selected(&statement).await;
        assert_eq!(plan.contains("IS NOT NULL"), is_searched, "{plan}");
    }
    assert_rows!(instance, "SELECT hum, lit FROM home WHERE hum > 30", @"
    m,time,hum,lit
    home,08:00:00,35.5,
    home,11:00:00,36.5,
    ");
    assert_rows!(instance, "SELECT hum, lit FROM home WHERE hum > 30 OR lit = true", @"
    m,time,hum,lit
    home,08:00:00,35.5,
    home,11:00:00,,true
    home,11:00:00,36.5,
    ");
    assert_rows!(instance, "SELECT hum, lit FROM home WHERE temp > 22 OR hum > 36", @"
    m,time,hum,lit
    home,11:00:00,,true
    home,11:00:00,36.5,
    ");
}
