#!/usr/bin/env bash
# Last value caches, distinct value caches, and file indexes.
source "$(dirname "$0")/lib.sh"

serve server --node-id host01 --object-store memory
first_token
run neap write --database servers "$SERVER_DATA"

say "a last value cache"
run neap create last_cache \
    --token "$INFLUXDB3_AUTH_TOKEN" \
    --database servers \
    --table cpu \
    --key-columns host,application \
    --value-columns usage_percent,status \
    --count 5 cpuCache
run neap query \
    --token "$INFLUXDB3_AUTH_TOKEN" \
    --database servers \
    "SELECT * FROM last_cache('cpu', 'cpuCache') WHERE host = 'Bravo';"
has '| Bravo | database    |'
has_not Alpha
run neap create last_cache --database servers --table cpu byDefault
run neap delete last_cache --database servers --table cpu byDefault
run neap delete last_cache --token "$INFLUXDB3_AUTH_TOKEN" --database servers --table cpu --cache-name cpuCache
ends 1 neap query --database servers "SELECT * FROM last_cache('cpu', 'cpuCache')"

say "a distinct value cache"
run neap create distinct_cache \
    --token "$INFLUXDB3_AUTH_TOKEN" \
    --database servers \
    --table cpu \
    --columns host,application \
    cpuDistinctCache
run neap query \
    --token "$INFLUXDB3_AUTH_TOKEN" \
    --database servers \
    --format json \
    "SELECT * FROM distinct_cache('cpu', 'cpuDistinctCache')"
is '[{"host":"Alpha","application":"webserver"},{"host":"Bravo","application":"database"},{"host":"Charlie","application":"cache"}]'
run neap delete distinct_cache --token "$INFLUXDB3_AUTH_TOKEN" --database servers --table cpu --cache-name cpuDistinctCache

say "a file index"
run neap create file_index \
    --host "http://$HOST" \
    --token "$INFLUXDB3_AUTH_TOKEN" \
    --database servers \
    --table cpu \
    host,application
run neap delete file_index --host "http://$HOST" --database servers --table cpu
ends 1 neap delete file_index --host "http://$HOST" --database servers --table cpu
run neap create file_index --database servers region
run neap delete file_index --database servers
ends 1 neap create file_index --database servers --table cpu nothing_like_it
