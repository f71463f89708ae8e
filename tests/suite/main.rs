//! Tests on a real server. They are in the folder of the module that they test; each has its own database.
// Clippy only recognizes functions marked as tests.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod alter {
    mod constraints_of_18;
    mod forms;
    mod objects;
}
mod capture {
    mod segments;
}
mod change {
    mod columns;
    mod rows_kept;
    mod set;
}
mod cli {
    mod bad_input;
    mod shown;
}
mod copy {
    mod moved_rows;
    mod order;
    mod pieces;
}
mod db {
    mod connection;
    mod known_state;
    mod pooler;
}
mod docs {
    mod codes;
    mod recipes;
}
mod engine {
    mod failover;
    mod golden;
    mod interrupt;
    mod kill;
    mod live;
    mod meanwhile;
    mod sessions;
    mod stall;
    mod torture;
    mod twin;
}
mod in_place {
    mod others;
    mod steps;
}
mod lock {
    mod locks;
    mod requests;
}
mod preview {
    mod check_data;
    mod estimates;
    mod oid_values;
    mod strategies;
}
mod replay {
    mod full_speed;
    mod last_writes;
    mod rounds;
}
mod run {
    mod made;
}
mod shadow {
    mod anew;
    mod dependents;
    mod dependents_refused;
    mod dependents_rights;
    mod dependents_shapes;
    mod referrers;
    mod referrers_chained;
}
mod state {
    mod upgrade;
}
mod swap {
    mod new_identity;
    mod referrers_live;
    mod snapshots;
}
mod verify {
    mod slices;
}
mod layout;
mod support;
