//! The table functions `last_cache(table[, cache])` and `distinct_cache(table[, cache])`.
//!
//! Their error messages are those of InfluxDB 3.

use std::sync::Arc;

use datafusion::{
    catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider},
    common::{Result, plan_datafusion_err, plan_err},
    logical_expr::Expr,
};
use neap_catalog::Table;

use super::{CacheTable, TableCacheDefinition};
use crate::scope::QueryScope;

/// The name of the function that reads last caches.
pub(crate) const LAST_CACHE: &str = "last_cache";

/// The name of the function that reads distinct caches.
pub(crate) const DISTINCT_CACHE: &str = "distinct_cache";

/// `last_cache`, over a snapshot.
#[derive(Debug)]
pub(crate) struct LastCacheFunction(pub(crate) Arc<QueryScope>);

/// `distinct_cache`, over a snapshot.
#[derive(Debug)]
pub(crate) struct DistinctCacheFunction(pub(crate) Arc<QueryScope>);

impl TableFunctionImpl for LastCacheFunction {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let CacheFunctionArgs { table, cache } = CacheFunctionArgs::from_args(args.exprs())?;
        let table = table_of(&self.0, table)
            .ok_or_else(|| plan_datafusion_err!("provided table name is invalid"))?;
        let cache = find_cache_by_name(table.last_caches(), cache, |cache| &cache.name)
            .ok_or_else(|| plan_datafusion_err!("could not find cache for the given arguments"))?;
        let cache = TableCacheDefinition::Last(Arc::clone(cache));
        Ok(Arc::new(CacheTable::new(&self.0, table, cache)))
    }
}

impl TableFunctionImpl for DistinctCacheFunction {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let CacheFunctionArgs { table: name, cache } = CacheFunctionArgs::from_args(args.exprs())?;
        let table = table_of(&self.0, name)
            .ok_or_else(|| plan_datafusion_err!("provided table name ({name}) is invalid"))?;
        let caches = table.distinct_caches();
        let cache = find_cache_by_name(caches, cache, |cache| &cache.name).ok_or_else(|| {
            plan_datafusion_err!("could not find distinct value cache for the given arguments")
        })?;
        let cache = TableCacheDefinition::Distinct(Arc::clone(cache));
        Ok(Arc::new(CacheTable::new(&self.0, table, cache)))
    }
}

fn table_of<'a>(scope: &'a QueryScope, name: &str) -> Option<&'a Arc<Table>> {
    scope.snapshot.catalog.value.table(name)
}

/// Returns the cache with this name. Without a name, returns the only cache; `None` if there are several.
fn find_cache_by_name<'a, C>(
    caches: &'a [Arc<C>],
    name: Option<&str>,
    name_of: impl Fn(&C) -> &String,
) -> Option<&'a Arc<C>> {
    match (name, caches) {
        (Some(name), _) => caches.iter().find(|cache| name_of(cache) == name),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

/// The arguments of a call.
struct CacheFunctionArgs<'a> {
    table: &'a str,
    cache: Option<&'a str>,
}

impl<'a> CacheFunctionArgs<'a> {
    fn from_args(args: &'a [Expr]) -> Result<Self> {
        let Some(table) = args.first().and_then(text) else {
            return plan_err!("first argument must be the table name as a string");
        };
        let cache = match args.get(1) {
            None => None,
            Some(name) => match text(name) {
                None => {
                    return plan_err!(
                        "second argument, if passed, must be the cache name as a string"
                    );
                }
                name => name,
            },
        };
        if args.len() > 2 {
            return plan_err!("there are two arguments at most: the table name and the cache name");
        }
        Ok(Self { table, cache })
    }
}

/// The value of a literal string.
fn text(argument: &Expr) -> Option<&str> {
    match argument {
        Expr::Literal(value, _) => value.try_as_str()?,
        _ => None,
    }
}
