# Runs a temporary cluster. Arguments: directory of the server's programs, port, settings as name=value. Prints the
# cluster's directory, then "ready" (or the error); ends when its standard input ends, and removes everything.
set -u
bin=$1 port=$2
shift 2

# A path to a socket must be short, and readable to the user the server runs as. In memory where there is plenty:
# databases are made and dropped all the time.
gigabytes() { awk '{ print int($1 / 1048576) }'; }
in=/tmp
if [ -w /dev/shm ] && [ "$(df -Pk /dev/shm | awk 'END { print $4 }' | gigabytes)" -ge 8 ] &&
    [ "$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo | gigabytes)" -ge 12 ]; then
    in=/dev/shm
fi
dir=$(mktemp -d "$in/pgrecast-test.XXXXXX") || exit 1
echo "$dir"

# Signals for the terminal of the test process must not prevent the cleanup.
trap '' INT TERM HUP
remove() {
    for data in "$dir"/data "$dir"/standby; do
        [ ! -d "$data" ] || "$bin/pg_ctl" -D "$data" -m immediate -w stop >/dev/null 2>&1
    done
    rm -rf "$dir"
}
trap remove EXIT

"$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$dir/initdb.log" 2>&1 ||
    { cat "$dir/initdb.log"; exit 1; }

{
    echo "port = $port"
    echo "unix_socket_directories = '$dir'"
    echo "listen_addresses = '127.0.0.1'"
    echo "fsync = off"
    echo "max_connections = 200"
    echo "max_prepared_transactions = 10"
    echo "wal_level = logical"
    echo "deadlock_timeout = 1s"
    echo "log_lock_waits = on"
    echo "log_min_messages = warning"
    echo "log_line_prefix = '%m [%p] [%d] %a '"
    for setting in "$@"; do
        echo "${setting%%=*} = '${setting#*=}'"
    done
} >>"$dir/data/postgresql.conf"

"$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -t 60 start >"$dir/start.log" 2>&1 </dev/null ||
    { cat "$dir/start.log" "$dir/server.log"; exit 1; }
echo ready

# Nobody writes to it: this waits until the other end is closed.
cat >/dev/null
