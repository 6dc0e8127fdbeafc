//! Aggregates and selectors over whole groups.

use super::instance;

#[tokio::test]
async fn aggregates_have_the_start_of_the_range_as_time() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT mean(temp) FROM home", @"
    m,time,mean
    home,1970-01-01T00:00:00,21.928571428571427
    ");
    assert_rows!(instance, "SELECT mean(temp) FROM home WHERE time > '2023-11-14T09:30:00Z'", @"
    m,time,mean
    home,09:30:00.000000001,22.833333333333332
    ");
}

#[tokio::test]
async fn all_aggregates_of_a_group() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT count(temp), sum(co), mean(co), median(co), spread(temp), stddev(temp), mode(co), min(temp), max(temp), first(temp), last(temp), percentile(temp, 50) FROM home GROUP BY room", @"
    m,time,room,count,sum,mean,median,spread,stddev,mode,min,max,first,last,percentile
    home,1970-01-01T00:00:00,Kitchen,4,12,3.0,2.0,2.0,0.8539125638299665,0,21.0,23.0,21.0,22.5,22.0
    home,1970-01-01T00:00:00,Living Room,3,2,0.6666666666666666,0.0,4.0,2.081665999466132,0,20.0,24.0,20.0,24.0,21.0
    ");
}

#[tokio::test]
async fn expressions_of_aggregates() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT max(temp) - min(temp) AS range, sum(co) / count(co) FROM home GROUP BY room", @"
    m,time,room,range,sum_count
    home,1970-01-01T00:00:00,Kitchen,2.0,3.0
    home,1970-01-01T00:00:00,Living Room,4.0,0.6666666666666666
    ");
    assert_rows!(instance, "SELECT round(mean(temp)) FROM home", @"
    m,time,round
    home,1970-01-01T00:00:00,22.0
    ");
}

#[tokio::test]
async fn wildcards_in_functions_take_the_fields_of_a_type() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT count(*) FROM home", @"
    m,time,count_co,count_hum,count_lit,count_note,count_temp
    home,1970-01-01T00:00:00,7,2,1,1,7
    ");
    assert_rows!(instance, "SELECT mean(*) FROM home", @"
    m,time,mean_co,mean_hum,mean_temp
    home,1970-01-01T00:00:00,2.0,36.0,21.928571428571427
    ");
    assert_rows!(instance, "SELECT max(/co|lit/) AS most FROM home", @"
    m,time,most_co,most_lit
    home,1970-01-01T00:00:00,8,true
    ");
}

#[tokio::test]
async fn one_selector_keeps_its_time() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT first(temp) FROM home", @"
    m,time,first
    home,08:00:00,20.0
    ");
    assert_rows!(instance, "SELECT max(temp) FROM home GROUP BY room", @"
    m,time,room,max
    home,09:00:00,Kitchen,23.0
    home,11:00:00,Living Room,24.0
    ");
    assert_rows!(instance, "SELECT last(note) FROM home", @"
    m,time,last
    home,09:00:00,open
    ");
    assert_rows!(instance, "SELECT min(lit) FROM home", @"
    m,time,min
    home,11:00:00,true
    ");
    assert_rows!(instance, "SELECT max(temp), min(temp) FROM home", @"
    m,time,max,min
    home,1970-01-01T00:00:00,24.0,20.0
    ");
}

#[tokio::test]
async fn without_rows_there_is_no_answer() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT count(temp) FROM home WHERE room = 'Attic'", @"");
    assert_rows!(instance, "SELECT mean(nope) FROM home", @"");
    assert_rows!(instance, "SELECT mean(room) FROM home", @"");
}

#[tokio::test]
async fn unknown_fields_next_to_others_are_null() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT mean(temp), mean(nope) FROM home", @"
    m,time,mean,mean_1
    home,1970-01-01T00:00:00,21.928571428571427,
    ");
}

#[tokio::test]
async fn distinct_values() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT distinct(co) FROM home", @"
    m,time,distinct
    home,1970-01-01T00:00:00,0
    home,1970-01-01T00:00:00,1
    home,1970-01-01T00:00:00,2
    home,1970-01-01T00:00:00,3
    home,1970-01-01T00:00:00,8
    ");
    assert_rows!(instance, "SELECT DISTINCT co FROM home GROUP BY room", @"
    m,time,room,distinct
    home,1970-01-01T00:00:00,Kitchen,0
    home,1970-01-01T00:00:00,Kitchen,1
    home,1970-01-01T00:00:00,Kitchen,3
    home,1970-01-01T00:00:00,Kitchen,8
    home,1970-01-01T00:00:00,Living Room,0
    home,1970-01-01T00:00:00,Living Room,2
    ");
    assert_rows!(instance, "SELECT count(distinct(co)) FROM home", @"
    m,time,count
    home,1970-01-01T00:00:00,5
    ");
    assert_rows!(instance, "SELECT count(DISTINCT co) FROM home GROUP BY room", @"
    m,time,room,count
    home,1970-01-01T00:00:00,Kitchen,4
    home,1970-01-01T00:00:00,Living Room,2
    ");
}

#[tokio::test]
async fn integral_is_the_area_below_the_line() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT integral(temp) FROM home WHERE room = 'Kitchen'", @"
    m,time,integral
    home,1970-01-01T00:00:00,240300.0
    ");
    assert_rows!(instance, "SELECT integral(temp, 1h) FROM home GROUP BY room", @"
    m,time,room,integral
    home,1970-01-01T00:00:00,Kitchen,66.75
    home,1970-01-01T00:00:00,Living Room,65.5
    ");
}

#[tokio::test]
async fn modes_and_percentiles_of_strings_and_few_values() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT mode(note), mode(temp), percentile(temp, 1), percentile(temp, 100) FROM home", @"
    m,time,mode,mode_1,percentile,percentile_1
    home,1970-01-01T00:00:00,open,21.0,,24.0
    ");
}
