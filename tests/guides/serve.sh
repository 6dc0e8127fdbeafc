#!/usr/bin/env bash
# Installing and starting: one server on each store that works without an account, then several on one store.
source "$(dirname "$0")/lib.sh"

say "the program says what it is and what it can do"
run neap --version
has neap
run neap serve --help
for option in --object-store --node-id --cluster-id --mode --http-bind --data-dir --bucket; do
    has "$option"
done

say "a directory"
serve file --node-id host01 --cluster-id cluster01 --object-store file --data-dir "$WORK/data"
first_token
run neap write --database kept 'm v=1i 1'
stop_last
serve file --node-id host01 --cluster-id cluster01 --object-store file --data-dir "$WORK/data"
run neap query --host "http://$HOST" --database kept --format json 'SELECT v FROM m'
is '[{"v":1}]'
stop_last

say "memory"
serve memory --node-id host01 --cluster-id cluster01 --object-store memory
first_token
run neap write --database lost 'm v=1i 1'
run neap query --database lost --format json 'SELECT v FROM m'
is '[{"v":1}]'
stop_last
serve memory --node-id host01 --cluster-id cluster01 --object-store memory
first_token
ends 1 neap query --database lost 'SELECT v FROM m'
stop_last

say "S3 and its like, with both spellings of the key"
serve_s3
s3=(--cluster-id cluster01 --object-store s3 --bucket "$S3_BUCKET" --aws-secret-access-key SKTEST
    --aws-endpoint "$S3_ENDPOINT" --aws-allow-http)
serve s3 --node-id host01 "${s3[@]}" --aws-access-key AKIDTEST
first_token
run neap write --database sensors 'home,room=Kitchen temp=20 1'
stop_last
s3+=(--aws-access-key-id AKIDTEST)

say "two servers that do everything between them"
serve node1 --node-id host01 --mode ingest,query,compact "${s3[@]}"
one="http://$HOST"
serve node2 --node-id host02 --mode ingest,query "${s3[@]}"
two="http://$HOST"
run neap write --host "$one" --database sensors 'home,room=Kitchen temp=21 2'
run neap write --host "$two" --database sensors 'home,room=Kitchen temp=22 3'
for node in "$one" "$two"; do
    run neap query --host "$node" --database sensors --format json 'SELECT temp FROM home ORDER BY time'
    is '[{"temp":20.0},{"temp":21.0},{"temp":22.0}]'
done

say "a server for compaction, one for writes, one for queries"
serve node3 --node-id host03 --mode compact "${s3[@]}"
serve node4 --node-id host04 --mode ingest "${s3[@]}"
writer="http://$HOST"
serve node5 --node-id host05 --mode query "${s3[@]}"
reader="http://$HOST"
run neap write --host "$writer" --database sensors 'home,room=Kitchen temp=23 4'
run neap query --host "$reader" --token "$INFLUXDB3_AUTH_TOKEN" --database sensors --format json 'SELECT count(*) AS n FROM home'
is '[{"n":4}]'
ends 1 neap query --host "$writer" --database sensors 'SELECT 1'
ends 1 neap write --host "$reader" --database sensors 'home temp=1'
