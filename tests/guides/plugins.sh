#!/usr/bin/env bash
# Plugins: every piece of code and every command of docs/plugins.md, and what the get-started guide shows.
source "$(dirname "$0")/lib.sh"

# 60 seconds and the time of the commands.
ATTEMPTS=300

DOCS="$(cd "$(dirname "$0")/../../docs" && pwd)"

if ! command -v python3 >/dev/null; then
    say "skipped: there is no python3"
    exit 0
fi

# Lays the pieces of code down where their first lines say, and numbers the commands.
mkdir -p plugins
awk '
    /^```python/ { kind = "python"; next }
    /^```sh/ { kind = "sh"; number++; next }
    /^```/ { kind = ""; file = ""; next }
    kind == "python" && file == "" { file = $2 }
    kind == "python" { print > file }
    kind == "sh" { print > ("block-" number ".sh") }
' "$DOCS/plugins.md"
[ -s plugins/alarm.py ] && [ -s block-1.sh ] || fail "docs/plugins.md has no examples"

serve server --node-id host01 --object-store file --data-dir data --plugin-dir plugins
first_token
sed -i -e "s#http://127.0.0.1:8181#http://$HOST#" block-*.sh
export NEAP_AUTH_TOKEN="$INFLUXDB3_AUTH_TOKEN" NEAP_HOST_URL="$INFLUXDB3_HOST_URL"

number=0
while [ -e "block-$((number + 1)).sh" ]; do
    number=$((number + 1))
    block="block-$number.sh"
    say "$(cat "$block")"
    case "$(cat "$block")" in
        *"FROM alarms"*) eventually '| kitchen | 31.0    |' bash -e "$block" ;;
        *) run bash -e "$block" ;;
    esac
    case "$(cat "$block")" in
        *"test wal_plugin"*) has '"alarms,room=kitchen celsius=31.0 ' ;;
        *"FROM alarms"*) has '| kitchen | 31.0    | 2026-01-01T00:00:00 |' ;;
        *"processing_engine_triggers"*) has '{"single_table_wal_write":{"table_name":"temperature"}}' ;;
        *"/api/v3/engine/hottest"*) has '{"room": "kitchen", "hottest": 31.0}' ;;
        *"test schedule_plugin"*) has '"errors": []' ;;
        *"show plugins"*) has '| uploaded    | alarm.py' ;;
    esac
done
[ "$number" -ge 7 ] || fail "docs/plugins.md has only $number blocks of commands"
eventually '[{"rows":1}]' neap query --database home --format json 'SELECT rows FROM counted'
http 404 -H "Authorization: Bearer $NEAP_AUTH_TOKEN" "http://$HOST/api/v3/engine/nothing"
http 401 "http://$HOST/api/v3/engine/hottest"

say "the plugin of the guide: a log, a query with a parameter, rows, lines with and without a time, another database"
cat >plugins/test.py <<'PYTHON'
def process_writes(influxdb3_local, table_batches, args=None):
    if args and "arg1" in args:
        influxdb3_local.info("arg1: " + args["arg1"])
    found = influxdb3_local.query("SELECT * FROM cpu WHERE host = $host", {"host": "Alpha"})
    influxdb3_local.info("query result: " + str(len(found)))
    quoted = influxdb3_local.query("SELECT * FROM cpu WHERE host = '$host'", {"host": "Alpha"})
    influxdb3_local.info("quoted: " + str(quoted))
    for table_batch in table_batches:
        influxdb3_local.info("table: " + table_batch["table_name"])
        if table_batch["table_name"] == "seen":
            continue
        for row in table_batch["rows"]:
            influxdb3_local.info("row: " + str(row))
    line = LineBuilder("seen")\
        .tag("tag1", "one")\
        .tag("tag2", "two")\
        .int64_field("field1", 1)\
        .float64_field("field2", 2.0)\
        .string_field("field3", "number three")
    influxdb3_local.write(line)
    other = LineBuilder("elsewhere")
    other.float64_field("field", 3.14)
    other.time_ns(1302)
    influxdb3_local.write_to_db("mytestdb", other)
    influxdb3_local.info("done")
PYTHON
run neap write --database sensors "$SERVER_DATA"
run neap test wal_plugin \
    --lp "my_measure,tag1=asdf f1=1.0 123" \
    --token "$INFLUXDB3_AUTH_TOKEN" \
    --database sensors \
    --input-arguments "arg1=hello,arg2=world" \
    test.py
has '"INFO: arg1: hello"'
has '"INFO: query result: 1"'
has '"INFO: quoted: []"'
has "{'tag1': 'asdf', 'f1': 1.0, 'time': 123}"
has '"seen,tag1=one,tag2=two field1=1i,field2=2.0,field3=\"number three\""'
has '"elsewhere field=3.14 1302"'
has '"errors": []'
ends 1 neap query --database mytestdb 'SELECT * FROM elsewhere'

say "a trigger that is created disabled, enabled, and has run"
run neap create trigger \
    --token "$INFLUXDB3_AUTH_TOKEN" \
    --database sensors \
    --plugin test.py \
    --trigger-spec "table:foo" \
    --trigger-arguments "arg1=hello,arg2=world" \
    --disabled \
    trigger1
run neap enable trigger \
    --token "$INFLUXDB3_AUTH_TOKEN" \
    --database sensors \
    trigger1
run neap write --database sensors 'foo,tag1=asdf f1=1.0 123'
eventually '"log_text":"done"' neap query --database sensors --format json \
    "SELECT log_text FROM system.processing_engine_logs WHERE trigger_name = 'trigger1' AND log_text = 'done'"
run neap query --database mytestdb --format json 'SELECT * FROM elsewhere'
is '[{"field":3.14,"time":"1970-01-01T00:00:00.000001302"}]'
run neap query --database sensors --format json 'SELECT tag1, field1, field3 FROM seen'
is '[{"tag1":"one","field1":1,"field3":"number three"}]'
ends 1 neap delete trigger --database sensors trigger1
run neap delete trigger --database sensors --force trigger1

say "what was not seen before a stop is seen after it"
run neap disable trigger alarm --database home
stop_last
serve server --node-id host01 --object-store file --data-dir data --plugin-dir plugins
export NEAP_HOST_URL="http://$HOST"
run neap query --database home --format json 'SELECT count(*) AS n FROM counted'
is '[{"n":1}]'
run neap write --database home 'temperature,room=attic celsius=28 1767225720000000000'
eventually '[{"n":2}]' neap query --database home --format json 'SELECT count(*) AS n FROM counted'
stop_last

say "whoever asks for no token has to ask for plugins"
serve open --object-store memory --without-auth
http 403 -X POST "http://$HOST/api/v3/configure/processing_engine_trigger" -H 'Content-Type: application/json' -d '{}'
has '--plugin-dir'
stop_last

say "a plugin that asks and writes does not wait for the request that runs it"
serve tight --object-store memory --without-auth --plugin-dir plugins --max-concurrent-requests 1 --max-concurrent-queries 1
export NEAP_HOST_URL="http://$HOST"
run neap write --database home 'temperature,room=kitchen celsius=31 1767225600000000000'
run neap create trigger hottest --database home --path hottest.py --trigger-spec request:hottest
for _ in 1 2 3; do
    http 200 "http://$HOST/api/v3/engine/hottest?room=kitchen"
    is '{"room": "kitchen", "hottest": 31.0}'
done
stop_last

say "a server without Python serves, and says so"
serve bare --object-store memory --without-auth --plugin-dir plugins --plugin-python no-such-python
grep -q "warning: plugins can't run: .*no-such-python" bare.log || fail "nothing is said: $(cat bare.log)"
http 200 "http://$HOST/health"
stop_last
