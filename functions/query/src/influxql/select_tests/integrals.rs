//! `integral` over rows of the same time, and over rows without a value.

use super::QueryTestInstance;

#[tokio::test]
async fn integrals_of_rows_with_the_same_time_have_the_order_of_their_tags() {
    let instance = QueryTestInstance::alone().await;
    instance
        .write("power,src=b kw=3 1699948800000000000\npower,src=a kw=1 1699948800000000000\n")
        .await;
    instance
        .write("power,src=b kw=5 1699952400000000000\npower,src=a kw=3 1699952400000000000\n")
        .await;
    let statements = [
        (
            "SELECT integral(kw, 1h) FROM power",
            "m,time,integral\npower,1970-01-01T00:00:00,3.0\n",
        ),
        (
            "SELECT integral(kw, 1h) FROM power GROUP BY src",
            "m,time,src,integral\npower,1970-01-01T00:00:00,a,2.0\npower,1970-01-01T00:00:00,b,4.0\n",
        ),
    ];
    for (statement, answer) in statements {
        assert_eq!(instance.selected(statement).await, answer);
    }
    instance.flush().await;
    for (statement, answer) in statements {
        assert_eq!(instance.selected(statement).await, answer);
    }
}

#[tokio::test]
async fn integrals_see_past_many_rows_without_a_value() {
    let instance = QueryTestInstance::alone().await;
    let second = |second: i64| 1_699_900_000_000_000_000 + second * 1_000_000_000;
    let mut lines = format!("power kw=1 {}\npower kw=3 {}\n", second(0), second(20_000));
    for number in 1..20_000 {
        lines.push_str(&format!("power other={number}i {}\n", second(number)));
    }
    instance.write(&lines).await;
    assert_rows!(instance, "SELECT integral(kw), count(other) FROM power", @"
    m,time,integral,count
    power,1970-01-01T00:00:00,40000.0,19999
    ");
}
