#!/bin/sh
# Runs the official MCP conformance suite, all three sets, and prints one total per set.
#
#   run.sh              against the fixture server, built and started here
#   run.sh URL          against any server; the URL must name a loopback host
#
# Fails when a required scenario fails. Reports go to target/conformance.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
out=${OMCP_CONFORMANCE_OUT:-$root/target/conformance}
mkdir -p "$out"

cd "$here"
[ -x node_modules/.bin/node ] || npm ci --silent

if [ $# -eq 0 ]; then
    cargo build --quiet --manifest-path "$root/Cargo.toml" -p omcp-tests --bin omcp-fixture
    "$root/target/debug/omcp-fixture" http >"$out/fixture.log" &
    trap 'kill $!' EXIT
    until grep -q listening "$out/fixture.log"; do sleep 0.1; done
    set -- "$(sed -n 's/^listening on //p' "$out/fixture.log")"
fi

failed=0
suite() {
    name=$1 script=$2
    shift 2
    npm run --silent "$script" -- server "$@" -o "$out/$name" >"$out/$name.txt" 2>&1 || failed=1
    printf '%-12s %s\n' "$name" "$(grep '^Total' "$out/$name.txt" || echo "did not finish, see $out/$name.txt")"
    grep '^✗' "$out/$name.txt" || true
}

suite 2025-11-25 suite --url "$1" --requirements 2025-11-25
suite 2026-07-28 suite --url "$1" --requirements 2026-07-28
suite stable suite-stable --url "$1"
exit $failed
