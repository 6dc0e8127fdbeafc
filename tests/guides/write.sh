#!/usr/bin/env bash
# Writing: with the command and over HTTP, and what is said of lines that are refused.
source "$(dirname "$0")/lib.sh"

serve server --node-id host01 --object-store memory
first_token
bearer="Authorization: Bearer $INFLUXDB3_AUTH_TOKEN"

say "lines as an argument"
run neap write \
    --database servers \
    --token "$INFLUXDB3_AUTH_TOKEN" \
    --precision ns \
    --accept-partial \
    "$SERVER_DATA"
run neap query --database servers --format json 'SELECT count(DISTINCT host) AS hosts FROM cpu'
is '[{"hosts":3}]'

say "lines in a file"
echo "$SERVER_DATA" >server_data
run neap write --database from_file --token "$INFLUXDB3_AUTH_TOKEN" --precision ns --accept-partial --file server_data
run neap query --database from_file --format json "SELECT DISTINCT region FROM cpu WHERE host = 'Bravo' ORDER BY region"
is '[{"region":"us-central"},{"region":"us-east"}]'

say "lines on the standard input"
neap write --database from_stdin <server_data >out 2>err
run neap query --database from_stdin --format json 'SELECT count(DISTINCT host) AS hosts FROM cpu'
is '[{"hosts":3}]'

say "a line that is refused: the others are stored"
http 400 -v "http://$HOST/api/v3/write_lp?db=sensors&precision=auto" \
    --header "$bearer" \
    --data-raw 'home,room=Sunroom temp=96
home,room=Sunroom temp="hi"'
has '"error":"partial write of line protocol occurred"'
has '"line_number":2'
has "\"error_message\":\"invalid column type for column 'temp', expected iox::column_type::field::float, got iox::column_type::field::string\""
run neap query --database sensors --format json 'SELECT temp FROM home'
is '[{"temp":96.0}]'

say "a line that is refused: nothing is stored"
http 400 -v "http://$HOST/api/v3/write_lp?db=sensors2&precision=auto&accept_partial=false" \
    --header "$bearer" \
    --data-raw 'home,room=Sunroom temp=96
home,room=Sunroom temp="hi"'
has '"error":"parsing failed for write_lp endpoint"'
has '"line_number":2'
ends 1 neap query --database sensors2 'SELECT temp FROM home'

say "the endpoints of InfluxDB 2 and 1"
http 204 "http://$HOST/api/v2/write?bucket=mydb&precision=ns" --header "$bearer" --data-raw 'm v=1i 1'
http 204 "http://$HOST/write?db=mydb&precision=ns" --header "$bearer" --data-raw 'm v=2i 2'
http 204 "http://$HOST/api/v3/write_lp?db=mydb&precision=nanosecond&accept_partial=true&no_sync=false" --header "$bearer" --data-raw 'm v=3i 3'
run neap query --database mydb --format json 'SELECT sum(v) AS s FROM m'
is '[{"s":6}]'

say "answers before the rows are durable"
http 204 "http://$HOST/api/v3/write_lp?db=sensors&precision=auto&no_sync=true" \
    --header "$bearer" \
    --data-raw "home,room=Attic temp=95"
for _ in $(seq 100); do
    run neap query --database sensors --format json "SELECT temp FROM home WHERE room = 'Attic'"
    [ "$OUT" = '[{"temp":95.0}]' ] && break
    sleep 0.1
done
is '[{"temp":95.0}]'

say "databases and tables without rows"
run neap create database empty --token "$INFLUXDB3_AUTH_TOKEN"
run neap create -h
run neap create table readings --database empty --tags room,floor --fields temp:float64,note:utf8
run neap query --database empty --format json "SELECT column_name FROM information_schema.columns WHERE table_name = 'readings' ORDER BY column_name"
is '[{"column_name":"floor"},{"column_name":"note"},{"column_name":"room"},{"column_name":"temp"},{"column_name":"time"}]'
ends 1 neap create database empty

say "what is deleted"
http 204 "http://$HOST/api/v2/delete?bucket=mydb" --header "$bearer" --json '{"start":"1970-01-01T00:00:00Z","stop":"1970-01-01T00:00:00.000000002Z","predicate":"_measurement=\"m\""}'
run neap query --database mydb --format json 'SELECT count(*) AS n FROM m WHERE v = 1'
is '[{"n":0}]'
run neap delete table readings --database empty --yes
run neap delete database empty --yes
ends 1 neap query --database empty 'SELECT 1'
