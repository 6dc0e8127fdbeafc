use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::{
    datasource::MemTable,
    execution::SessionStateBuilder,
    physical_expr::expressions::lit,
    physical_plan::{
        coalesce_partitions::CoalescePartitionsExec,
        filter::FilterExecBuilder,
        limit::{GlobalLimitExec, LocalLimitExec},
    },
    prelude::{SessionConfig, SessionContext},
};
use datafusion_proto::{
    bytes::{
        physical_plan_from_bytes_with_proto_converter, physical_plan_to_bytes_with_proto_converter,
    },
    physical_plan::{DeduplicatingProtoConverter, DefaultPhysicalExtensionCodec},
};

use super::*;
use crate::portability::Portability;

fn context() -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(2);
    let builder = SessionStateBuilder::new().with_default_features();
    let mut state = neap_sql_functions::register(builder.with_config(config)).build();
    let options = state.config_mut().options_mut();
    // As the planner of distributed queries does.
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    let context = SessionContext::new_with_state(state);
    for name in ["t", "u"] {
        let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let schema = Schema::new(vec![
            Field::new("h", DataType::Utf8, true),
            Field::new("time", time, false),
            Field::new("v", DataType::Int64, true),
            Field::new("l", DataType::new_list(DataType::Int64, true), true),
        ]);
        let table = MemTable::try_new(Arc::new(schema), vec![vec![], vec![]]).unwrap();
        context.register_table(name, Arc::new(table)).unwrap();
    }
    context
}

async fn plan(context: &SessionContext, sql: &str) -> Plan {
    let rows = context.sql(sql).await.unwrap();
    rows.create_physical_plan().await.unwrap()
}

/// Returns the plan that a worker decodes.
fn received(context: &SessionContext, sent: &Plan) -> Plan {
    let codec = DefaultPhysicalExtensionCodec {};
    let converter = DeduplicatingProtoConverter::default();
    let sent = Arc::clone(sent);
    let bytes = physical_plan_to_bytes_with_proto_converter(sent, &codec, &converter).unwrap();
    let task = context.task_ctx();
    physical_plan_from_bytes_with_proto_converter(&bytes, &task, &codec, &converter).unwrap()
}

fn change(context: &SessionContext, sent: &Plan) -> Option<String> {
    let received = received(context, sent);
    let changed = changed_operator(sent, &received).unwrap();
    changed.map(|operator| operator.name().to_owned())
}

const UNCHANGED: [&str; 24] = [
    "SELECT h, sum(DISTINCT v) FILTER (WHERE v > 1), count(*) FROM t GROUP BY GROUPING SETS ((h), ())",
    "SELECT h, first_value(v ORDER BY time DESC), array_agg(v ORDER BY v) FROM t GROUP BY h",
    "SELECT first_value(v ORDER BY time) IGNORE NULLS, approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY v) FROM t",
    "SELECT h, max(v) AS m FROM t GROUP BY h ORDER BY m DESC NULLS LAST LIMIT 3",
    "SELECT DISTINCT h FROM t LIMIT 3",
    "SELECT * FROM t ORDER BY v DESC NULLS LAST, time LIMIT 3 OFFSET 2",
    "SELECT v + 1 AS w FROM (SELECT * FROM t LIMIT 7 OFFSET 2) WHERE v > 2 AND h LIKE 'a%' LIMIT 5",
    "SELECT upper(h), date_bin(INTERVAL '1 hour', time), CASE WHEN v > 1 THEN 'a' END, v IN (1, 2, 3), TRY_CAST(h AS INT) \
     FROM t",
    "SELECT t.h, u.v FROM t JOIN u ON t.h = u.h AND t.v < u.v",
    "SELECT u.v FROM t RIGHT JOIN u ON t.h IS NOT DISTINCT FROM u.h",
    "SELECT count(*) FROM t FULL JOIN u ON t.h = u.h",
    "SELECT h FROM t WHERE v NOT IN (SELECT v FROM u)",
    "SELECT h FROM t WHERE v IN (SELECT v FROM u) OR h = 'a'",
    "SELECT t.h FROM t JOIN u ON t.v > u.v",
    "SELECT t.h FROM t CROSS JOIN u",
    "SELECT h FROM t UNION ALL SELECT h FROM u",
    "SELECT h, unnest(l) FROM t",
    "SELECT h, row_number() OVER w, rank() OVER w, ntile(3) OVER w FROM t WINDOW w AS (PARTITION BY h ORDER BY time DESC)",
    "SELECT lag(v, 2, 7) OVER w, lead(v) OVER w, nth_value(v, 2) OVER w FROM t WINDOW w AS (PARTITION BY h ORDER BY time)",
    "SELECT sum(v) OVER (PARTITION BY h ORDER BY time ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING) FROM t",
    "SELECT count(DISTINCT v) OVER (ORDER BY time RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW) FROM t",
    "SELECT avg(v) OVER (PARTITION BY h) FROM t",
    "SELECT row_number() OVER (PARTITION BY h ORDER BY time DESC), lag(v) OVER (PARTITION BY h ORDER BY time) FROM t",
    "SELECT row_number() OVER (PARTITION BY h ORDER BY time DESC), first_value(v) OVER (PARTITION BY h ORDER BY time \
     ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM t",
];

const CHANGED: [&str; 5] = [
    "SELECT row_number() OVER (PARTITION BY h ORDER BY time DESC), nth_value(v, 2) OVER (PARTITION BY h ORDER BY time \
     ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM t",
    "SELECT lag(v) IGNORE NULLS OVER (PARTITION BY h ORDER BY time) FROM t",
    "SELECT first_value(v) IGNORE NULLS OVER (PARTITION BY h ORDER BY time) FROM t",
    "SELECT sum(v) FILTER (WHERE v > 1) OVER (PARTITION BY h ORDER BY time) FROM t",
    "SELECT sum(v) FILTER (WHERE v > 1) OVER (ORDER BY time ROWS 2 PRECEDING) FROM t",
];

#[tokio::test]
async fn operators_survive_their_encoding() {
    let context = context();
    for sql in UNCHANGED {
        let sent = plan(&context, sql).await;
        let text = displayable(sent.as_ref()).indent(false).to_string();
        assert_eq!(change(&context, &sent), None, "{sql}\n{text}");
    }
}

#[tokio::test]
async fn windows_that_change_are_not_sent() {
    let context = context();
    let portability = Portability::new(Arc::new(context.state()));
    for sql in CHANGED {
        let sent = plan(&context, sql).await;
        let changed = change(&context, &sent).unwrap_or_default();
        assert!(changed.contains("WindowAggExec"), "{sql}: {changed:?}");
        let mut is_sent = true;
        sent.apply(|node| {
            let is_scan = node.children().is_empty();
            is_sent &= is_scan || portability.is_portable(node.as_ref());
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
        assert!(!is_sent, "{sql}");
    }
}

#[tokio::test]
async fn a_filter_may_be_received_without_its_projection_of_all_columns() {
    let context = context();
    let rows = plan(&context, "SELECT h, v FROM t").await;
    let filter = |projection: &[usize]| -> Plan {
        let filter = FilterExecBuilder::new(lit(true), Arc::clone(&rows));
        let projected = filter.apply_projection(Some(projection.to_vec())).unwrap();
        Arc::new(projected.build().unwrap())
    };
    assert_eq!(change(&context, &filter(&[0, 1])), None);
    assert_eq!(change(&context, &filter(&[1, 0])), None);
    let all = filter(&[0, 1]);
    assert!(changed_operator(&all, &filter(&[1])).unwrap().is_some());
}

#[tokio::test]
async fn limits_that_do_not_fit_into_their_encoding_are_changes() {
    let context = context();
    let rows = plan(&context, "SELECT h FROM t").await;
    let large = (1 << 32) + 1;
    let limited: [Plan; 3] = [
        Arc::new(LocalLimitExec::new(Arc::clone(&rows), large)),
        Arc::new(GlobalLimitExec::new(Arc::clone(&rows), large, Some(1))),
        Arc::new(CoalescePartitionsExec::new(rows).with_fetch(Some(large))),
    ];
    let portability = Portability::new(Arc::new(context.state()));
    for plan in limited {
        assert_eq!(change(&context, &plan).as_deref(), Some(plan.name()));
        assert!(!portability.is_portable(plan.as_ref()));
    }
}
