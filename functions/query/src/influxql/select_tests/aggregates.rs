//! Aggregates and selectors over whole groups.

use super::instance;

#[tokio::test]
async fn aggregates_have_the_start_of_the_range_as_time() {
    let instance = instance().await;
    let rows = instance.selected("SELECT mean(temp) FROM home").await;
    insta::assert_snapshot!(rows, @"
    m,time,mean
    home,1970-01-01T00:00:00,21.928571428571427
    ");
    let rows = instance
        .selected("SELECT mean(temp) FROM home WHERE time > '2023-11-14T09:30:00Z'")
        .await;
    insta::assert_snapshot!(rows, @"
    m,time,mean
    home,09:30:00.000000001,22.833333333333332
    ");
}

#[tokio::test]
async fn all_aggregates_of_a_group() {
    let instance = instance().await;
    let rows = instance.selected("SELECT count(temp), sum(co), mean(co), median(co), spread(temp), stddev(temp), mode(co), min(temp), max(temp), first(temp), last(temp), percentile(temp, 50) FROM home GROUP BY room").await;
    insta::assert_snapshot!(rows, @"
    m,time,room,count,sum,mean,median,spread,stddev,mode,min,max,first,last,percentile
    home,1970-01-01T00:00:00,Kitchen,4,12,3.0,2.0,2.0,0.8539125638299665,0,21.0,23.0,21.0,22.5,22.0
    home,1970-01-01T00:00:00,Living Room,3,2,0.6666666666666666,0.0,4.0,2.081665999466132,0,20.0,24.0,20.0,24.0,21.0
    ");
}

#[tokio::test]
async fn expressions_of_aggregates() {
    let instance = instance().await;
    let rows = instance
        .selected(
            "SELECT max(temp) - min(temp) AS range, sum(co) / count(co) FROM home GROUP BY room",
        )
        .await;
    insta::assert_snapshot!(rows, @"
    m,time,room,range,sum_count
    home,1970-01-01T00:00:00,Kitchen,2.0,3.0
    home,1970-01-01T00:00:00,Living Room,4.0,0.6666666666666666
    ");
    let rows = instance.selected("SELECT round(mean(temp)) FROM home").await;
    insta::assert_snapshot!(rows, @"
    m,time,round
    home,1970-01-01T00:00:00,22.0
    ");
}

#[tokio::test]
async fn wildcards_in_functions_take_the_fields_of_a_type() {
    let instance = instance().await;
    let rows = instance.selected("SELECT count(*) FROM home").await;
    insta::assert_snapshot!(rows, @"
    m,time,count_co,count_hum,count_lit,count_note,count_temp
    home,1970-01-01T00:00:00,7,2,1,1,7
    ");
    let rows = instance.selected("SELECT mean(*) FROM home").await;
    insta::assert_snapshot!(rows, @"
    m,time,mean_co,mean_hum,mean_temp
    home,1970-01-01T00:00:00,2.0,36.0,21.928571428571427
    ");
    let rows = instance.selected("SELECT max(/co|lit/) AS most FROM home").await;
    insta::assert_snapshot!(rows, @"
    m,time,most_co,most_lit
    home,1970-01-01T00:00:00,8,true
    ");
}

#[tokio::test]
async fn one_selector_keeps_its_time() {
    let instance = instance().await;
    let rows = instance.selected("SELECT first(temp) FROM home").await;
    insta::assert_snapshot!(rows, @"
    m,time,first
    home,08:00:00,20.0
    ");
    let rows = instance.selected("SELECT max(temp) FROM home GROUP BY room").await;
    insta::assert_snapshot!(rows, @"
    m,time,room,max
    home,09:00:00,Kitchen,23.0
    home,11:00:00,Living Room,24.0
    ");
    let rows = instance.selected("SELECT last(note) FROM home").await;
    insta::assert_snapshot!(rows, @"
    m,time,last
    home,09:00:00,open
    ");
    let rows = instance.selected("SELECT min(lit) FROM home").await;
    insta::assert_snapshot!(rows, @"
    m,time,min
    home,11:00:00,true
    ");
    let rows = instance.selected("SELECT max(temp), min(temp) FROM home").await;
    insta::assert_snapshot!(rows, @"
    m,time,max,min
    home,1970-01-01T00:00:00,24.0,20.0
    ");
}

#[tokio::test]
async fn without_rows_there_is_no_answer() {
    let instance = instance().await;
    let rows = instance.selected("SELECT count(temp) FROM home WHERE room = 'Attic'").await;
    insta::assert_snapshot!(rows, @"");
    let rows = instance.selected("SELECT mean(nope) FROM home").await;
    insta::assert_snapshot!(rows, @"");
    let rows = instance.selected("SELECT mean(room) FROM home").await;
    insta::assert_snapshot!(rows, @"");
}

#[tokio::test]
async fn unknown_fields_next_to_others_are_null() {
    let instance = instance().await;
    let rows = instance.selected("SELECT mean(temp), mean(nope) FROM home").await;
    insta::assert_snapshot!(rows, @"
    m,time,mean,mean_1
    home,1970-01-01T00:00:00,21.928571428571427,
    ");
}

#[tokio::test]
async fn distinct_values() {
    let instance = instance().await;
    let rows = instance.selected("SELECT distinct(co) FROM home").await;
    insta::assert_snapshot!(rows, @"
    m,time,distinct
    home,1970-01-01T00:00:00,0
    home,1970-01-01T00:00:00,1
    home,1970-01-01T00:00:00,2
    home,1970-01-01T00:00:00,3
    home,1970-01-01T00:00:00,8
    ");
    let rows = instance.selected("SELECT DISTINCT co FROM home GROUP BY room").await;
    insta::assert_snapshot!(rows, @"
    m,time,room,distinct
    home,1970-01-01T00:00:00,Kitchen,0
    home,1970-01-01T00:00:00,Kitchen,1
    home,1970-01-01T00:00:00,Kitchen,3
    home,1970-01-01T00:00:00,Kitchen,8
    home,1970-01-01T00:00:00,Living Room,0
    home,1970-01-01T00:00:00,Living Room,2
    ");
    let rows = instance.selected("SELECT count(distinct(co)) FROM home").await;
    insta::assert_snapshot!(rows, @"
    m,time,count
    home,1970-01-01T00:00:00,5
    ");
    let rows = instance.selected("SELECT count(DISTINCT co) FROM home GROUP BY room").await;
    insta::assert_snapshot!(rows, @"
    m,time,room,count
    home,1970-01-01T00:00:00,Kitchen,4
    home,1970-01-01T00:00:00,Living Room,2
    ");
}

#[tokio::test]
async fn integral_is_the_area_below_the_line() {
    let instance = instance().await;
    let rows = instance
        .selected("SELECT integral(temp) FROM home WHERE room = 'Kitchen'")
        .await;
    insta::assert_snapshot!(rows, @"
    m,time,integral
    home,1970-01-01T00:00:00,240300.0
    ");
    let rows = instance.selected("SELECT integral(temp, 1h) FROM home GROUP BY room").await;
    insta::assert_snapshot!(rows, @"
    m,time,room,integral
    home,1970-01-01T00:00:00,Kitchen,66.75
    home,1970-01-01T00:00:00,Living Room,65.5
    ");
}

#[tokio::test]
async fn modes_and_percentiles_of_strings_and_few_values() {
    let instance = instance().await;
    let rows = instance
        .selected(
            "SELECT mode(note), mode(temp), percentile(temp, 1), percentile(temp, 100) FROM home",
        )
        .await;
    insta::assert_snapshot!(rows, @"
    m,time,mode,mode_1,percentile,percentile_1
    home,1970-01-01T00:00:00,open,21.0,,24.0
    ");
}
