//! Continuous queries: materialized views whose query is InfluxQL.
//!
//! A continuous query reads one table of its database, and groups by `time()`. Its functions aggregate the rows of a
//! window, so that the rows of a window depend on the rows of the source in this window only.

use std::{sync::Arc, time::Duration};

use arrow::array::{ArrayRef, StringArray};
use neap_catalog::{
    AUTOGEN, CatalogError, DatabaseAction, MaterializedView, NewView, RootCatalog, ViewLanguage,
    ViewTargetDatabase, ViewWindows,
};
use neap_formats::series::SeriesLayout;
use neap_influxql::{
    Condition, ContinuousQuery, ContinuousQueryStatement, Dimension, Expr, Fill, IntoTarget,
    Measurement, MeasurementName, Select, SelectSource, Statement, WindowLength, parse,
};
use neap_influxql_planner::batch_of;
use neap_schema::{DatabaseId, TIME_COLUMN};

use super::{
    error::InfluxqlError,
    session::{InfluxqlSession, StatementAnswer},
};
use crate::{QueryError, Rows, views::check_views_are_kept};

/// The functions of a continuous query. Each depends on the rows of one window, and returns one value.
const AGGREGATES: [&str; 13] = [
    "count",
    "distinct",
    "first",
    "last",
    "max",
    "mean",
    "median",
    "min",
    "mode",
    "percentile",
    "spread",
    "stddev",
    "sum",
];

/// The functions of values that may combine aggregates.
const VALUE_FUNCTIONS: [&str; 18] = [
    "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "exp", "floor", "ln", "log", "log10",
    "log2", "pow", "round", "sin", "sqrt", "tan",
];

impl InfluxqlSession {
    /// Executes a statement about continuous queries.
    pub(super) async fn continuous_query(
        &self,
        statement: &ContinuousQueryStatement,
    ) -> Result<StatementAnswer, InfluxqlError> {
        match statement {
            ContinuousQueryStatement::Create(query) => {
                self.create_continuous_query(query).await?;
            }
            ContinuousQueryStatement::Drop { name, database } => {
                self.drop_continuous_query(name, database).await?;
            }
            ContinuousQueryStatement::Show => return self.continuous_queries().await,
        }
        Ok(StatementAnswer::done(None))
    }

    async fn create_continuous_query(&self, query: &ContinuousQuery) -> Result<(), InfluxqlError> {
        check_views_are_kept(&self.engine)?;
        let database = self.changed_database(&query.database).await?;
        self.caller.require(DatabaseAction::Read, Some(database))?;
        self.caller.require(DatabaseAction::Write, Some(database))?;
        let root = self.seen.root(self.engine.catalog()).await?;
        let definition = define(query, &root).map_err(InfluxqlError::Invalid)?;
        let target = match definition.target_database {
            None => None,
            Some(name) => {
                let id = self.changed_database(&name).await?;
                self.caller.require(DatabaseAction::Write, Some(id))?;
                Some(ViewTargetDatabase { id, name }).filter(|target| target.id != database)
            }
        };
        let mut new = definition.view;
        new.created_by = self.caller.actor();
        new.target.database = target;
        match self.engine.catalog().create_view(database, &new).await {
            Ok(_) => Ok(()),
            Err(CatalogError::AlreadyExists { name }) => {
                self.check_is_same(database, &name, &new).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Accepts a repeated statement, as InfluxDB 1 does.
    async fn check_is_same(
        &self,
        database: DatabaseId,
        name: &str,
        new: &NewView,
    ) -> Result<(), InfluxqlError> {
        let catalog = self.engine.catalog().database(database, Duration::ZERO).await?;
        let is_same = |view: &&Arc<MaterializedView>| {
            view.language == new.language
                && view.query == new.query
                && view.target == new.target
                && (view.every, view.resampled_period) == (new.every, new.resampled_period)
        };
        match catalog.value.view(name).filter(is_same) {
            Some(_) => Ok(()),
            None => Err(InfluxqlError::Invalid("continuous query already exists".to_owned())),
        }
    }

    async fn drop_continuous_query(&self, name: &str, database: &str) -> Result<(), InfluxqlError> {
        let database = self.changed_database(database).await?;
        self.caller.require(DatabaseAction::Write, Some(database))?;
        let deleted = self.engine.catalog().delete_view(database, name, ViewLanguage::InfluxQl);
        match deleted.await {
            // As in InfluxDB 1, a missing one is no error.
            Ok(_) | Err(CatalogError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Answers `SHOW CONTINUOUS QUERIES` for the databases that the caller may read: one series for each database.
    async fn continuous_queries(&self) -> Result<StatementAnswer, InfluxqlError> {
        let catalogs = self.engine.catalog();
        let root = self.seen.root(catalogs).await?;
        let (mut databases, mut names, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        let live: Vec<_> = root
            .live_databases()
            .map(|(id, entry)| (entry.name.clone(), id))
            .filter(|(_, id)| self.caller.may(DatabaseAction::Read, Some(*id)))
            .collect();
        for (database, id) in live {
            let catalog = catalogs.database(id, catalogs.max_age());
            for view in catalog.await?.value.views() {
                if view.language == ViewLanguage::InfluxQl {
                    names.push(view.name.clone());
                    texts.push(self.shown_text(&root, &database, view));
                    databases.push(database.clone());
                }
            }
        }
        let columns: Vec<(&str, ArrayRef)> = vec![
            (neap_formats::series::MEASUREMENT_COLUMN, Arc::new(StringArray::from(databases))),
            ("name", Arc::new(StringArray::from(names))),
            ("query", Arc::new(StringArray::from(texts))),
        ];
        let rows = batch_of(columns).map_err(QueryError::Execution)?;
        Ok(StatementAnswer {
            rows: Rows::from_batch(rows),
            series: SeriesLayout::by_table(),
        })
    }

    /// Returns the statement of a continuous query. If the caller may not see the database that gets its rows, that is its
    /// `SELECT` without `INTO`.
    fn shown_text(&self, root: &RootCatalog, database: &str, view: &MaterializedView) -> String {
        let Some(target) = &view.target.database else {
            return statement_text(database, view, None);
        };
        let target = root
            .target_database(target)
            .filter(|target| self.caller.can_see(*target))
            .and_then(|target| root.databases().get(&target));
        match target {
            Some(entry) => statement_text(database, view, Some(&entry.name)),
            None => view.query.clone(),
        }
    }
}

/// Returns the statement that creates a continuous query, with the name of the other database that gets its rows.
fn statement_text(database: &str, view: &MaterializedView, target: Option<&str>) -> String {
    let created = parse(&view.query).ok().and_then(|mut statements| {
        let Some(Statement::Select(select)) = statements.pop() else {
            return None;
        };
        let nanos = |duration: Option<Duration>| {
            duration.map(|duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
        };
        Some(ContinuousQuery {
            name: view.name.clone(),
            database: database.to_owned(),
            every: nanos(view.every),
            period: nanos(view.resampled_period),
            query: neap_influxql::SelectInto {
                select: *select,
                target: IntoTarget {
                    database: target.map(str::to_owned),
                    retention_policy: target.map(|_| AUTOGEN.to_owned()),
                    table: Some(view.target.table.clone()),
                },
            },
        })
    });
    created.map_or_else(|| view.query.clone(), |query| query.to_string())
}

/// The view of a continuous query. Its target lacks the database, which `target_database` names if it is another one.
#[derive(Debug)]
struct ViewDefinition {
    view: NewView,
    target_database: Option<String>,
}

/// Derives the definition of a view. The error is the reason why the query can't be kept.
fn define(query: &ContinuousQuery, root: &RootCatalog) -> Result<ViewDefinition, String> {
    let mut select = query.query.select.clone();
    let source = source_table(&query.database, root, &mut select)?;
    let windows = windows(&select)?;
    match select.fill {
        None | Some(Fill::Null | Fill::None) => select.fill = Some(Fill::None),
        Some(_) => return Err(
            "a continuous query stores no values for windows without rows: fill() is none or null"
                .to_owned(),
        ),
    }
    let clauses = [select.limit, select.offset, select.slimit, select.soffset];
    if clauses.iter().any(Option::is_some) || select.order.is_some() || select.time_zone.is_some() {
        return Err("a continuous query has no ORDER BY, LIMIT, OFFSET, SLIMIT, SOFFSET and tz()"
            .to_owned());
    }
    if let Some(condition) = &select.condition {
        check_condition(condition)?;
    }
    for field in &select.fields {
        check_field(&field.expr, false)?;
    }
    let duration = |nanos: i64| Duration::from_nanos(nanos.unsigned_abs());
    let target = &query.query.target;
    let named = target.database.as_deref().unwrap_or(&query.database);
    let stored = root.policy_database(named, target.retention_policy.as_deref());
    let (name, text) = (&query.name, select.to_string());
    let table = target.table.as_ref().unwrap_or(&source);
    let view = NewView {
        every: query.every.map(duration),
        resampled_period: query.period.map(duration),
        ..NewView::new(name, ViewLanguage::InfluxQl, &text, &source, table, windows)
    };
    Ok(ViewDefinition {
        view,
        target_database: Some(stored).filter(|stored| *stored != query.database),
    })
}

/// Returns the only source, which is in the database of the continuous query, and removes the name of the database.
fn source_table(database: &str, root: &RootCatalog, select: &mut Select) -> Result<String, String> {
    let [SelectSource::Measurement(measurement)] = select.from.as_mut_slice() else {
        return Err("a continuous query reads one measurement, and no subquery".to_owned());
    };
    let Measurement { database: named, retention_policy, name } = measurement;
    let is_elsewhere = named.take().is_some_and(|named| named != database);
    let read = root.policy_database(database, retention_policy.take().as_deref());
    if is_elsewhere || read != database {
        return Err(format!(
            "a continuous query reads a measurement of its database '{database}'; create it ON the \
                            database of its source, which for a retention policy is \"database/policy\""
        ));
    }
    match name {
        MeasurementName::Name(name) => Ok(name.clone()),
        MeasurementName::Regex(_) => {
            Err("a continuous query reads one measurement, and not all that match a \
                                          regular expression"
                .to_owned())
        }
    }
}

fn windows(select: &Select) -> Result<ViewWindows, String> {
    let mut times = select.group_by.iter().filter_map(|dimension| match dimension {
        Dimension::Time { every, offset } => Some((*every, offset)),
        _ => None,
    });
    let Some((length, offset)) = times.next() else {
        return Err("must have GROUP BY time() in a continuous query".to_owned());
    };
    let WindowLength::Nanos(length_ns) = length else {
        return Err("a continuous query has no windows of months and years".to_owned());
    };
    let origin_ns = match offset {
        None => 0,
        Some(offset) => offset
            .as_duration()
            .ok_or("the offset of time() in a continuous query is a duration")?,
    };
    Ok(ViewWindows { length_ns, origin_ns: origin_ns.rem_euclid(length_ns) })
}

/// Refuses conditions that depend on the present time, or that limit times.
fn check_condition(condition: &Condition) -> Result<(), String> {
    let sides = match condition {
        Condition::And(parts) | Condition::Or(parts) => {
            return parts.iter().try_for_each(check_condition);
        }
        Condition::Compare { left, right, .. } => vec![left, right],
        Condition::Value(value) => vec![value],
    };
    if sides.into_iter().any(depends_on_time) {
        Err("a continuous query has no condition on time, because it computes all windows"
            .to_owned())
    } else {
        Ok(())
    }
}

fn depends_on_time(expr: &Expr) -> bool {
    match expr {
        Expr::Column(column) => column.name == TIME_COLUMN,
        Expr::Call(call) => call.name == "now" || call.args.iter().any(depends_on_time),
        Expr::Binary { left, right, .. } => depends_on_time(left) || depends_on_time(right),
        Expr::Parameter(_) => true,
        Expr::Wildcard(_) | Expr::Regex(_) | Expr::Literal(_) => false,
    }
}

/// Refuses functions whose values depend on other windows, or that return several rows for a window.
fn check_field(expr: &Expr, is_argument: bool) -> Result<(), String> {
    match expr {
        Expr::Call(call) if AGGREGATES.contains(&call.name.as_str()) => {
            if call.name == "distinct" && !is_argument {
                return Err("distinct() returns several rows for a window: use count(distinct())"
                    .to_owned());
            }
            call.args.iter().try_for_each(|arg| check_field(arg, true))
        }
        Expr::Call(call) if VALUE_FUNCTIONS.contains(&call.name.as_str()) => {
            call.args.iter().try_for_each(|arg| check_field(arg, is_argument))
        }
        Expr::Call(call) => Err(format!("{}() is not supported in a continuous query", call.name)),
        Expr::Binary { left, right, .. } => {
            check_field(left, is_argument)?;
            check_field(right, is_argument)
        }
        Expr::Literal(_) => Ok(()),
        Expr::Column(_) | Expr::Wildcard(_) | Expr::Regex(_) if is_argument => Ok(()),
        _ => Err("a continuous query selects aggregates".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defined(select: &str) -> Result<ViewDefinition, String> {
        let text = format!("CREATE CONTINUOUS QUERY cq ON db BEGIN {select} END");
        match parse(&text).unwrap().pop() {
            Some(Statement::ContinuousQuery(ContinuousQueryStatement::Create(query))) => {
                define(&query, &RootCatalog::default())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_has_source_target_and_windows() {
        let ViewDefinition {
            view,
            target_database,
        } = defined(
            "SELECT mean(passengers) INTO other.weeks.average FROM bus GROUP BY time(1h, 15m), complaints",
        )
        .unwrap();
        assert_eq!(view.source, "bus");
        assert_eq!(target_database.as_deref(), Some("other/weeks"));
        assert_eq!(view.target.table, "average");
        let minute = 60_000_000_000;
        assert_eq!(view.windows.length_ns, 60 * minute);
        assert_eq!(view.windows.origin_ns, 15 * minute);
        assert_eq!(
            view.query,
            "SELECT mean(passengers) FROM bus GROUP BY TIME(1h, 15m), complaints FILL(NONE)"
        );
    }

    #[test]
    fn the_database_may_be_named() {
        let view =
            defined("SELECT max(v) INTO db.autogen.t FROM db.autogen.s GROUP BY time(1m), *")
                .unwrap();
        assert_eq!(view.target_database, None);
        assert_eq!(view.view.source, "s");
    }

    #[test]
    fn queries_whose_windows_depend_on_other_rows_are_refused() {
        for select in [
            "SELECT mean(v) INTO t FROM s",
            "SELECT mean(v) INTO t FROM /.*/ GROUP BY time(1m)",
            "SELECT mean(v) INTO t FROM a, b GROUP BY time(1m)",
            "SELECT mean(v) INTO t FROM (SELECT v FROM s) GROUP BY time(1m)",
            "SELECT mean(v) INTO t FROM rp.s GROUP BY time(1m)",
            "SELECT mean(v) INTO t FROM s GROUP BY time(1m) FILL(previous)",
            "SELECT mean(v) INTO t FROM s GROUP BY time(1mo)",
            "SELECT mean(v) INTO t FROM s GROUP BY time(1m) LIMIT 3",
            "SELECT mean(v) INTO t FROM s GROUP BY time(1m) TZ('Europe/Berlin')",
            "SELECT mean(v) INTO t FROM s WHERE time > now() - 1h GROUP BY time(1m)",
            "SELECT derivative(mean(v)) INTO t FROM s GROUP BY time(1m)",
            "SELECT top(v, 3) INTO t FROM s GROUP BY time(1m)",
            "SELECT distinct(v) INTO t FROM s GROUP BY time(1m)",
            "SELECT v INTO t FROM s GROUP BY time(1m)",
        ] {
            assert!(defined(select).is_err(), "{select}");
        }
    }

    #[test]
    fn the_statement_of_a_view_creates_it_again() {
        let new = defined(
            "SELECT sum(v) / count(v) INTO o.rp.t FROM s WHERE host = 'a' GROUP BY time(1m)",
        );
        let ViewDefinition { view: new, target_database } = new.unwrap();
        let view = MaterializedView {
            id: neap_schema::ViewId::new(1),
            name: "cq".to_owned(),
            created_in: DatabaseId::new(1),
            created: neap_bucket::StoreTime::from_micros(0),
            created_by: None,
            language: new.language,
            query: new.query.clone(),
            source: new.source.clone(),
            target: new.target.clone(),
            windows: new.windows,
            tags: None,
            every: Some(Duration::from_secs(60)),
            resampled_period: None,
        };
        let text = statement_text("db", &view, target_database.as_deref());
        let Some(Statement::ContinuousQuery(ContinuousQueryStatement::Create(query))) =
            parse(&text).unwrap().pop()
        else {
            panic!("{text}");
        };
        let again = define(&query, &RootCatalog::default()).unwrap();
        assert_eq!(again.target_database, target_database);
        let again = again.view;
        assert_eq!((&again.query, &again.target), (&new.query, &new.target));
        assert_eq!(again.every, view.every);
    }
}
