#!/usr/bin/env bash
# Checks everything: formatting, lints, tests (they start their own temporary PostgreSQL server). Installs missing
# packages first. Of many similar cases it runs only some, and the model test for a minute; `./scripts/test.sh --all`
# runs all cases, and the model test for ten minutes. Other arguments go to cargo test: `./scripts/test.sh twin::`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup.sh

part() {
    local title=$1 started=$SECONDS
    shift
    heading "$title"
    say "\$ $*"
    "$@" </dev/null || fail "failed: $*"
    say "$title: ok, $((SECONDS - started)) s"
}

prepare_machine
export PGRECAST_TEST_PGBIN="$PGBIN" RUST_BACKTRACE="${RUST_BACKTRACE:-1}"

for tool in rustfmt cargo-clippy; do
    command -v "$tool" >/dev/null || rustup component add rustfmt clippy ||
        fail "$tool is missing, and could not be added with: rustup component add rustfmt clippy"
done

if [ "${1:-}" = --all ]; then
    shift
    export PGRECAST_TEST_ALL=1 PGRECAST_TORTURE_MINUTES=10
fi

part "Formatting" cargo fmt --check
# The released build, and the tested build with failpoints (src/failpoint.rs).
part "Lints" cargo clippy --locked -- -D warnings
part "Lints, with failpoints" cargo clippy --locked --all-targets --features failpoints -- -D warnings
part "Tests" cargo test --locked --features failpoints "$@"

heading "All good, $SECONDS s"
