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
# One test of each kind of work on the newest server; scripts/test-matrix.sh runs them all, on each version.
[ $# -gt 0 ] || part "Tests on PostgreSQL 18" env -u PGRECAST_TEST_PGBIN scripts/test-matrix.sh 18 -- \
    integer_key::equals_the_plain_alter \
    integer_key::rolls_back_without_losing_a_write \
    a_row_that_differs_is_named_and_there_is_no_swap \
    columns_keep_all_that_is_set_on_them \
    sequences_go_on_where_they_are \
    views_read_the_new_table \
    a_session_that_found_the_sequence_of_an_identity_before_the_swap \
    a_name_that_is_taken_is_said

heading "All good, $SECONDS s"
