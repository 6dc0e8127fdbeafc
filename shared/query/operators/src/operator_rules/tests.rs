use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::{
    datasource::MemTable,
    execution::SessionStateBuilder,
    functions_aggregate::average::avg,
    logical_expr::col,
    physical_plan::displayable,
    prelude::{SessionConfig, SessionContext},
};

use super::*;

const STATEMENTS: [&str; 15] = [
    "SELECT date_bin(INTERVAL '1 minute', time) AS t, max(v) FROM cpu WHERE host IN ('a', 'b') GROUP BY t ORDER BY t",
    "SELECT * FROM cpu WHERE host = 'a' ORDER BY time DESC LIMIT 5",
    "SELECT host, avg(v) + 1 AS m FROM cpu GROUP BY host HAVING avg(v) + 1 > 2 ORDER BY m, host",
    "SELECT host, last_value(v ORDER BY time) FROM cpu GROUP BY host",
    "SELECT count(*), min(v), max(time) FROM cpu WHERE v > 1",
    "SELECT DISTINCT ON (host) * FROM cpu ORDER BY host, time DESC",
    "SELECT host, lag(v) OVER (PARTITION BY host ORDER BY time) AS before FROM cpu LIMIT 3",
    "SELECT v FROM cpu UNION ALL SELECT v + 1 FROM sorted ORDER BY v",
    "SELECT a.host, b.v FROM cpu AS a JOIN sorted AS b ON a.host = b.host AND a.time = b.time WHERE a.v > 1",
    "SELECT time, v FROM sorted ORDER BY host, time",
    "SELECT host, time, sum(v) FROM sorted GROUP BY host, time ORDER BY host, time LIMIT 2",
    "SELECT host, sum(v) OVER (ORDER BY host, time) FROM sorted",
    "SELECT avg(v) FROM (SELECT * FROM cpu ORDER BY v LIMIT 3) WHERE v > 1",
    "SELECT avg(v) FROM cpu WHERE time > (SELECT max(time) - INTERVAL '5 minutes' FROM cpu)",
    "SELECT v FROM cpu ORDER BY time, arrow_cast(host, 'Dictionary(Int32, Utf8)')",
];

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    Arc::new(Schema::new(vec![
        Field::new("host", DataType::Utf8, true),
        Field::new("time", time, false),
        Field::new("v", DataType::Float64, true),
    ]))
}

/// A session with these rules, and a table without an order of rows and one with.
fn context(rules: Vec<Rule>, partitions: usize) -> SessionContext {
    let state = SessionStateBuilder::new()
        .with_default_features()
        .with_config(SessionConfig::new().with_target_partitions(partitions))
        .with_physical_optimizer_rules(rules)
        .build();
    let context = SessionContext::new_with_state(state);
    let table = || MemTable::try_new(schema(), vec![vec![]]).unwrap();
    context.register_table("cpu", Arc::new(table())).unwrap();
    let order = ["host", "time"].map(|name| col(name).sort(true, false));
    let sorted = table().with_sort_order(vec![order.to_vec()]);
    context.register_table("sorted", Arc::new(sorted)).unwrap();
    context
}

async fn plan(rules: Vec<Rule>, partitions: usize, statement: &str) -> String {
    let rows = context(rules, partitions).sql(statement).await.unwrap();
    let plan = rows.create_physical_plan().await.unwrap();
    displayable(plan.as_ref()).indent(true).to_string()
}

/// The lines of a plan of one partition, without their order and the columns of sorts: a sort may stay above a
/// projection, where columns have other names.
fn lines(plan: &str) -> Vec<String> {
    let line = |line: &str| match line.split_once("expr=[") {
        Some((sort, expr)) if sort.contains("SortExec") => {
            let (_, rest) = expr.split_once(']').unwrap_or_default();
            format!("{}{rest}", sort.trim_start())
        }
        _ => line.trim_start().to_owned(),
    };
    let mut lines: Vec<String> = plan.lines().map(line).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn plans_are_those_of_all_rules() {
    let all_rules = || {
        let mut rules = PhysicalOptimizer::new().rules;
        rules.insert(0, Arc::new(AggregateSplit));
        rules.push(Arc::new(LastRowsRule));
        rules.push(Arc::new(RunAggregateExec::RULE));
        rules.push(Arc::new(RankSortExec::RULE));
        rules
    };
    let mut different = Vec::new();
    for statement in STATEMENTS {
        for partitions in [1, 4] {
            let all = plan(all_rules(), partitions, statement).await;
            let ours = plan(operator_rules(), partitions, statement).await;
            let is_same = match partitions {
                1 => lines(&all) == lines(&ours),
                _ => all == ours,
            };
            if !is_same {
                different.push(format!("{statement}, {partitions}\n{all}\n{ours}"));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[tokio::test]
async fn a_rule_is_left_out_only_if_it_can_change_nothing() {
    let needs = async |statement: &str, partitions| {
        let rules = PhysicalOptimizer::new().rules;
        let before = rules.into_iter().take_while(|rule| rule.name() != "EnsureRequirements");
        let context = context(before.collect(), partitions);
        let rows = context.sql(statement).await.unwrap();
        let plan = rows.create_physical_plan().await.unwrap();
        let state = context.state();
        let config = state.config_options();
        (
            has_unmet_requirements(&plan, config).unwrap(),
            has_dynamic_filters(&plan, config).unwrap(),
            has_joins(&plan, config).unwrap(),
        )
    };
    let grouped = STATEMENTS[0];
    assert_eq!(needs(grouped, 1).await, (false, false, false));
    assert_eq!(needs(grouped, 4).await, (true, false, false));
    assert_eq!(needs(STATEMENTS[1], 1).await, (false, true, false));
    // A window needs an order, and a sort of sorted rows is superfluous.
    assert!(needs(STATEMENTS[6], 1).await.0);
    assert!(needs(STATEMENTS[9], 1).await.0);
    assert_eq!(needs(STATEMENTS[8], 1).await, (true, true, true));
    // An aggregate takes rows in any order, but a limit chooses them.
    assert!(!needs(STATEMENTS[12], 1).await.0);
    let context = context(Vec::new(), 1);
    let cpu = context.table("cpu").await.unwrap();
    let sorted = cpu.sort(vec![col("v").sort(true, false)]).unwrap();
    let mean = sorted.aggregate(vec![], vec![avg(col("v"))]).unwrap();
    let plan = mean.create_physical_plan().await.unwrap();
    assert!(has_unmet_requirements(&plan, context.state().config_options()).unwrap());
}

#[tokio::test]
async fn filters_below_a_sort_with_a_limit_collect_about_as_many_rows() {
    let batch_rows = async |statement: &str, partitions| {
        let rows = context(operator_rules(), partitions).sql(statement).await.unwrap();
        let plan = rows.create_physical_plan().await.unwrap();
        let mut found = Vec::new();
        plan.apply(|operator| {
            let filter = operator.downcast_ref::<FilterExec>();
            found.extend(filter.map(|filter| filter.batch_size()));
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
        found
    };
    let of_host = "FROM cpu WHERE host = 'a'";
    for (statement, expected) in [
        (format!("SELECT * {of_host} ORDER BY time DESC LIMIT 5"), 128_usize),
        (format!("SELECT v + 1 AS w, time AS t {of_host} ORDER BY t LIMIT 900"), 900),
        (format!("SELECT * {of_host} ORDER BY time LIMIT 9000"), 8_192),
        (format!("SELECT * {of_host} ORDER BY time"), 8_192),
        (
            format!("SELECT v, count(*) AS n {of_host} GROUP BY v ORDER BY n LIMIT 5"),
            8_192,
        ),
    ] {
        for partitions in [1, 4] {
            assert_eq!(batch_rows(&statement, partitions).await, [expected], "{statement}");
        }
    }
}
