#!/usr/bin/env bash
# QuestDB's line protocol over HTTP: health, credentials, new tables and columns, transactions, retries.
source "$(dirname "$0")/lib.sh"

serve server --object-store memory --default-database trades
first_token
basic="anyone:$INFLUXDB3_AUTH_TOKEN"

say "health, and the version of the protocol"
http 200 -I "http://$HOST/ping" --user "$basic"
has x-influxdb-version
http 200 "http://$HOST/settings"
has '"line.proto.support.versions":[1,2,3]'

say "user and password, or a token"
http 401 "http://$HOST/write" --data-raw 'trades,symbol=ETH price=1'
http 204 "http://$HOST/write" --user "$basic" --data-raw 'trades,symbol=ETH-USD,side=sell price=2615.54,amount=0.00044 1646762637609765000'
http 204 "http://$HOST/write?precision=n" --header "Authorization: Bearer $INFLUXDB3_AUTH_TOKEN" \
    --data-raw 'trades,symbol=BTC-USD,side=sell price=39269.98,amount=0.001 1646762637710419000'

say "columns come with the rows that have them"
http 204 "http://$HOST/write?precision=n" --user "$basic" \
    --data-raw 'trades,symbol=BTC-USD,side=buy price=39270.0,amount=0.002,placed=1646762637000000t 1646762637764098000'
run neap query --database trades --format json 'SELECT count(*) AS n, count(placed) AS placed FROM trades'
is '[{"n":3,"placed":1}]'

say "a row that does not fit is refused with its request"
http 400 "http://$HOST/write?precision=n" --user "$basic" --data-raw 'orders,symbol=ETH n=1i 1
trades,symbol=ETH price="high" 2'
has '"code":"invalid"'
has 'error in line 2'
ends 1 neap query --database trades 'SELECT * FROM orders'

say "what is sent again is stored once"
for _ in 1 2; do
    http 204 "http://$HOST/write?precision=n" --user "$basic" --data-raw 'again,symbol=ETH n=1i 1'
done
run neap query --database trades --format json 'SELECT count(*) AS n FROM again'
is '[{"n":1}]'

if [ -n "${NEAP_CLIENTS_PYTHON:-}" ]; then
    say "QuestDB's own client"
    cat >client.py <<'PYTHON'
import os
import sys

from questdb.ingress import Sender, TimestampNanos

with Sender.from_conf(f"http::addr={sys.argv[1]};token={os.environ['INFLUXDB3_AUTH_TOKEN']};") as sender:
    sender.row("client", symbols={"symbol": "ETH"}, columns={"price": 1.5}, at=TimestampNanos.now())
PYTHON
    run "$NEAP_CLIENTS_PYTHON" -W ignore client.py "$HOST"
    run neap query --database trades --format json 'SELECT symbol, price FROM client'
    is '[{"symbol":"ETH","price":1.5}]'
else
    say "skipped: NEAP_CLIENTS_PYTHON names no interpreter that has the client libraries"
fi
