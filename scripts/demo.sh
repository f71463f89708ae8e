#!/usr/bin/env bash
# Changes the key of a table from integer to bigint, and rolls back, while pgbench writes to it: on a temporary
# PostgreSQL server, with a table of SCALE x 100,000 rows (SCALE=20). Installs missing packages first; leaves nothing
# behind. Fails if the application could notice an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup.sh

SCALE=${SCALE:-20}
# How long the traffic is measured before and after each change.
CALM_SECONDS=${CALM_SECONDS:-6}
TABLE=pgbench_accounts
ALTER='alter column aid type bigint, add column note text'
# The maximum time that a lock of pgrecast may be held: the default of --max-lock-time.
MAX_LOCK_MS=300

SERVER='' LOGS='' TRAFFIC='' FAILED=0

clean_up() {
    [ -z "$TRAFFIC" ] || kill "$TRAFFIC" 2>/dev/null || true
    if [ -n "$SERVER" ]; then
        as_server_user "$PGBIN/pg_ctl" -D "$SERVER/data" -m immediate -w stop >/dev/null 2>&1 || true
        rm -rf "$SERVER"
    fi
    [ -z "$LOGS" ] || rm -rf "$LOGS"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

run() {
    printf '\n$ pgrecast'
    printf ' %s' "${@@Q}" | sed "s/ '\([A-Za-z0-9_.:-]*\)'/ \1/g"
    printf '\n'
    "$PGRECAST" "$@" </dev/null || fail "pgrecast $1 ended with exit code $?"
}

value_of() { "$PGBIN/psql" -qAtX -v ON_ERROR_STOP=1 -c "$1" </dev/null; }

# One value of a JSON document: json_value '{lock,held_ms}' <<<document
json_value() {
    local document
    document=$(cat)
    "$PGBIN/psql" -qAtX -v ON_ERROR_STOP=1 -v document="$document" -v path="$1" \
        <<<"select :'document'::jsonb #>> :'path'"
}

# check WHAT EXPECTED FOUND
check() {
    if [ "$2" = "$3" ]; then
        printf 'ok      %-52s %s\n' "$1" "$3"
    else
        printf 'FAILED  %-52s %s, expected %s\n' "$1" "$3" "$2"
        FAILED=1
    fi
}

# Unlike a plain sleep, ends immediately on a signal.
pause() {
    sleep "$1" &
    wait $!
}

now() { date +%s.%N; }

start_server() {
    heading "A temporary PostgreSQL server, default settings"
    # In /tmp: the path of a socket must be short, and readable for the user of the server.
    SERVER=$(cd / && as_server_user mktemp -d /tmp/pgrecast-demo.XXXXXX)
    LOGS=$(mktemp -d /tmp/pgrecast-demo.XXXXXX)
    (
        cd /
        as_server_user "$PGBIN/initdb" -D "$SERVER/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync
        as_server_user "$PGBIN/pg_ctl" -D "$SERVER/data" -l "$SERVER/log" -w \
            -o "-k $SERVER -c listen_addresses='' -c log_lock_waits=on" start
    ) >"$LOGS/start" 2>&1 </dev/null || {
        cat "$LOGS/start"
        fail "the server did not start"
    }
    export PGHOST=$SERVER PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
    value_of 'select version()'
}

fill() {
    heading "pgbench's tables, scale $SCALE"
    "$PGBIN/pgbench" -i -q -s "$SCALE" >"$LOGS/fill" 2>&1 </dev/null || {
        cat "$LOGS/fill"
        fail "pgbench could not fill its tables"
    }
    value_of "select to_char(count(*), 'FM999,999,999,999') || ' rows, ' ||
              pg_size_pretty(pg_total_relation_size('$TABLE')) || ' with indexes' from $TABLE"
}

start_traffic() {
    heading "Traffic: pgbench's TPC-B, 4 connections, until the end"
    "$PGBIN/pgbench" -n -c 4 -j 2 -T 3600 --log --log-prefix="$LOGS/transactions" >"$LOGS/pgbench" 2>&1 </dev/null &
    TRAFFIC=$!
    sleep 2 # do not measure a cold cache
}

stop_traffic() {
    sleep 1 # pgbench writes its log in blocks
    kill -0 "$TRAFFIC" 2>/dev/null || {
        cat "$LOGS/pgbench"
        fail "pgbench has stopped"
    }
    kill "$TRAFFIC"
    wait "$TRAFFIC" 2>/dev/null || true
    TRAFFIC=''
}

# A row of the table: what the clients measured between two moments. pgbench logs, for each transaction: client, number,
# microseconds (or 'failed'), script, and the seconds and microseconds at its end.
report() {
    cat "$LOGS"/transactions* | awk -v title="$1" -v from="$2" -v to="$3" '
        NF >= 6 && $5 + $6 / 1e6 >= from && $5 + $6 / 1e6 < to {
            count++
            if ($3 == "failed") failed++; else if ($3 > longest) longest = $3
        }
        END {
            seconds = to - from
            printf "%-22s %8.1f s %10.0f %18d %16.0f ms\n", title, seconds, count / seconds, failed, longest / 1000
        }'
}

columns() {
    value_of "select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum)
              from pg_attribute where attrelid = '$TABLE'::regclass and attnum > 0 and not attisdropped
              and attname in ('aid', 'note')"
}

# Every transaction adds the same delta to an account and to the history: one snapshot must show one sum.
check_sums() {
    local sums
    sums=$(value_of "select (select coalesce(sum(abalance), 0) from $TABLE) || ' ' ||
                            (select coalesce(sum(delta), 0) from pgbench_history)")
    check "sum of balances = sum of the history's deltas" "${sums#* }" "${sums% *}"
}

check_lock() {
    local held
    held=$("$PGRECAST" status "$1" --json </dev/null | json_value '{lock,held_ms}')
    if awk -v held="$held" -v most="$MAX_LOCK_MS" 'BEGIN { exit !(held != "" && held + 0 <= most) }'; then
        printf 'ok      %-52s %s ms\n' "lock held by the swap" "$held"
    else
        printf 'FAILED  %-52s %s ms, at most %s expected\n' "lock held by the swap" "${held:-unknown}" "$MAX_LOCK_MS"
        FAILED=1
    fi
}

prepare_machine
if [ -z "${PGRECAST:-}" ]; then
    heading "The program"
    cargo build --release --locked </dev/null
    PGRECAST=${CARGO_TARGET_DIR:-target}/release/pgrecast
fi
start_server
fill
start_traffic

heading "The plan"
run plan "$TABLE" --alter "$ALTER"

t_before=$(now)
pause "$CALM_SECONDS"
t_run=$(now)
heading "The change"
run run "$TABLE" --alter "$ALTER"
t_changed=$(now)
pause "$CALM_SECONDS"

heading "After the change"
id=$("$PGRECAST" status "$TABLE" --json </dev/null | json_value '{id}')
check "columns" "aid bigint, note text" "$(columns)"
check_sums
check_lock "$id"
run verify "$id"

t_rollback=$(now)
heading "The rollback: no write in between is lost"
run rollback "$id"
t_back=$(now)
pause "$CALM_SECONDS"

heading "After the rollback"
check "columns" "aid integer" "$(columns)"
check_sums
check_lock "$id"
t_end=$(now)
stop_traffic

run cleanup "$id"
check "schemas left" 0 "$(value_of "select count(*) from pg_namespace where nspname like 'pgrecast\_%'")"
check "triggers left" 0 \
    "$(value_of "select count(*) from pg_trigger where tgrelid = '$TABLE'::regclass and not tgisinternal")"
check "deadlocks in the server's log" 0 "$(grep -c 'deadlock detected' "$SERVER/log" || true)"

heading "What the application noticed"
printf '%-22s %10s %10s %18s %19s\n' '' time 'tps' 'failed' 'longest transaction'
report "before" "$t_before" "$t_run"
report "during the change" "$t_run" "$t_changed"
report "after" "$t_changed" "$t_rollback"
report "during the rollback" "$t_rollback" "$t_back"
report "after" "$t_back" "$t_end"
say
check "failed transactions" 0 "$(cat "$LOGS"/transactions* | awk '$3 == "failed"' | wc -l)"
check "connections that gave up" 0 "$(grep -c 'aborted' "$LOGS/pgbench" || true)"

if [ "$FAILED" -ne 0 ]; then
    heading "Something went wrong, see FAILED above. The server's log:"
    tail -n 40 "$SERVER/log"
    exit 1
fi
heading "All good, $SECONDS s"
