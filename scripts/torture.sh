#!/usr/bin/env bash
# The model test: random tables, changes, writes and kills for the given number of minutes (default 10), then a summary.
# The seed of each table is printed: PGRECAST_TEST_SEED=<seed> scripts/torture.sh starts with that table.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup.sh

prepare_machine
export PGRECAST_TEST_PGBIN="$PGBIN" PGRECAST_TORTURE_MINUTES="${1:-10}"

heading "Torture, $PGRECAST_TORTURE_MINUTES minutes"
cargo test --locked --features failpoints --test suite -- torture:: --nocapture
