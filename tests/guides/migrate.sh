#!/usr/bin/env bash
# The commands of docs/migrate.md. The old servers have stand-ins: another Neap for InfluxDB, a file server for the exports
# of QuestDB, and a `psql` that prints what PostgreSQL 15 has printed. The copies from the folder of InfluxDB 1 and from
# VictoriaMetrics need these programs.
#
# NEAP_INFLUXD names the program `influxd` of InfluxDB 1, NEAP_VICTORIA_METRICS the folder with the programs
# `victoria-metrics` and `vmagent`.
source "$(dirname "$0")/lib.sh"

# 30 seconds and the time of the commands.
ATTEMPTS=150

DOCS="$(cd "$(dirname "$0")/../../docs" && pwd)"
PYTHON="${NEAP_CLIENTS_PYTHON:-$(command -v python3 || true)}"
if [ -z "$PYTHON" ]; then
    say "skipped: there is no python3"
    exit 0
fi
printf '#!/bin/sh\nexec "%s" "$@"\n' "$PYTHON" >bin/python3
chmod +x bin/python3

# free_port: prints a port that nothing listens on.
free_port() {
    "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# start NAME URL COMMAND...: starts a program, and waits until the URL answers.
start() {
    local name="$1" url="$2"
    shift 2
    "$@" >"$name.log" 2>&1 &
    processes+=("$!")
    await "$url"
}

await() {
    for _ in $(seq 300); do
        curl --silent --output answer "$1" && return
        sleep 0.1
    done
    fail "$1 does not answer"
}

serve old --object-store memory --without-auth
OLD_HOST="$HOST"
serve server --object-store memory --without-auth
export NEAP_HOST_URL="http://$HOST" NEAP_AUTH_TOKEN=""
unset INFLUXDB3_HOST_URL INFLUXDB3_AUTH_TOKEN

# A program that writes to both servers.
lines='cpu,host=a usage_idle=97.25,n=1i 1767225600000000000
cpu,host=b usage_idle=88.5,n=2i 1767229200000000000'
for host in "$OLD_HOST" "$HOST"; do
    run neap write --host "http://$host" --database telegraf "$lines"
done
# What only the old server has.
run neap write --host "http://$OLD_HOST" --database telegraf 'cpu,host=c usage_idle=1.5,n=3i 1767312000000000000'
run neap write --host "http://$OLD_HOST" --database clustered 'cpu,host=d usage_idle=2.5,n=4i 1767225600000000001'
echo "no token" >token.txt

# The export of a table of QuestDB. The file server ignores the query.
mkdir questdb
run neap write --database seed 'trades,symbol=ETH-USD,side=sell price=2615.54,amount=0.5 1767225600123456000' \
    'trades,symbol=BTC-USD price=39269.98 1767225601000000000'
neap query --database seed --format parquet \
    "SELECT arrow_cast(time, 'Timestamp(Microsecond, None)') AS timestamp, arrow_cast(symbol, 'Utf8') AS symbol,
        arrow_cast(side, 'Utf8') AS side, price, amount FROM trades" >questdb/exp
questdb_port="$(free_port)"
start questdb "http://127.0.0.1:$questdb_port/" \
    "$PYTHON" -m http.server "$questdb_port" --bind 127.0.0.1 --directory questdb

cat >bin/psql <<'PSQL'
#!/usr/bin/env bash
case "$*" in
    *"COPY ("*) cat <<'CSV' ;;
time|dateTime,device|tag,location|tag,temperature|double,cpu|long,on_grid|boolean,note|string
2026-01-01 00:00:00+00,d1,"office, north",21.5,3,true,"a ""quoted"" note"
2026-01-01 00:00:10.123456+00,d2,,-3,4,false,
2026-01-01 00:00:20+00,d3,,,5,,
2026-01-01 00:00:30+00,d3,,21,5,,
CSV
    *"DISTINCT"*) printf 'count,count\n4,4\n' ;;
    *"date_trunc"*) printf 'SET\nday,n,t,highest\n1767225600,3,3,21500\n' ;;
    *) exit 1 ;;
esac
PSQL
chmod +x bin/psql
export OLD="host=old"

# The folder of a stopped InfluxDB 1.
if [ -n "${NEAP_INFLUXD:-}" ]; then
    influxdb_port="$(free_port)"
    cat >influxdb.conf <<CONF
reporting-disabled = true
bind-address = "127.0.0.1:$(free_port)"
[meta]
  dir = "$WORK/influxdb/meta"
[data]
  dir = "$WORK/influxdb/data"
  wal-dir = "$WORK/influxdb/wal"
[http]
  bind-address = "127.0.0.1:$influxdb_port"
CONF
    start influxd "http://127.0.0.1:$influxdb_port/ping" "$NEAP_INFLUXD" -config influxdb.conf
    influxd="${processes[-1]}"
    http 200 "http://127.0.0.1:$influxdb_port/query" --data-urlencode 'q=CREATE DATABASE files'
    http 204 "http://127.0.0.1:$influxdb_port/write?db=files" --data-binary 'cpu,host=e usage_idle=3.5 1767225600000000000'
    kill "$influxd"
    wait "$influxd" || true
else
    say "NEAP_INFLUXD names no influxd"
fi

vmagent_port="$(free_port)"
if [ -n "${NEAP_VICTORIA_METRICS:-}" ] && command -v jq >/dev/null; then
    PATH="$PATH:$NEAP_VICTORIA_METRICS"
    victoria_port="$(free_port)"
    start victoria "http://127.0.0.1:$victoria_port/health" \
        victoria-metrics -storageDataPath=victoria -httpListenAddr="127.0.0.1:$victoria_port" -retentionPeriod=100y
    http 204 "http://127.0.0.1:$victoria_port/api/v1/import/prometheus" --data-binary \
        'http_requests_total{job="api"} 5 1767225600000
http_requests_total{job="api"} 7 1767225615000
rooms{name="living, \"big\" room"} -2.25 1767225600000
'
    http 200 "http://127.0.0.1:$victoria_port/internal/force_flush"
else
    say "NEAP_VICTORIA_METRICS names no folder with VictoriaMetrics, or there is no jq"
fi

awk '
    /^```sh/ { number++; inside = 1; next }
    /^```/ { inside = 0 }
    inside { print > ("block-" number ".sh") }
' "$DOCS/migrate.md"
sed -i \
    -e "s#http://127.0.0.1:8181#http://$HOST#" \
    -e "s#http://old:8086#http://$OLD_HOST#; s#http://old:8181#http://$OLD_HOST#" \
    -e "s#http://old:9000#http://127.0.0.1:$questdb_port#; s#http://old:8428#http://127.0.0.1:${victoria_port:-1}#" \
    -e "s#127.0.0.1:8429#127.0.0.1:$vmagent_port#" \
    -e "s#/var/lib/influxdb#$WORK/influxdb#" \
    block-*.sh

number=0
while [ -e "block-$((number + 1)).sh" ]; do
    number=$((number + 1))
    block="block-$number.sh"
    text="$(cat "$block")"
    say "$text"
    case "$text" in
        *"--path $WORK/influxdb"*)
            [ -n "${NEAP_INFLUXD:-}" ] || { say "skipped"; continue; }
            ;;
        *influxdbv2*)
            # The importer's own tests have files of InfluxDB 2.
            say "skipped"
            continue
            ;;
        *vmagent* | *8428* | *"/api/v1/"*)
            [ -n "${victoria_port:-}" ] || { say "skipped"; continue; }
            ;;
        *copy_days.py*)
            [ -n "${NEAP_CLIENTS_PYTHON:-}" ] || { say "skipped"; continue; }
            sed -i 's/database="telegraf"/database="clustered"/' "$block"
            ;;
    esac
    case "$text" in
        *-httpListenAddr*)
            echo 'echo $! >vmagent.pid' >>"$block"
            run bash -e "$block"
            processes+=("$(cat vmagent.pid)")
            await "http://127.0.0.1:$vmagent_port/health"
            ;;
        *pending_data_bytes*) eventually ' 0' bash -e "$block" ;;
        *http_requests_total*) eventually $'2\nsamples\n2' bash -e "$block" ;;
        *) run bash -e "$block" ;;
    esac
    case "$text" in
        *"&& echo same"*) is same ;;
        *"DISTINCT"*) has 4,4 ;;
    esac
done
[ "$number" -ge 14 ] || fail "docs/migrate.md has only $number blocks of commands"

say "the copied rows"
run neap query --database telegraf --format json "SELECT host, usage_idle, n FROM cpu WHERE host IN ('a', 'b', 'c') ORDER BY host"
is '[{"host":"a","usage_idle":97.25,"n":1},{"host":"b","usage_idle":88.5,"n":2},{"host":"c","usage_idle":1.5,"n":3}]'
if [ -n "${NEAP_INFLUXD:-}" ]; then
    run neap query --database files --format json 'SELECT * FROM cpu'
    is '[{"host":"e","time":"2026-01-01T00:00:00","usage_idle":3.5}]'
fi
if [ -n "${NEAP_CLIENTS_PYTHON:-}" ]; then
    run neap query --database telegraf --format json "SELECT * FROM cpu WHERE host = 'd'"
    is '[{"host":"d","n":4,"time":"2026-01-01T00:00:00.000000001","usage_idle":2.5}]'
fi
run neap query --database trades --format json 'SELECT * FROM trades ORDER BY time'
is '[{"amount":0.5,"price":2615.54,"side":"sell","symbol":"ETH-USD","time":"2026-01-01T00:00:00.123456"},{"price":39269.98,"symbol":"BTC-USD","time":"2026-01-01T00:00:01"}]'
run neap query --database plant --format json 'SELECT device, location, temperature, cpu, on_grid, note FROM conditions ORDER BY time LIMIT 1'
is '[{"device":"d1","location":"office, north","temperature":21.5,"cpu":3,"on_grid":true,"note":"a \"quoted\" note"}]'
if [ -n "${victoria_port:-}" ]; then
    run neap query --database prometheus --format json 'SELECT * FROM rooms'
    is '[{"name":"living, \"big\" room","time":"2026-01-01T00:00:00","value":-2.25}]'
fi
