use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::{
    arrow::util::pretty::pretty_format_batches,
    datasource::MemTable,
    execution::SessionStateBuilder,
    prelude::{SessionConfig, SessionContext},
};

use super::*;

/// A table with some rows, and a session with or without the rule.
fn context(has_rule: bool) -> SessionContext {
    let schema = Arc::new(Schema::new(vec![
        Field::new("host", DataType::Utf8, true),
        Field::new(
            "time",
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            false,
        ),
        Field::new("v", DataType::Float64, true),
    ]));
    let rows = arrow::array::RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            Arc::new(arrow::array::StringArray::from(vec!["a", "b", "a", "b"])),
            Arc::new(arrow::array::TimestampNanosecondArray::from(vec![
                1,
                2,
                60_000_000_000,
                60_000_000_001,
            ])),
            Arc::new(arrow::array::Float64Array::from(vec![1.0, 2.0, 3.0, 4.0])),
        ],
    );
    let mut builder = SessionStateBuilder::new()
        .with_default_features()
        .with_config(SessionConfig::new().with_target_partitions(1));
    if has_rule {
        builder = builder.with_optimizer_rule(Arc::new(RenamedColumnsRule));
    }
    let context = SessionContext::new_with_state(builder.build());
    let table = MemTable::try_new(schema, vec![vec![rows.unwrap()]]).unwrap();
    context.register_table("cpu", Arc::new(table)).unwrap();
    context
}

async fn plan_and_rows(has_rule: bool, statement: &str) -> (String, String) {
    let frame = context(has_rule).sql(statement).await.unwrap();
    let plan = frame.clone().into_optimized_plan().unwrap().to_string();
    let rows = frame.collect().await.unwrap();
    (plan, pretty_format_batches(&rows).unwrap().to_string())
}

const WINDOWS: &str = "SELECT t AS time, o AS max FROM (
    SELECT w AS t, m AS o FROM (
        SELECT date_bin(INTERVAL '1 minute', x) AS w, max(f) AS m FROM (
            SELECT time AS x, v AS f, host AS h FROM cpu WHERE v > 0
        ) GROUP BY w
    )
) ORDER BY t";

#[tokio::test]
async fn aggregates_read_the_columns_of_the_table() {
    let (plan, _) = plan_and_rows(true, WINDOWS).await;
    assert!(plan.contains("max(cpu.v) AS max(f)"), "{plan}");
    assert!(plan.contains("cpu.time) AS "), "{plan}");
}

const NEWEST: &str = "SELECT o AS v, h AS host, t AS time FROM (
    SELECT h, t, o FROM (SELECT host AS h, time AS t, v AS o FROM cpu) ORDER BY t DESC LIMIT 3
)";

#[tokio::test]
async fn sorts_read_the_columns_of_the_table() {
    let (plan, _) = plan_and_rows(true, NEWEST).await;
    assert_eq!(plan.matches("Projection:").count(), 1, "{plan}");
    assert!(plan.contains("Sort: cpu.time DESC"), "{plan}");
}

#[tokio::test]
async fn rows_and_columns_are_the_same() {
    let statements = [
        WINDOWS,
        NEWEST,
        "SELECT h, sum(f) FROM (SELECT host AS h, v AS f FROM cpu) GROUP BY h ORDER BY h",
        "SELECT h, count(*) AS n FROM (SELECT host AS h, v FROM cpu) GROUP BY h ORDER BY n, h LIMIT 1",
        "SELECT f + g AS s FROM (SELECT v AS f, v AS g, time AS t FROM cpu) ORDER BY t DESC",
        "SELECT t, f FROM (SELECT time AS t, v AS f, host AS h FROM cpu) ORDER BY h, t",
        "SELECT f AS v, v AS f FROM (SELECT v AS f, host AS v, time AS host FROM cpu) ORDER BY host",
        "SELECT h, f, sum(f) FROM (SELECT host AS h, v AS f FROM cpu) GROUP BY ROLLUP (h, f) ORDER BY h, f",
        "SELECT DISTINCT h FROM (SELECT host AS h, v AS f FROM cpu WHERE v > 1) ORDER BY h",
        "SELECT last_value(f ORDER BY t) AS f FROM (SELECT time AS t, v AS f, host AS h FROM cpu) GROUP BY h ORDER BY f",
    ];
    for statement in statements {
        let (_, with) = plan_and_rows(true, statement).await;
        let (_, without) = plan_and_rows(false, statement).await;
        assert_eq!(with, without, "{statement}");
    }
}
