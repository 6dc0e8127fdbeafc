#!/usr/bin/env bash
# Querying: with the command, in both languages and all formats, and over HTTP.
source "$(dirname "$0")/lib.sh"

serve server --node-id host01 --object-store memory
first_token
bearer="Authorization: Bearer $INFLUXDB3_AUTH_TOKEN"
run neap write --database servers "$SERVER_DATA"

say "tables"
run neap query --database servers "SHOW TABLES"
has '| table_catalog | table_schema       | table_name'
has '| public        | iox                | cpu '
has '| public        | information_schema | df_settings '

say "rows"
run neap query --database servers "SELECT DISTINCT usage_percent, time FROM cpu LIMIT 10"
has '| usage_percent | time '
run neap query --database servers --format csv 'SELECT host, max(usage_percent) AS most FROM cpu GROUP BY host ORDER BY host'
is 'host,most
Alpha,25.3
Bravo,80.5
Charlie,65.4'
run neap query --database servers --format jsonl "SELECT host FROM cpu WHERE host = 'Charlie'"
is '{"host":"Charlie"}'
run neap query --database servers --format parquet --output cpu.parquet 'SELECT * FROM cpu'
[ "$(head -c 4 cpu.parquet)" = PAR1 ] || fail "cpu.parquet is no Parquet file"

say "InfluxQL"
run neap query \
    --database servers \
    --token "$INFLUXDB3_AUTH_TOKEN" \
    --language influxql \
    "SELECT DISTINCT usage_percent FROM cpu WHERE time >= now() - 1d"
has distinct
run neap query --database servers --language influxql --format json 'SHOW MEASUREMENTS'
has '"name":"cpu"'

say "GET"
http 200 -G "http://$HOST/api/v3/query_sql" \
    --header "$bearer" \
    --data-urlencode "db=servers" \
    --data-urlencode "q=select host from cpu order by host limit 1"
is '[{"host":"Alpha"}]'
for format in json jsonl csv pretty parquet; do
    http 200 -G "http://$HOST/api/v3/query_sql" --header "$bearer" --data-urlencode db=servers \
        --data-urlencode "q=select host from cpu limit 5" --data-urlencode "format=$format"
done
http 200 -G "http://$HOST/api/v3/query_influxql" --header "$bearer" --data-urlencode db=servers \
    --data-urlencode "q=SELECT max(usage_percent) FROM cpu"
has '80.5'

say "POST, whatever its body is declared to be"
http 200 "http://$HOST/api/v3/query_sql" --header "$bearer" \
    --data '{"db": "servers", "q": "select host from cpu order by host limit 1"}'
is '[{"host":"Alpha"}]'
http 200 "http://$HOST/api/v3/query_sql" --header "$bearer" --json \
    '{"db": "servers", "q": "select distinct host from cpu where host = $host", "params": {"host": "Bravo"}}'
is '[{"host":"Bravo"}]'

say "the endpoint of InfluxDB 1"
http 200 -G "http://$HOST/query" --header "$bearer" --data-urlencode db=servers --data-urlencode 'q=SELECT max(usage_percent) FROM cpu'
has '"name":"cpu"'
has '80.5'
