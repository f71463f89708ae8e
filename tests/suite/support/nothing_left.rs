//! The check at the end of every test: pgrecast has left nothing in the database except its schema `pgrecast`, with the
//! history of migrations.

use super::database::TestDb;
use super::wait::wait_until;

/// Each row describes one object that is left.
const LEFT_BEHIND: &str = include_str!("left_behind.sql");

/// Sessions of pgrecast, and whatever sessions keep a transaction open.
const SESSIONS: &str = r"
    select format('session %s %L, %s since %s: %s', pid, application_name, state, xact_start, query)
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
      and (application_name like 'pgrecast%' or xact_start is not null)";

/// Panics if anything of pgrecast is left, and names it. Waits a moment for sessions of a process that has just ended.
pub async fn assert_nothing_left(db: &TestDb<'_>) {
    assert_no_session_left(db).await;
    assert_no_object_left(db).await;
}

/// Panics if a schema, trigger, function or lock of pgrecast is left; other sessions may be active.
pub async fn assert_no_object_left(db: &TestDb<'_>) {
    wait_until("no session of pgrecast is left", async || {
        let ours = "select from pg_stat_activity
            where datname = current_database() and application_name like 'pgrecast%'";
        db.query(ours, &[]).await.is_empty()
    })
    .await;
    let left: Vec<String> = db.query_column(LEFT_BEHIND).await;
    assert!(left.is_empty(), "left behind in {}:\n{}", db.name(), left.join("\n"));
}

/// Panics if sessions of pgrecast do not end, or a transaction stays open.
pub async fn assert_no_session_left(db: &TestDb<'_>) {
    let mut left: Vec<String> = Vec::new();
    let no_session = async || {
        left = db.query_column(SESSIONS).await;
        left.is_empty()
    };
    wait_until("no session of pgrecast and no open transaction is left", no_session).await;
}
