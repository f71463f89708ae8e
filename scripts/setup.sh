# shellcheck shell=bash
# The requirements of the scripts: the programs of PostgreSQL 15, the linker of a C compiler, Rust. Sourced, not run.
# Installs missing Debian packages, as root or with sudo; a second run does nothing.

PGBIN=${PGRECAST_TEST_PGBIN:-/usr/lib/postgresql/15/bin}
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

prepare_machine() {
    heading "What is needed"
    install_packages
    check_rust
    # Ignore the caller's environment: no other server, no translated messages, no prompts.
    unset PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGPASSWORD PGPASSFILE PGSERVICE PGOPTIONS PGSSLMODE PGAPPNAME
    export LC_ALL=C.UTF-8 TZ=UTC PAGER=cat PSQL_PAGER='' PGTZ=UTC CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"
}
