//! Published tables, as readers of Iceberg tables find them: in the store, and through the catalog of the server.

use serde_json::{Value, json};

use super::{TestProgram, serve};
use crate::harness::{StoreFixture, neap_binary};

/// Runs a module of `tests/clients` on a store.
fn read_published(module: &str, place: &StoreFixture, properties: &Value) {
    let Some(program) = TestProgram::iceberg_reader(module) else {
        return;
    };
    let (server, token) = serve(place, &[]);
    program
        .env("NEAP_URL", server.url())
        .env("NEAP_TOKEN", token)
        .env("NEAP_BIN", neap_binary())
        .env("NEAP_STORE", json!(place.flags).to_string())
        .env("NEAP_ICEBERG_PROPERTIES", properties.to_string())
        .run(server.folder());
}

/// Returns the value of a flag of the store.
fn flag<'a>(place: &'a StoreFixture, name: &str) -> &'a str {
    let flag = place.flags.iter().position(|flag| flag == name);
    flag.map_or("", |at| &place.flags[at + 1])
}

/// Returns the properties with which PyIceberg reads a store of S3.
fn s3_properties(place: &StoreFixture) -> Value {
    json!({
        "s3.endpoint": flag(place, "--aws-endpoint"),
        "s3.access-key-id": flag(place, "--aws-access-key-id"),
        "s3.secret-access-key": flag(place, "--aws-secret-access-key"),
        "s3.region": "us-east-1",
    })
}

#[test]
fn published_tables_in_a_directory_have_the_rows_of_queries() {
    read_published("iceberg_tables", &StoreFixture::directory(), &json!({}));
}

#[test]
fn published_tables_on_an_s3_server_have_the_rows_of_queries() {
    let place = StoreFixture::neap_s3_server();
    read_published("iceberg_tables", &place, &s3_properties(&place));
}

#[test]
fn readers_of_the_catalog_find_the_newest_publication_in_a_directory() {
    read_published("iceberg_catalog", &StoreFixture::directory(), &json!({}));
}

#[test]
fn readers_of_the_catalog_find_the_newest_publication_on_an_s3_server() {
    let place = StoreFixture::neap_s3_server();
    read_published("iceberg_catalog", &place, &s3_properties(&place));
}
