//! A table for changes without a copy.

use super::TestDb;

/// The table, with everything that these changes need.
pub const TABLE: &str = "
    create table customer (id int primary key);
    create table orders (id int, amount int, code text, customer_id int, note varchar(10), tenant int);
    alter table orders add constraint small check (amount < 1000000) not valid;
    create index by_note on orders (note);
    insert into customer select generate_series(1, 100);
    insert into orders select g, g, 'c' || g, 1 + g % 100, 'n' || g, 1 from generate_series(1, 2000) g";

/// Its phase; none before the first migration.
pub async fn phase(db: &TestDb<'_>) -> String {
    if !db.query_value::<bool>("select to_regclass('pgrecast.migration') is not null").await {
        return String::new();
    }
    let phases = "select phase from pgrecast.migration order by created_at desc limit 1";
    db.query_column::<String>(phases).await.pop().unwrap_or_default()
}
