//! Test helpers: a session with two small tables, and query results as text.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, RecordBatch, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::Result;
use datafusion::config;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, PostgreSqlDialect};

const HOUR: i64 = 3_600_000_000_000;
/// 2024-01-01T08:00:00Z.
pub(crate) const EIGHT: i64 = 1_704_096_000 * 1_000_000_000;

const LIVING_ROOM: [f64; 13] =
    [21.1, 21.4, 21.8, 22.2, 22.2, 22.4, 22.3, 22.3, 22.4, 22.6, 22.8, 22.5, 22.2];
const LIVING_ROOM_CO: [i64; 13] = [0, 0, 0, 0, 0, 0, 1, 1, 4, 5, 9, 14, 17];
const KITCHEN_CO: [i64; 13] = [0, 0, 0, 0, 0, 1, 1, 3, 7, 9, 18, 22, 26];
const KITCHEN: [f64; 13] =
    [21.0, 23.0, 22.7, 22.4, 22.5, 22.8, 22.8, 22.7, 22.4, 22.7, 23.3, 23.1, 22.7];

/// Returns a session with the functions and the tables `home` (a part of InfluxDB's sample data, hourly from
/// 2024-01-01T08:00, with one partition per room) and `units`.
pub(crate) fn session() -> SessionContext {
    session_with(SessionConfig::new().with_target_partitions(2))
}

pub(crate) fn session_with(config: SessionConfig) -> SessionContext {
    let builder = SessionStateBuilder::new_with_default_features()
        .with_config(config.with_information_schema(true));
    let session = SessionContext::new_with_state(crate::register(builder).build());
    register_table(&session, "home", &home());
    register_table(&session, "units", &units());
    session
}

/// Adds one or more `batches` of the same schema as a table; each batch is a partition.
pub(crate) fn register_table(session: &SessionContext, name: &str, batches: &[RecordBatch]) {
    let partitions = batches.iter().map(|batch| vec![batch.clone()]).collect();
    let table = MemTable::try_new(batches[0].schema(), partitions).unwrap();
    session.register_table(name, Arc::new(table)).unwrap();
}

/// 2024-01-01T00:00:00Z, in seconds.
const START: i64 = 1_704_067_200;

/// A row: the second after [`START`], a symbol, and a number.
pub(crate) type Tick = (i64, Option<&'static str>, f64);

/// Adds a table with the columns `time`, `sym` and a number.
pub(crate) fn ticks(session: &SessionContext, name: &str, number: &str, ticks: &[Tick]) {
    let symbol = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let schema = Arc::new(Schema::new(vec![
        time_field(),
        Field::new("sym", symbol, true),
        Field::new(number, DataType::Float64, true),
    ]));
    let columns: Vec<ArrayRef> = vec![
        time_column(ticks.iter().map(|(second, ..)| (START + second) * 1_000_000_000)),
        Arc::new(
            ticks
                .iter()
                .map(|(_, symbol, _)| *symbol)
                .collect::<DictionaryArray<Int32Type>>(),
        ),
        Arc::new(Float64Array::from_iter_values(ticks.iter().map(|(.., number)| *number))),
    ];
    let batch = RecordBatch::try_new(schema, columns).unwrap();
    register_table(session, name, &[batch]);
}

/// A session with trades, and quotes before and after them.
pub(crate) fn market() -> SessionContext {
    let session = session();
    let trades = [
        (1, Some("a"), 10.0),
        (5, Some("a"), 11.0),
        (5, Some("b"), 20.0),
        (9, Some("b"), 21.0),
        (9, None, 30.0),
    ];
    let quotes = [
        (3, Some("a"), 10.5),
        (5, Some("a"), 10.9),
        (6, Some("a"), 11.5),
        (2, Some("b"), 19.0),
        (1, None, 0.0),
    ];
    ticks(&session, "trades", "price", &trades);
    ticks(&session, "quotes", "bid", &quotes);
    session
}

/// Returns times in nanoseconds as the `time` column of a table.
pub(crate) fn time_column(times: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from_iter_values(times))
}

/// Returns the field of a `time` column.
pub(crate) fn time_field() -> Field {
    Field::new("time", DataType::Timestamp(TimeUnit::Nanosecond, None), false)
}

fn home() -> Vec<RecordBatch> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("co", DataType::Int64, true),
        Field::new(
            "room",
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            true,
        ),
        Field::new("temp", DataType::Float64, true),
        time_field(),
    ]));
    let batch = |room: &str, temperatures: [f64; 13], co: [i64; 13]| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(co)),
            Arc::new(DictionaryArray::<Int32Type>::from_iter(std::iter::repeat_n(room, 13))),
            Arc::new(Float64Array::from_iter_values(temperatures)),
            time_column((0..13).map(|hour| EIGHT + hour * HOUR)),
        ];
        RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
    };
    vec![
        batch("Living Room", LIVING_ROOM, LIVING_ROOM_CO),
        batch("Kitchen", KITCHEN, KITCHEN_CO),
    ]
}

fn units() -> Vec<RecordBatch> {
    let schema = Arc::new(Schema::new(vec![time_field(), Field::new("v", DataType::Int64, true)]));
    let columns: Vec<ArrayRef> =
        vec![time_column([EIGHT, EIGHT + HOUR]), Arc::new(Int64Array::from(vec![1, 2]))];
    vec![RecordBatch::try_new(schema, columns).unwrap()]
}

async fn plan(session: &SessionContext, sql: &str) -> Result<DataFrame> {
    let state = session.state();
    let dialect: &dyn Dialect = match state.config().options().sql_parser.dialect {
        config::Dialect::PostgreSQL => &PostgreSqlDialect {},
        _ => &GenericDialect {},
    };
    let statement = crate::parse_sql(sql, dialect, 50)?.pop_front().unwrap();
    let plan = state.statement_to_plan(statement).await?;
    session.execute_logical_plan(plan).await
}

pub(crate) async fn rows(session: &SessionContext, sql: &str) -> Vec<RecordBatch> {
    let frame = plan(session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    frame.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Returns the number of rows of a query.
pub(crate) async fn row_count(session: &SessionContext, sql: &str) -> usize {
    rows(session, sql).await.iter().map(RecordBatch::num_rows).sum()
}

/// Returns the header and the rows of a query, formatted as a table without rules.
pub(crate) async fn table(session: &SessionContext, sql: &str) -> String {
    let table = pretty_format_batches(&rows(session, sql).await).unwrap().to_string();
    let lines: Vec<_> = table.lines().filter(|line| !line.starts_with('+')).collect();
    lines.join("\n")
}

/// Returns the error of a query without DataFusion's context messages.
pub(crate) async fn error(session: &SessionContext, sql: &str) -> String {
    let result = match plan(session, sql).await {
        Ok(frame) => frame.collect().await,
        Err(error) => Err(error),
    };
    match result {
        Ok(rows) => panic!("{sql} succeeded:\n{}", pretty_format_batches(&rows).unwrap()),
        Err(error) => error.find_root().strip_backtrace(),
    }
}
