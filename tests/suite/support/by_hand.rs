//! A migration that a test runs step by step: pgrecast is killed at a moment, and then the test itself calls the
//! functions of a run, with other statements in between.

use std::sync::Arc;

use pgrecast::db::{ConnectionArgs, Sessions, Target};
use pgrecast::failpoint::Failpoint;
use pgrecast::pair::{Direction, Pair};
use pgrecast::run::{Events, Gate, OwnSessions, Run, pairs};
use pgrecast::state::{Migration, TableChange};
use tokio_postgres::Client;

use super::database::{SUPERUSER, TestDb};

/// The run of a migration of one table, controlled by a test.
pub struct ByHand {
    pub run: Run,
    pub change: TableChange,
    pub pair: Pair,
}

impl ByHand {
    /// Kills pgrecast at the first pass of a moment, and takes over.
    pub async fn from(db: &TestDb<'_>, arguments: &[&str], moment: Failpoint) -> ByHand {
        let environment = [("PGRECAST_FAILPOINT", moment.as_str())];
        let killed = db.spawn_with(SUPERUSER, arguments, &environment).wait().await;
        assert_eq!(killed.code, -1, "never reached {moment:?}: {}", killed.whole());
        let environment = db.psql_env();
        let find =
            |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let target = Target::resolve(&ConnectionArgs::default(), &find).unwrap();
        let migration = Migration::list(db.client()).await.unwrap().remove(0);
        let sessions = Sessions::new(Arc::new(target)).for_migration(
            &migration.short_id(),
            &migration.owner,
            &migration.settings,
        );
        let sessions = OwnSessions::new(sessions, migration.id);
        let control = sessions.open("control").await.unwrap();
        let run = Run { control, sessions, events: Events::new(Vec::new()), gate: Gate::new(0.0) };
        let change = migration.tables[0].clone();
        let pair = pairs::load(&run.control, &change, Direction::Forward).await.unwrap();
        ByHand { run, change, pair }
    }

    /// A number from a query in a session of the test.
    pub async fn count(&self, client: &Client, table: &impl std::fmt::Display) -> i64 {
        client.query_one(&format!("select count(*) from {table}"), &[]).await.unwrap().get(0)
    }
}
