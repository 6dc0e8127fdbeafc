#!/usr/bin/env bash
# Tokens: the first one, those for databases and for what a server tells of itself, and where they are shown.
source "$(dirname "$0")/lib.sh"

serve server --node-id host01 --object-store memory

say "nothing is done without a token"
ends 1 neap show databases --host "http://$HOST"
http 401 "http://$HOST/api/v3/configure/database"
http 401 "http://$HOST/health"

say "the first token is shown once"
run neap create token --admin --host "http://$HOST"
has "New token created successfully!"
has "Authorization: Bearer apiv3_"
has "it will not be shown again"
ADMIN_TOKEN="$(grep -oE 'apiv3_[A-Za-z0-9+/_=-]+' <<<"$OUT" | head -1)"
ends 1 neap create token --admin --host "http://$HOST"
has_not "New token created"

say "a token for all databases"
run neap create token \
    --permission "db:*:read,write" \
    --expiry 90d \
    --token "$ADMIN_TOKEN" \
    --host "http://$HOST" \
    --name "rw all databases"
DATABASE_TOKEN="$(grep -oE 'apiv3_[A-Za-z0-9+/_=-]+' <<<"$OUT" | head -1)"

say "a token for what the server tells of itself"
run neap create token \
    --permission "system:*:read" \
    --expiry 1y \
    --token "$ADMIN_TOKEN" \
    --host "http://$HOST" \
    --name "all system endpoints"
SYSTEM_TOKEN="$(grep -oE 'apiv3_[A-Za-z0-9+/_=-]+' <<<"$OUT" | head -1)"

say "tokens in the environment, as an option, and in a header"
export INFLUXDB3_AUTH_TOKEN="$ADMIN_TOKEN"
run neap show databases --host "http://$HOST"
has _internal
unset INFLUXDB3_AUTH_TOKEN
run neap show databases --token "$ADMIN_TOKEN" --host "http://$HOST"
http 200 "http://$HOST/api/v3/configure/database" --header "Authorization: Bearer $ADMIN_TOKEN"
has _internal
http 200 "http://$HOST/health" --header "Authorization: Bearer $SYSTEM_TOKEN"
is OK
http 200 "http://$HOST/metrics" --header "Authorization: Bearer $SYSTEM_TOKEN"
http 200 "http://$HOST/ping" --header "Authorization: Bearer $SYSTEM_TOKEN"

say "each token does what it is for"
http 204 "http://$HOST/api/v3/write_lp?db=d" --header "Authorization: Bearer $DATABASE_TOKEN" --data-raw 'm v=1i 1'
http 200 "http://$HOST/api/v3/query_sql?db=d&q=SELECT%20v%20FROM%20m" --header "Authorization: Bearer $DATABASE_TOKEN"
is '[{"v":1}]'
http 403 "http://$HOST/api/v3/query_sql?db=d&q=SELECT%20v%20FROM%20m" --header "Authorization: Bearer $SYSTEM_TOKEN"
http 403 "http://$HOST/metrics" --header "Authorization: Bearer $DATABASE_TOKEN"
ends 1 neap delete database d --yes --token "$DATABASE_TOKEN" --host "http://$HOST"

say "the ways of InfluxDB 1 and 2 to show it"
http 204 "http://$HOST/api/v2/write?bucket=d" --header "Authorization: Token $DATABASE_TOKEN" --data-raw 'm v=2i 2'
http 204 "http://$HOST/write?db=d" --user "anyone:$DATABASE_TOKEN" --data-raw 'm v=3i 3'
http 204 "http://$HOST/write?db=d&u=anyone&p=$DATABASE_TOKEN" --data-raw 'm v=4i 4'
http 200 -G "http://$HOST/query" --data-urlencode u=anyone --data-urlencode "p=$DATABASE_TOKEN" --data-urlencode db=d --data-urlencode 'q=SELECT count(v) FROM m'
has '"values"'

say "a token that is deleted is good no more"
run neap delete token --token-name "rw all databases" --yes --token "$ADMIN_TOKEN" --host "http://$HOST"
for _ in $(seq 100); do
    status="$(curl --silent --output out --write-out '%{http_code}' "http://$HOST/api/v3/configure/database" --header "Authorization: Bearer $DATABASE_TOKEN")"
    [ "$status" = 401 ] && break
    sleep 0.2
done
http 401 "http://$HOST/api/v3/configure/database" --header "Authorization: Bearer $DATABASE_TOKEN"
