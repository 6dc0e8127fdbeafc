#!/usr/bin/env bash
# The commands of docs/downsampling.md, in their order. Views are refreshed every second.
source "$(dirname "$0")/lib.sh"

# 120 seconds and the time of the commands.
ATTEMPTS=600

DOCS="$(cd "$(dirname "$0")/../../docs" && pwd)"

serve server --object-store memory --without-auth --rollup-interval 1s
export NEAP_HOST_URL="http://$HOST" NEAP_AUTH_TOKEN=""
unset INFLUXDB3_HOST_URL INFLUXDB3_AUTH_TOKEN

awk '
    /^```sh/ { number++; inside = 1; next }
    /^```/ { inside = 0 }
    inside { print > ("block-" number ".sh") }
' "$DOCS/downsampling.md"
sed -i -e "s#http://127.0.0.1:8181#http://$HOST#" block-*.sh

# The rows are of one hour, even if the hour ends meanwhile, and some of them are older than a minute.
past="$(($(date +%s) / 3600 * 3600 - 1800))"
for minute in 0 1 2; do
    run neap write --database telegraf --precision s \
        "cpu,host=web0,cpu=cpu-total usage_user=$((minute * 30)),usage_idle=50 $((past + minute * 60))"
done

number=0
while [ -e "block-$((number + 1)).sh" ]; do
    number=$((number + 1))
    block="block-$number.sh"
    text="$(cat "$block")"
    say "$text"
    case "$text" in
        *"system.materialized_views"*)
            eventually current bash -e "$block"
            # A view that has no rows yet is current, too.
            eventually web1 neap query --database telegraf "SELECT host FROM cpu_1m"
            ;;
        *"retention-period"*)
            eventually web1 neap query --database telegraf "SELECT host FROM cpu_1h"
            run bash -e "$block"
            ;;
        *"telegraf.hours.cpu'"*) eventually 60 bash -e "$block" ;;
        *) run bash -e "$block" ;;
    esac
    has_not '"error"'
done
[ "$number" -ge 8 ] || fail "docs/downsampling.md has only $number blocks of commands"

say "the levels"
of_web0="FROM cpu_1h WHERE host = 'web0'"
eventually '[{"user_sum":90.0,"user_count":3,"user_max":60.0}]' \
    neap query --database telegraf --format json "SELECT user_sum, user_count, user_max $of_web0"
eventually '"mean":30.0' neap query --database telegraf/hours --format json \
    "SELECT usage_user AS mean, max_user FROM cpu WHERE host = 'web0'"
eventually '"n":3' neap query --database telegraf/minutes --format json \
    "SELECT count(*) AS n FROM cpu WHERE host = 'web0'"
eventually '[{"n":3,"m":60.0}]' neap query --database telegraf --format json \
    "SELECT sum(user_count) AS n, max(user_max) AS m FROM cpu_1h WHERE host = 'web1'"
