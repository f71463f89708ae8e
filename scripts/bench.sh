#!/usr/bin/env bash
# Compares pgrecast with the blocking ALTER TABLE, the classic method (triggers that write to the shadow, rows copied by
# ranges of the key, all indexes present) and pg_repack, on a temporary PostgreSQL server with fsync on. All ways take
# turns in RUNS rounds (3) on the same ROWS (5,000,000); ratios are of one round's times, their medians are printed, and
# written as JSON to BENCH_JSON if that is set. Needs about 4 GB of disk in TMPDIR.
#
#   scripts/bench.sh [PART..]   ways: the above; writers: 0, 4 and 16 of them; shapes: other tables, ROWS/5 rows;
#                               growth: the same table with ROWS/5 to ROWS*8/5 rows; capture: what a trigger costs a
#                               writer. All, if none is named.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup.sh

PARTS=("$@")
[ $# -gt 0 ] || PARTS=(ways writers shapes growth capture)
ROWS=${ROWS:-5000000}
RUNS=${RUNS:-3}
# Updates per second of the fixed load, by 4 clients.
LOAD=${LOAD:-500}
SHARED_BUFFERS=${SHARED_BUFFERS:-1GB}
CORES=$(nproc)
FULL=(--nice-ratio 0 --jobs "$CORES" --index-jobs "$CORES")
SERVER='' LOAD_PID=''

clean_up() {
    [ -z "$LOAD_PID" ] || kill "$LOAD_PID" 2>/dev/null || true
    if [ -n "$SERVER" ]; then
        as_server_user "$PGBIN/pg_ctl" -D "$SERVER/data" -m immediate -w stop >/dev/null 2>&1 || true
        rm -rf "$SERVER" "$SERVER.out"
    fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

sql() { "$PGBIN/psql" -qAtX -v ON_ERROR_STOP=1 "$@" </dev/null; }
now() { date +%s.%N; }
seconds() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.3f", b - a }'; }

start_server() {
    SERVER=$(cd / && as_server_user mktemp -d "${TMPDIR:-/tmp}/pgrecast-bench.XXXXXX")
    mkdir "$SERVER.out"
    local settings="-c listen_addresses='' -c shared_buffers=$SHARED_BUFFERS -c max_wal_size=8GB -c maintenance_work_mem=256MB"
    (
        cd /
        as_server_user "$PGBIN/initdb" -D "$SERVER/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8
        as_server_user "$PGBIN/pg_ctl" -D "$SERVER/data" -l "$SERVER/log" -w -o "-k $SERVER $settings" start
    ) >"$SERVER.out/start" 2>&1 </dev/null || { cat "$SERVER.out/start"; fail "the server did not start"; }
    export PGHOST=$SERVER PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
    sql -c "select version()"
    sql -c "select string_agg(name || '=' || current_setting(name), ', ' order by name) from pg_settings
            where name in ('fsync', 'synchronous_commit', 'shared_buffers', 'max_wal_size', 'maintenance_work_mem',
                           'max_parallel_maintenance_workers', 'max_parallel_workers_per_gather')"
}

# template SQL..: creates the database that every method starts from; it is copied file by file.
template() {
    export PGDATABASE=postgres
    sql -c "drop database if exists orders with (force)" -c "drop database if exists template_orders with (force)" -c "create database template_orders" 2>/dev/null
    sql -d template_orders -c "$*" -c "vacuum (freeze, analyze) orders"
    sql -d template_orders -c "select to_char(count(*), 'FM999,999,999') || ' rows, ' ||
        pg_size_pretty(pg_total_relation_size('orders')) || ' with indexes' from orders"
}

# orders ROWS: the table of orders.
orders() {
    FILLED=$1
    template "
        create table orders (id int primary key, customer int not null, status text not null,
            total numeric(10,2) not null, note text, created timestamptz not null);
        insert into orders select g, g::bigint * 7919 % 100000, (array['new','paid','sent','done'])[1 + g % 4],
            g % 100000 / 7.0, case when g % 3 = 0 then repeat('note ', 1 + g % 12) end,
            '2026-01-01'::timestamptz + g * interval '1 second' from generate_series(1, $1) g;
        create index on orders (customer); create index on orders (status, created);
        create index on orders (created)"
}

fresh() {
    export PGDATABASE=postgres
    sql -c "drop database if exists orders with (force)" -c "create database orders template template_orders" -c checkpoint
    export PGDATABASE=orders
}

used_disk() { as_server_user du -sk "$SERVER/data/base" | cut -f1; }

# Runs pgrecast, and records how long the swap held its lock, the WAL written and the memory of the program.
recast() {
    local wal pid peak=0 disk=0 seen used before
    before=$(used_disk)
    wal=$(sql -c "select pg_current_wal_lsn()")
    "$PGRECAST" run orders "$@" </dev/null >"$SERVER.out/run" 2>&1 &
    pid=$!
    while seen=$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null) && [ -n "$seen" ]; do
        peak=$seen
        used=$(used_disk)
        disk=$((used > disk ? used : disk))
        sleep 0.2
    done
    wait "$pid" || { cat "$SERVER.out/run"; fail "pgrecast failed"; }
    # The former table still exists.
    NOTE=$(sql -c "select format('lock %s ms; WAL %s, disk %s times the table with its indexes; memory %s MB',
        round(m.lock_held_ms::numeric), round((pg_wal_lsn_diff(pg_current_wal_lsn(), '$wal') / s.size)::numeric, 2),
        round(($disk - $before) * 1024.0 / s.size, 2), $peak / 1024)
        from pgrecast.table_change m, pg_total_relation_size('orders') s(size)")
}

blocking() { sql -c "alter table orders alter column $1 type bigint" -c "vacuum analyze orders"; }

# Triggers that write to the shadow in the application's transaction, and copying by ranges of the key.
classic() {
    sql -c "create table shadow (like orders including all); alter table shadow alter column id type bigint;
        create function sync() returns trigger language plpgsql as \$\$ begin
            if tg_op <> 'INSERT' then delete from shadow where id = old.id; end if;
            if tg_op <> 'DELETE' then insert into shadow select new.*; end if; return null; end \$\$;
        create trigger sync after insert or update or delete on orders for each row execute function sync()"
    local first
    for ((first = 1; first <= ROWS; first += 10000)); do
        printf 'insert into shadow select * from orders where id between %d and %d on conflict do nothing;\n' "$first" $((first + 9999))
    done | "$PGBIN/psql" -qX -v ON_ERROR_STOP=1
    sql -c "begin; alter table orders rename to orders_old; alter table shadow rename to orders; commit" -c "vacuum analyze orders"
}

repack() { "$PGBIN/pg_repack" -k -t orders -d orders >"$SERVER.out/repack" 2>&1 </dev/null || { cat "$SERVER.out/repack"; fail "pg_repack failed"; }; }

# took WAY COMMAND..: on a fresh copy, the seconds into TOOK[WAY].
declare -A TOOK
took() {
    local way=$1 from
    shift
    fresh
    NOTE=''
    from=$(now)
    "$@"
    TOOK[$way]=$(seconds "$from")
    printf '%-34s %8s s   %s\n' "$way" "${TOOK[$way]}" "$NOTE"
}

# start_load CLIENTS
start_load() {
    printf '\\set id random(1, %s)\nupdate orders set total = total + 1 where id = :id;\n' "$FILLED" >"$SERVER.out/load.sql"
    rm -f "$SERVER.out"/latency.*
    "$PGBIN/pgbench" -n -M prepared -c "$1" -R "$LOAD" -T 3600 -l --log-prefix="$SERVER.out/latency" -f "$SERVER.out/load.sql" \
        >"$SERVER.out/pgbench" 2>&1 </dev/null &
    LOAD_PID=$!
    sleep 1 # do not measure the connection time
}

# load_between FROM TO: updates per second, median, p99 and longest in ms.
load_between() {
    cat "$SERVER.out"/latency.* | awk -v from="$1" -v to="$2" 'NF >= 6 && $5 + $6 / 1e6 >= from && $5 + $6 / 1e6 < to { print $3 }' |
        sort -n | awk -v t="$(awk -v a="$1" -v b="$2" 'BEGIN { print b - a }')" '{ v[NR] = $1 / 1000 } END {
            printf "%.0f %.2f %.2f %.1f\n", NR / t, v[int(NR / 2) + 1], v[int(NR * 0.99) + 1], v[NR] }'
}

# under_load WAY COMMAND..: the same, with the fixed load before and during the command.
under_load() {
    local way=$1 before from to
    shift
    fresh
    NOTE=''
    start_load "${CLIENTS:-4}"
    before=$(now)
    sleep 5
    from=$(now)
    "$@"
    to=$(now)
    TOOK[$way]=$(seconds "$from")
    sleep 1 # pgbench writes its log in blocks
    kill -9 "$LOAD_PID"
    wait "$LOAD_PID" 2>/dev/null || true
    LOAD_PID=''
    BEFORE=$(load_between "$before" "$from")
    LOADED[$way]=$(load_between "$from" "$to")
    printf '%-34s %8s s   before: %s   meanwhile: %s   %s\n' "$way" "${TOOK[$way]}" "$BEFORE" "${LOADED[$way]}" "$NOTE"
    LATENCIES+=("{\"way\":\"$way\",\"before\":[${BEFORE// /,}],\"meanwhile\":[${LOADED[$way]// /,}]}")
    local phase latency
    while IFS='|' read -r phase from to; do
        latency=$(load_between "$from" "$to")
        printf '    until %-28s %8s s   %s\n' "$phase" "$(awk -v a="$from" -v b="$to" 'BEGIN { printf "%.2f", b - a }')" "$latency"
        LATENCIES+=("{\"way\":\"$way\",\"phase\":\"$phase\",\"meanwhile\":[${latency// /,}]}")
    done < <(phases)
}

# The time of each phase of the migration in this database, if there is one.
phases() {
    [ "$(sql -c "select to_regclass('pgrecast.event') is not null")" = t ] || return 0
    sql -c "select message, since, until from (
            select message, extract(epoch from lag(at) over (order by id)) as since, extract(epoch from at) as until
            from pgrecast.event where kind = 'phase') phase
        where until - since > 0.3"
}
declare -A LOADED RATIOS
LATENCIES=()

ratio() {
    RATIOS[$1]+=" $(awk -v a="${TOOK[$2]}" -v b="${TOOK[$3]}" 'BEGIN { printf "%.3f", a / b }')"
}

ways() {
    heading "The ways"
    orders "$ROWS"
    for ((run = 1; run <= RUNS; run++)); do
        heading "Round $run of $RUNS"
        took "key, blocking" blocking id
        took "key, full speed" recast --alter 'alter column id type bigint' "${FULL[@]}"
        took "key, default" recast --alter 'alter column id type bigint'
        took "customer, blocking" blocking customer
        took "customer, full speed" recast --alter 'alter column customer type bigint' "${FULL[@]}"
        took "key, classic" classic
        took "rebuild, full speed" recast --rebuild "${FULL[@]}"
        [ ! -x "$PGBIN/pg_repack" ] || { sql -d template_orders -c "create extension if not exists pg_repack" && took "rebuild, pg_repack" repack; }
        under_load "key, full speed, load" recast --alter 'alter column id type bigint' "${FULL[@]}"
        under_load "key, default, load" recast --alter 'alter column id type bigint'
        [ ! -x "$PGBIN/pg_repack" ] || under_load "rebuild, pg_repack, load" repack
        ratio "a. key / blocking" "key, full speed" "key, blocking"
        ratio "a. customer / blocking" "customer, full speed" "customer, blocking"
        ratio "a. key under load / blocking" "key, full speed, load" "key, blocking"
        ratio "a. key at default / blocking" "key, default" "key, blocking"
        ratio "b. key / classic" "key, full speed" "key, classic"
        [ ! -x "$PGBIN/pg_repack" ] || ratio "c. rebuild / pg_repack" "rebuild, full speed" "rebuild, pg_repack"
    done
}

# The effect on the application and on the lock with this number of writers.
writers() {
    heading "Writers"
    orders $((ROWS / 5))
    took "key, no writer" recast --alter 'alter column id type bigint'
    for CLIENTS in 4 16; do
        under_load "key, $CLIENTS writers" recast --alter 'alter column id type bigint'
    done
}

# other NAME SQL CHANGE: a table with another shape, at full speed and with the blocking ALTER.
other() {
    heading "$1"
    template "$2"
    local run
    for ((run = 1; run <= RUNS; run++)); do
        took "$1, blocking" sql -c "alter table orders $3" -c "vacuum analyze orders"
        took "$1, full speed" recast --alter "$3" "${FULL[@]}"
        ratio "f. $1 / blocking" "$1, full speed" "$1, blocking"
    done
}

shapes() {
    local rows=$((ROWS / 5))
    other "uuid key" "create table orders (id uuid primary key, customer int, note text);
        insert into orders select gen_random_uuid(), g % 1000, 'note ' || g from generate_series(1, $rows) g;
        create index on orders (customer)" "alter column customer type bigint"
    other "wide rows" "create table orders (id int primary key, customer int, body text); alter table orders alter body set storage external;
        insert into orders select g, g % 1000, repeat(md5(g::text), 160) from generate_series(1, $rows / 20) g" "alter column customer type bigint"
    other "200 columns" "create table orders (id int primary key, customer int); do \$\$ begin execute 'alter table orders ' ||
            (select string_agg(format('add c%s int default %s', g, g), ', ') from generate_series(1, 198) g); end \$\$;
        insert into orders (id, customer) select g, g from generate_series(1, $rows / 10) g" "alter column customer type bigint"
    other "small table" "create table orders (id int primary key, customer int, note text);
        insert into orders select g, g % 1000, 'note ' || g from generate_series(1, $rows / 10) g;
        create index on orders (customer)" "alter column customer type bigint"
}

# The time per row must not depend on the number of rows.
growth() {
    local times rows run
    for times in 1 2 4 8; do
        rows=$((ROWS / 5 * times))
        heading "Growth: $rows rows"
        orders "$rows"
        for ((run = 1; run <= RUNS; run++)); do
            took "growth, $times" recast --alter 'alter column id type bigint' "${FULL[@]}"
            RATIOS["h. us a row, times $times"]+=" $(awk -v a="${TOOK["growth, $times"]}" -v r="$rows" 'BEGIN { printf "%.3f", a * 1e6 / r }')"
        done
    done
}

# The cost of a trigger for the statement that fires it: no trigger, the capture trigger, and one that writes to a
# shadow with all its indexes. In microseconds per row, for single-row statements and for one that changes many rows.
capture() {
    heading "Capture"
    orders $((ROWS / 5))
    local run way shape statement from
    local single="do \$\$ begin for n in 1 .. 50000 loop update orders set total = total + 1 where id = n * 17 % $FILLED + 1; end loop; end \$\$"
    local bulk="update orders set total = total + 1 where id <= 50000"
    for ((run = 1; run <= RUNS; run++)); do
        for way in none capture upsert; do
            fresh
            recast --rebuild "${FULL[@]}"
            [ "$way" = capture ] || "$PGRECAST" cleanup orders >/dev/null 2>&1
            [ "$way" != upsert ] || sql -c "create table shadow (like orders including all); insert into shadow select * from orders" \
                -c "create function sync() returns trigger language plpgsql as \$\$ begin
                    insert into shadow select new.* on conflict (id) do update set total = excluded.total; return null; end \$\$" \
                -c "create trigger sync after insert or update on orders for each row execute function sync()"
            for shape in single bulk; do
                statement=${!shape}
                sql -c checkpoint
                from=$(now)
                sql -c "set synchronous_commit = off" -c "$statement"
                RATIOS["capture, us a row: $shape, $way"]+=" $(awk -v a="$(seconds "$from")" 'BEGIN { printf "%.1f", a * 1e6 / 50000 }')"
            done
        done
    done
}

prepare_machine
[ -x "$PGBIN/pg_repack" ] || { MISSING=postgresql-15-repack && apt_install "$MISSING"; } || say "no pg_repack: left out"
cargo build --release --locked </dev/null
PGRECAST=${CARGO_TARGET_DIR:-target}/release/pgrecast
heading "The server"
start_server
for part in "${PARTS[@]}"; do
    case $part in
        ways | writers | shapes | growth | capture) "$part" ;;
        *) fail "no part: $part" ;;
    esac
done

heading "Medians of the ratios of $RUNS rounds, $ROWS rows"
json=''
while read -r name; do
    median=$(tr ' ' '\n' <<<"${RATIOS[$name]# }" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')
    printf '%-34s %8s   (%s)\n' "$name" "$median" "${RATIOS[$name]# }"
    json+="${json:+,}\"$name\":$median"
done < <(printf '%s\n' "${!RATIOS[@]}" | sort)
if [ -n "${BENCH_JSON:-}" ]; then
    printf '{"rows":%s,"runs":%s,"cores":%s,"ratios":{%s},"load":[%s]}\n' "$ROWS" "$RUNS" "$CORES" "$json" \
        "$(IFS=,; echo "${LATENCIES[*]}")" >"$BENCH_JSON"
fi
heading "Load: updates a second, median, p99, longest in ms. $SECONDS s in all"
