//! The names for completion, fetched from the server on first use.
//!
//! Typing never waits for the fetch. Tab waits up to 500 ms, and proposes the names known by then.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use neap_bucket::{ClockReading, World};
use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::runtime::Handle;

use super::completion::{CompletionNames, CompletionTable};
use crate::client::{Client, ClientError};

/// Maximum time that Tab waits.
const WAIT: Duration = Duration::from_millis(500);
/// Timeout of a fetch in the background.
const LOAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Age after which names are fetched again, because other clients may create names.
const MAX_AGE: Duration = Duration::from_secs(30);

/// Selects the columns of all tables. Columns beyond the limit are not proposed.
const COLUMNS: &str = "SELECT table_schema, table_name, column_name FROM information_schema.columns \
    ORDER BY table_schema, table_name, column_name LIMIT 20000";
const FUNCTIONS: &str = "SELECT DISTINCT routine_name FROM information_schema.routines ORDER BY routine_name LIMIT 2000";

/// A cache of the names on a server and in one of its databases. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct NameCache {
    shared: Arc<NameCacheInner>,
    runtime: Handle,
}

#[derive(Debug)]
struct NameCacheInner {
    client: Client,
    world: World,
    state: Mutex<NameCacheState>,
    loaded: Condvar,
}

#[derive(Debug, Default)]
struct NameCacheState {
    database: Option<String>,
    names: Arc<CompletionNames>,
    /// Time of the last fetch; `None` if the names must be fetched again.
    fetched: Option<ClockReading>,
    is_loading: bool,
    /// Incremented when a fetch in progress becomes outdated.
    generation: u64,
}

impl NameCacheInner {
    fn state(&self) -> MutexGuard<'_, NameCacheState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NameCache {
    /// Creates an empty cache. Must be called within a Tokio runtime.
    pub(super) fn new(client: Client, world: World) -> Self {
        Self {
            shared: Arc::new(NameCacheInner {
                client,
                world,
                state: Mutex::default(),
                loaded: Condvar::new(),
            }),
            runtime: Handle::current(),
        }
    }

    /// Switches to a database and drops the names of the previous one.
    pub(super) fn use_database(&self, database: Option<&str>) {
        let mut state = self.shared.state();
        if state.database.as_deref() != database {
            state.database = database.map(str::to_owned);
            Arc::make_mut(&mut state.names).tables.clear();
        }
        drop(state);
        self.expire();
    }

    /// Expires the names, because they may have changed: the next completion fetches them again.
    pub(super) fn expire(&self) {
        let mut state = self.shared.state();
        state.fetched = None;
        state.generation += 1;
        state.is_loading = false;
    }

    /// Returns the known names, after a short wait if they are not known.
    pub(super) fn current(&self) -> Arc<CompletionNames> {
        let mut state = self.shared.state();
        let age = state.fetched.map(|at| self.shared.world.elapsed(&at));
        if age.is_none_or(|age| age > MAX_AGE) && !state.is_loading {
            state.is_loading = true;
            let shared = Arc::clone(&self.shared);
            self.runtime.spawn(load(shared, state.generation, state.database.clone()));
        }
        let is_awaited = |state: &mut NameCacheState| state.is_loading && state.fetched.is_none();
        let waited = self.shared.loaded.wait_timeout_while(state, WAIT, is_awaited);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&state.names)
    }
}

/// Fetches all names. Names that can't be fetched stay unchanged until the next fetch.
async fn load(shared: Arc<NameCacheInner>, generation: u64, database: Option<String>) {
    let world = &shared.world;
    let fetches = async {
        futures::join!(
            fetch_databases(&shared.client),
            fetch_tables(&shared.client, database.as_deref()),
            fetch_functions(&shared.client, database.as_deref()),
        )
    };
    let fetched = world.timeout(LOAD_TIMEOUT, fetches).await;
    let mut state = shared.state();
    if state.generation != generation {
        return;
    }
    if let Some((databases, tables, functions)) = fetched {
        let names = Arc::make_mut(&mut state.names);
        names.databases = databases.unwrap_or_else(|_| std::mem::take(&mut names.databases));
        names.tables = tables.unwrap_or_else(|_| std::mem::take(&mut names.tables));
        names.functions = functions.unwrap_or_else(|_| std::mem::take(&mut names.functions));
    }
    state.fetched = Some(world.clock_reading());
    state.is_loading = false;
    shared.loaded.notify_all();
}

/// Returns the names of the databases that the token may see.
pub(super) async fn fetch_databases(client: &Client) -> Result<Vec<String>, ClientError> {
    #[derive(Deserialize)]
    struct Row {
        #[serde(rename = "iox::database")]
        name: String,
    }
    let path = "/api/v3/configure/database";
    let rows: Vec<Row> = client.fetch_json(Method::GET, path, &[("format", "json")]).await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

async fn fetch_tables(
    client: &Client,
    database: Option<&str>,
) -> Result<Vec<CompletionTable>, ClientError> {
    #[derive(Deserialize)]
    struct Row {
        table_schema: String,
        table_name: String,
        column_name: String,
    }
    let rows: Vec<Row> = fetch_rows(client, database, COLUMNS).await?;
    let mut tables: Vec<CompletionTable> = Vec::new();
    for row in rows {
        match tables.last_mut() {
            Some(table) if table.schema == row.table_schema && table.name == row.table_name => {
                table.columns.push(row.column_name);
            }
            _ => tables.push(CompletionTable {
                schema: row.table_schema,
                name: row.table_name,
                columns: vec![row.column_name],
            }),
        }
    }
    Ok(tables)
}

async fn fetch_functions(
    client: &Client,
    database: Option<&str>,
) -> Result<Vec<String>, ClientError> {
    #[derive(Deserialize)]
    struct Row {
        routine_name: String,
    }
    let rows: Vec<Row> = fetch_rows(client, database, FUNCTIONS).await?;
    Ok(rows.into_iter().map(|row| row.routine_name).collect())
}

/// Returns the rows of an internal statement of the shell; none without a database.
async fn fetch_rows<T: DeserializeOwned>(
    client: &Client,
    database: Option<&str>,
    sql: &str,
) -> Result<Vec<T>, ClientError> {
    match database {
        Some(database) => client.query_rows(database, sql).await,
        None => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::runtime::Runtime;

    use super::*;
    use crate::{client::ClientSettings, shell::testing::MockServer};

    const ONE: &str = r#"[{"iox::database":"one"}]"#;
    const TWO: &str = r#"[{"iox::database":"one"},{"iox::database":"two"}]"#;

    fn cache(runtime: &Runtime, client: Client) -> NameCache {
        let _guard = runtime.enter();
        NameCache::new(client, World::system())
    }

    /// Polls until the response has arrived.
    fn databases(cache: &NameCache) -> Vec<String> {
        loop {
            let names = cache.current();
            if !cache.shared.state().is_loading {
                return names.databases.clone();
            }
        }
    }

    #[test]
    fn names_are_fetched_once_until_they_may_have_changed() {
        let runtime = Runtime::new().unwrap();
        let server = MockServer::new(&[(200, ONE), (200, TWO), (500, "")]);
        let cache = cache(&runtime, server.client());
        assert_eq!(databases(&cache), ["one"]);
        assert_eq!(databases(&cache), ["one"]);
        cache.expire();
        assert_eq!(databases(&cache), ["one", "two"]);
        cache.expire();
        assert_eq!(databases(&cache), ["one", "two"], "a failure changes nothing");
        assert_eq!(server.requests().len(), 3);
    }

    #[test]
    fn an_unresponsive_server_does_not_block_typing() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let connection = ClientSettings {
            url: url.parse().unwrap(),
            token: None,
            credentials: None,
            tls_ca: None,
            tls_no_verify: false,
        };
        let runtime = Runtime::new().unwrap();
        let cache = cache(&runtime, Client::new(&connection).unwrap());
        assert_eq!(*cache.current(), CompletionNames::default());
    }
}
