//! Requests that integrations send when they are set up and at work: the exchanges in `tests/clients/integrations`.
//!
//! None was recorded from a running program. The requests follow the source code that each exchange names: method, path,
//! headers, encoding and order of parameters. All values are our own.

use super::exchange::replay;
use crate::harness::tests;

tests! {
    home_assistant_starts_and_sends_states => replay("integrations/home_assistant.json");
    proxmox_tests_its_server_and_sends_metrics => replay("integrations/proxmox.json");
    flows_of_node_red_write_and_query => replay("integrations/node_red.json");
    collectd_sends_values_by_itself_and_through_telegraf => replay("integrations/collectd.json");
    openhab_stores_and_restores_items => replay("integrations/openhab.json");
    k6_creates_its_database_and_sends_samples => replay("integrations/k6.json");
    jmeter_sends_results => replay("integrations/jmeter.json");
    grafana_explores_and_queries_in_influxql => replay("integrations/grafana.json");
    chronograf_explores_queries_and_annotates => replay("integrations/chronograf.json");
    kapacitor_connects_queries_and_writes => replay("integrations/kapacitor.json");
}
