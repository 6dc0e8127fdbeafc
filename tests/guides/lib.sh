# What the guides share: a server to talk to, and steps whose exit status and output are checked.
#
# Given by the environment: NEAP and NEAP_S3_SERVER, the programs; WORK, a new folder; NEAP_CLIENTS_PYTHON, an
# interpreter with the client libraries, or nothing.
set -euo pipefail
shopt -s inherit_errexit

cd "$WORK"
mkdir -p bin
ln -sf "$NEAP" bin/neap
PATH="$WORK/bin:$PATH"

processes=()
cleanup() {
    for process in "${processes[@]}"; do
        kill "$process" 2>/dev/null || true
    done
    wait
}
trap cleanup EXIT

say() {
    echo "--- $*"
}

fail() {
    echo "FAILED: $*" >&2
    echo "--- status ${STATUS:-}, output:" >&2
    echo "${OUT:-}" >&2
    echo "--- messages:" >&2
    echo "${ERR:-}" >&2
    exit 1
}

# eventually TEXT COMMAND...: repeats a command until it succeeds with this text in its output, ATTEMPTS times at most.
eventually() {
    local text="$1"
    shift
    for _ in $(seq "$ATTEMPTS"); do
        STATUS=0
        "$@" >out 2>err </dev/null || STATUS=$?
        OUT="$(cat out)"
        ERR="$(cat err)"
        [ "$STATUS" = 0 ] && [[ "$OUT" == *"$text"* ]] && return
        sleep 0.2
    done
    fail "$* does not come to print: $text"
}

# serve NAME FLAGS...: starts a server; NAME.log has what it prints. Sets HOST, its address.
serve() {
    local name="$1"
    shift
    rm -f "$name.address"
    neap serve --http-bind 127.0.0.1:0 --tcp-listener-file-path "$WORK/$name.address" "$@" >"$name.log" 2>&1 &
    local process=$!
    processes+=("$process")
    for _ in $(seq 600); do
        [ -s "$name.address" ] && break
        kill -0 "$process" 2>/dev/null || { cat "$name.log" >&2; fail "server $name does not start"; }
        sleep 0.1
    done
    HOST="$(cat "$name.address")"
    LAST_SERVER="$process"
}

# Ends the server that was started last, in order.
stop_last() {
    kill -TERM "$LAST_SERVER"
    wait "$LAST_SERVER" || fail "the server ended with $?"
}

# Starts an S3 server of our own; sets S3_ENDPOINT and S3_BUCKET.
serve_s3() {
    mkdir -p s3
    "$NEAP_S3_SERVER" 0 s3 >s3.address &
    processes+=("$!")
    for _ in $(seq 600); do
        [ -s s3.address ] && break
        sleep 0.1
    done
    read -r S3_ENDPOINT S3_BUCKET <s3.address
}

# ends STATUS COMMAND...: runs a command that ends with this status. Sets OUT and ERR, what it printed.
ends() {
    local expected="$1"
    shift
    STATUS=0
    "$@" >out 2>err </dev/null || STATUS=$?
    OUT="$(cat out)"
    ERR="$(cat err)"
    [ "$STATUS" = "$expected" ] || fail "$* ends with $STATUS"
}

# run COMMAND...: runs a command that succeeds.
run() {
    ends 0 "$@"
}

# http STATUS CURL-ARGUMENTS...: a request that is answered with this status. Sets OUT, the body.
http() {
    local expected="$1"
    shift
    STATUS="$(curl --silent --show-error --max-time 60 --output out --write-out '%{http_code}' "$@" 2>err)" || true
    OUT="$(cat out)"
    ERR="$(cat err)"
    [ "$STATUS" = "$expected" ] || fail "curl $* is answered with $STATUS"
}

# The last output is this text, or has it in it.
is() {
    [ "$OUT" = "$1" ] || fail "the output is not: $1"
}
has() {
    [[ "$OUT" == *"$1"* ]] || fail "the output has no: $1"
}
has_not() {
    [[ "$OUT" != *"$1"* ]] || fail "the output has: $1"
}

# Creates the first token; sets and exports INFLUXDB3_AUTH_TOKEN, as the guides have users do.
first_token() {
    run neap create token --admin --host "http://$HOST" --format json
    INFLUXDB3_AUTH_TOKEN="$(sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' <<<"$OUT")"
    [[ "$INFLUXDB3_AUTH_TOKEN" == apiv3_* ]] || fail "there is no token"
    export INFLUXDB3_AUTH_TOKEN
    export INFLUXDB3_HOST_URL="http://$HOST"
}

# The lines that the get-started guide writes.
SERVER_DATA='cpu,host=Alpha,region=us-west,application=webserver val=1i,usage_percent=20.5,status="OK"
cpu,host=Bravo,region=us-east,application=database val=2i,usage_percent=55.2,status="OK"
cpu,host=Charlie,region=us-west,application=cache val=3i,usage_percent=65.4,status="OK"
cpu,host=Bravo,region=us-east,application=database val=4i,usage_percent=70.1,status="Warn"
cpu,host=Bravo,region=us-central,application=database val=5i,usage_percent=80.5,status="OK"
cpu,host=Alpha,region=us-west,application=webserver val=6i,usage_percent=25.3,status="Warn"'
