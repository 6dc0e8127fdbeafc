//! Creates and deletes materialized views. Each change is one commit to the catalog of the database.
//!
//! A table gets the rows of one view only, because a view deletes the rows of a window that its query no longer returns.
//! A view may read the table of another view, but not, through other views, its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use neap_bucket::StoreTime;
use neap_schema::{ColumnType, DatabaseId, OnDuplicate, ViewId, validate_table_name};

use crate::{
    Actor, Catalog, CatalogError, CatalogLimits, DatabaseCatalog, LimitError, MaterializedView,
    TableAddition, ViewLanguage, ViewReference, ViewTarget, ViewWindows,
};

/// Maximum number of materialized views in a database.
pub const MAX_VIEWS: usize = 100;
/// Maximum bytes of the name of a view.
pub const MAX_VIEW_NAME_BYTES: usize = 255;
/// Maximum bytes of the query of a view.
pub const MAX_VIEW_QUERY_BYTES: usize = 16 << 10;
/// Maximum number of tags of a view.
pub const MAX_VIEW_TAGS: usize = 250;

/// The parameters of a view to create. See [`MaterializedView`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewView {
    /// The name.
    pub name: String,
    /// The token or user that creates it.
    pub created_by: Option<Actor>,
    /// The language of the query.
    pub language: ViewLanguage,
    /// The query.
    pub query: String,
    /// The table that the query reads.
    pub source: String,
    /// The table that gets the rows.
    pub target: ViewTarget,
    /// The windows.
    pub windows: ViewWindows,
    /// The tags of the rows; `None`: those by which the query groups when it runs.
    pub tags: Option<Vec<String>>,
    /// Minimum time between two refreshes.
    pub every: Option<Duration>,
    /// The period of `RESAMPLE FOR`.
    pub resampled_period: Option<Duration>,
    /// Whether the target must not exist. Otherwise, it may be a table that has rows.
    pub needs_new_table: bool,
    /// The columns of the new table, if they are known. Otherwise, the first rows create the table.
    pub columns: Vec<(String, ColumnType)>,
}

impl NewView {
    /// Creates the parameters of a view that is refreshed after each flush, and whose rows go to an existing table of its
    /// database.
    pub fn new(
        name: &str,
        language: ViewLanguage,
        query: &str,
        source: &str,
        target: &str,
        windows: ViewWindows,
    ) -> Self {
        Self {
            name: name.to_owned(),
            created_by: None,
            language,
            query: query.to_owned(),
            source: source.to_owned(),
            target: ViewTarget { database: None, table: target.to_owned() },
            windows,
            tags: None,
            every: None,
            resampled_period: None,
            needs_new_table: false,
            columns: Vec::new(),
        }
    }
}

impl Catalog {
    /// Creates a view, with its table if the columns are known and the database allows it. If its rows go to another
    /// database, its table there is reserved first.
    ///
    /// # Errors
    /// `AlreadyExists`, `EmptyName`, `InvalidTableName`, `InvalidView`, `Limit`, or an error of a commit.
    pub async fn create_view(
        &self,
        database: DatabaseId,
        new: &NewView,
    ) -> Result<Arc<MaterializedView>, CatalogError> {
        check(new)?;
        let elsewhere = self.tables_elsewhere(database, !new.columns.is_empty()).await?;
        self.reserve_target(database, new).await?;
        let created = self.change_views(database, |catalog, now| {
            let view = catalog.add_view(database, new, now)?;
            catalog.add_view_table(new, elsewhere, &self.limits)?;
            let detail = Some(format!("of table {}", new.source));
            catalog.note(now, "create materialized view", &new.name, detail);
            Ok(view)
        });
        let created = created.await;
        if created.is_err() {
            self.release_abandoned(new).await;
        }
        created
    }

    /// Deletes a view of this language. Its table keeps its rows.
    ///
    /// # Errors
    /// `NotFound`, or an error of the commit.
    pub async fn delete_view(
        &self,
        database: DatabaseId,
        name: &str,
        language: ViewLanguage,
    ) -> Result<Arc<MaterializedView>, CatalogError> {
        let deleted = self.change_views(database, |catalog, now| {
            let found = catalog.view(name).filter(|view| view.language == language);
            let view =
                found.cloned().ok_or_else(|| CatalogError::NotFound { name: name.to_owned() })?;
            catalog.views.remove(&view.id);
            catalog.note(now, "delete materialized view", name, None);
            Ok(view)
        });
        let deleted = deleted.await?;
        self.release_target(database, &deleted).await;
        Ok(deleted)
    }

    /// Commits a change to a freshly read catalog, because another instance may just have changed the views.
    async fn change_views(
        &self,
        database: DatabaseId,
        mut change: impl FnMut(
            &mut DatabaseCatalog,
            StoreTime,
        ) -> Result<Arc<MaterializedView>, CatalogError>
        + Send,
    ) -> Result<Arc<MaterializedView>, CatalogError> {
        let known = self.database(database, Duration::ZERO).await?;
        let change = |catalog: &mut DatabaseCatalog| Ok((true, change(catalog, self.now()?)?));
        let (_, view) = self.change(database, Some(known), change).await?;
        Ok(view)
    }
}

impl DatabaseCatalog {
    /// Returns the materialized views, by id.
    pub fn views(&self) -> impl Iterator<Item = &Arc<MaterializedView>> {
        self.views.values()
    }

    /// Returns the view with this name.
    pub fn view(&self, name: &str) -> Option<&Arc<MaterializedView>> {
        self.views().find(|view| view.name == name)
    }

    /// Returns the view with this id.
    pub fn view_by_id(&self, id: ViewId) -> Option<&Arc<MaterializedView>> {
        self.views.get(&id)
    }

    /// Returns the id that the next view gets. Views with smaller ids exist or are deleted.
    pub fn next_view(&self) -> ViewId {
        self.next_view
    }

    fn add_view(
        &mut self,
        database: DatabaseId,
        new: &NewView,
        now: StoreTime,
    ) -> Result<Arc<MaterializedView>, CatalogError> {
        if self.view(&new.name).is_some() {
            let name = new.name.clone();
            return Err(CatalogError::AlreadyExists { name });
        }
        if self.views.len() >= MAX_VIEWS {
            let limit = MAX_VIEWS;
            return Err(LimitError::Views { limit }.into());
        }
        self.check_target(new)?;
        let id = self.next_view;
        let no_more = CatalogError::NoMoreIds { what: "materialized view" };
        self.next_view = id.next().ok_or(no_more)?;
        let view = Arc::new(MaterializedView {
            id,
            name: new.name.clone(),
            created_in: database,
            created: now,
            created_by: new.created_by,
            language: new.language,
            query: new.query.clone(),
            source: new.source.clone(),
            target: new.target.clone(),
            windows: new.windows,
            tags: new.tags.clone(),
            every: new.every,
            resampled_period: new.resampled_period,
        });
        self.views.insert(id, Arc::clone(&view));
        Ok(view)
    }

    /// Adds the table of a view, so that queries find it before the first refresh.
    fn add_view_table(
        &mut self,
        new: &NewView,
        elsewhere: usize,
        limits: &CatalogLimits,
    ) -> Result<(), CatalogError> {
        if !new.needs_new_table || new.target.database.is_some() || new.columns.is_empty() {
            return Ok(());
        }
        let addition = [TableAddition {
            table: new.target.table.clone(),
            columns: new.columns.clone(),
        }];
        if self.check_auto_create(&addition).is_ok() {
            self.add(&addition, elsewhere, limits)?;
        }
        Ok(())
    }

    /// Checks that no other view has the target, and that the view does not read it.
    fn check_target(&self, new: &NewView) -> Result<(), CatalogError> {
        let target = &new.target;
        let invalid = |reason: String| Err(CatalogError::InvalidView { reason });
        let is_taken = |other: &ViewTarget| match (&other.database, &target.database) {
            (None, None) => self.is_same_table(&other.table, &target.table),
            _ => other == target,
        };
        if let Some(other) = self.views().find(|view| is_taken(&view.target)) {
            return invalid(format!(
                "table '{}' gets the rows of materialized view '{}'",
                target.table, other.name
            ));
        }
        if target.database.is_some() {
            return Ok(());
        }
        if let Some((_, other)) = self.foreign_view(&target.table) {
            return Err(other.conflict(&target.table));
        }
        self.check_target_table(&target.table)?;
        if new.needs_new_table && self.table(&target.table).is_some() {
            return invalid(format!("table '{}' exists", target.table));
        }
        let mut read_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for view in self.views() {
            if let Some(target) = view.local_target() {
                let source = self.present_table_name(&view.source);
                read_by.entry(source).or_default().push(self.present_table_name(target));
            }
        }
        let source = self.present_table_name(&new.source);
        let mut reached = BTreeSet::new();
        let mut next = vec![self.present_table_name(&target.table)];
        while let Some(table) = next.pop() {
            if table == source {
                return invalid(format!(
                    "the rows of table '{}' would depend on themselves",
                    target.table
                ));
            }
            if reached.insert(table) {
                next.extend(read_by.get(table).into_iter().flatten());
            }
        }
        Ok(())
    }

    /// Refuses a table as the target of a view if its columns have aliases, because refreshes compare its rows by the names of
    /// columns, which the query of the view might have as aliases; and if it keeps earlier rows, because refreshes replace rows.
    pub(crate) fn check_target_table(&self, table: &str) -> Result<(), CatalogError> {
        if self.table(table).is_some_and(|found| found.has_column_aliases()) {
            let reason = format!("columns of table '{table}' have aliases; delete them first");
            return Err(CatalogError::InvalidView { reason });
        }
        if self.on_duplicate == OnDuplicate::Keep {
            let reason = format!(
                "it could not replace rows of table '{table}', whose database keeps earlier rows (on-duplicate: keep)"
            );
            return Err(CatalogError::InvalidView { reason });
        }
        Ok(())
    }

    /// Returns whether two names stand for the same table.
    pub(crate) fn is_same_table(&self, one: &str, other: &str) -> bool {
        self.present_table_name(one) == self.present_table_name(other)
    }

    /// Returns the view of another database whose rows go to a table, with the name that it has for the table.
    pub(crate) fn foreign_view(&self, table: &str) -> Option<(&String, &ViewReference)> {
        self.foreign_views.iter().find(|(name, _)| self.is_same_table(name, table))
    }

    /// Removes the views whose rows go to other databases. Called for a copy that does not replace its source, because
    /// those databases get the rows of the source's views.
    pub(crate) fn remove_views_into_other_databases(&mut self) {
        self.views.retain(|_, view| view.local_target().is_some());
    }
}

fn check(new: &NewView) -> Result<(), CatalogError> {
    if new.name.is_empty() {
        return Err(CatalogError::EmptyName { what: "materialized view" });
    }
    validate_table_name(&new.target.table)?;
    let invalid = |reason: String| Err(CatalogError::InvalidView { reason });
    if new.name.len() > MAX_VIEW_NAME_BYTES || new.name.chars().any(char::is_control) {
        return invalid(format!(
            "the name of a materialized view has at most {MAX_VIEW_NAME_BYTES} bytes and no control characters"
        ));
    }
    if new.query.len() > MAX_VIEW_QUERY_BYTES {
        return invalid(format!("the query has more than {MAX_VIEW_QUERY_BYTES} bytes"));
    }
    if new.windows.length_ns <= 0 {
        return invalid("the length of a window is not above zero".to_owned());
    }
    if new.tags.as_ref().is_some_and(|tags| tags.len() > MAX_VIEW_TAGS) {
        return invalid(format!("the query groups by more than {MAX_VIEW_TAGS} tags"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use neap_schema::AutoCreate;

    use super::*;

    fn new(name: &str, source: &str, target: &str) -> NewView {
        let windows = ViewWindows::since_epoch(60);
        NewView {
            tags: Some(vec!["host".to_owned()]),
            needs_new_table: true,
            ..NewView::new(name, ViewLanguage::Sql, "SELECT 1", source, target, windows)
        }
    }

    fn add(catalog: &mut DatabaseCatalog, new: &NewView) -> Result<(), String> {
        let now = StoreTime::from_micros(1);
        let added = catalog.add_view(DatabaseId::new(7), new, now);
        added.map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn format() {
        let mut catalog = DatabaseCatalog::default();
        add(&mut catalog, &new("hourly", "cpu", "cpu_1h")).unwrap();
        let expected = serde_json::json!({
            "next_table": 1, "tables": {},
            "views": {"1": {
                "id": 1, "name": "hourly", "created_in": 7, "created": 1, "language": "sql",
                "query": "SELECT 1", "source": "cpu", "target": {"table": "cpu_1h"},
                "windows": {"length_ns": 60, "origin_ns": 0}, "tags": ["host"],
            }},
            "next_view": 2,
        });
        assert_eq!(serde_json::to_value(catalog).unwrap(), expected);
    }

    #[test]
    fn a_table_gets_the_rows_of_one_view() {
        let mut catalog = DatabaseCatalog::default();
        add(&mut catalog, &new("a", "cpu", "t")).unwrap();
        let error = add(&mut catalog, &new("b", "mem", "t")).unwrap_err();
        assert!(error.contains("table 't' gets the rows of materialized view 'a'"), "{error}");
    }

    #[test]
    fn views_do_not_read_their_own_rows() {
        let mut catalog = DatabaseCatalog::default();
        let error = add(&mut catalog, &new("loop", "t", "t")).unwrap_err();
        assert!(error.contains("depend on themselves"), "{error}");
        add(&mut catalog, &new("a", "raw", "one")).unwrap();
        add(&mut catalog, &new("b", "one", "two")).unwrap();
        let error = add(&mut catalog, &new("c", "two", "raw")).unwrap_err();
        assert!(error.contains("depend on themselves"), "{error}");
        add(&mut catalog, &new("d", "two", "three")).unwrap();
    }

    #[test]
    fn a_view_that_needs_a_new_table_gets_no_existing_one() {
        let mut catalog = DatabaseCatalog::default();
        let addition = TableAddition { table: "t".to_owned(), columns: Vec::new() };
        let limits = CatalogLimits::default();
        catalog.add(&[addition], 0, &limits).unwrap();
        let mut view = new("a", "cpu", "t");
        let error = add(&mut catalog, &view).unwrap_err();
        assert!(error.contains("table 't' exists"), "{error}");
        view.needs_new_table = false;
        add(&mut catalog, &view).unwrap();
    }

    #[test]
    fn a_view_brings_its_table_unless_the_database_is_locked() {
        let limits = CatalogLimits::default();
        let view = NewView {
            columns: vec![("n".to_owned(), ColumnType::Integer)],
            ..new("a", "cpu", "t")
        };
        for (auto_create, has_table) in [(AutoCreate::All, true), (AutoCreate::Columns, false)] {
            let mut catalog = DatabaseCatalog::default();
            catalog.auto_create = auto_create;
            add(&mut catalog, &view).unwrap();
            catalog.add_view_table(&view, 0, &limits).unwrap();
            let table = catalog.table("t");
            assert_eq!(table.is_some_and(|table| table.column("n").is_some()), has_table);
        }
    }

    #[test]
    fn ids_are_not_reused() {
        let mut catalog = DatabaseCatalog::default();
        add(&mut catalog, &new("a", "cpu", "t")).unwrap();
        catalog.views.clear();
        add(&mut catalog, &new("a", "cpu", "t")).unwrap();
        assert_eq!(catalog.view("a").unwrap().id, ViewId::new(2));
    }
}
