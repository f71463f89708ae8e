//! Objects that refer to the table (views, rules, policies, functions, publications) refer to the new table afterwards,
//! and to the former one after a rollback; nothing else about them changes.

use crate::support::*;

/// A database, a change of `orders`, and the lines by which the definition may differ afterwards.
struct Case {
    setup: &'static str,
    change: &'static [&'static str],
    differs: &'static [&'static str],
}

const ORDERS: &str = "
    create table customers (id int primary key, name text not null);
    insert into customers select g, 'c' || g from generate_series(1, 20) g;
    create table orders (id int primary key, customer int not null, amount int not null, note text, gone text);
    insert into orders select g, 1 + g % 20, g, 'n' || g, 'x' from generate_series(1, 500) g;";

const REBUILD: &[&str] = &["--rebuild"];
const RETYPE: &[&str] = &["--alter", "alter column amount type bigint"];
const RENAME: &[&str] =
    &["--alter", "rename column amount to note2, drop column gone, alter column note2 type bigint"];

impl Case {
    /// Runs the change, rolls back, runs it again and cleans up: the definition has only the expected differences, and
    /// no object refers to a table of pgrecast.
    async fn check(&self, hint: &str) {
        let db = TestDb::create(hint).await;
        db.execute(ORDERS).await;
        db.execute(self.setup).await;
        let before = schema_dump(&db).await;
        let run: Vec<&str> = ["run", "orders"].iter().chain(self.change).copied().collect();
        db.pgrecast(&run).await.expect_code(0);
        let after = schema_dump(&db).await;
        db.pgrecast(&["rollback", "orders"]).await.expect_code(0);
        let back = schema_dump(&db).await;
        db.pgrecast(&["cleanup", "orders"]).await.expect_code(0);
        assert_nothing_left(&db).await;
        assert_eq!(
            diff(&before, &schema_dump(&db).await),
            Vec::<String>::new(),
            "after rollback and cleanup"
        );
        assert_eq!(diff(&before, &back), Vec::<String>::new(), "after rollback");
        db.pgrecast(&run).await.expect_code(0);
        db.pgrecast(&["cleanup", "orders"]).await.expect_code(0);
        assert_nothing_left(&db).await;
        assert_eq!(diff(&after, &schema_dump(&db).await), Vec::<String>::new(), "the second time");
        let mut differs = diff(&before, &after);
        differs.retain(|line| !self.differs.iter().any(|expected| line.contains(expected)));
        assert_eq!(differs, Vec::<String>::new(), "after the swap");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_read_the_new_table() {
    let setup = r#"
        create schema "My App";
        create view small with (security_barrier) as select id, note from orders where amount < 100 with local check option;
        create view "My App"."By Customer" as
            select c.name, count(*) as n, o.customer from orders o join customers c on c.id = o.customer group by c.name, o.customer;
        create view plain as select * from orders;
        create view grouped as select orders.*, length(note) as l from orders group by orders.id;
        create view over as select s.id, p.customer from small s join plain p using (id);
        create view rows as select o, array_agg(o) over () as all_of_them from orders o;
        create recursive view chain (n) as select 1 union all select n + 1 from chain where n < (select max(id) from orders);
        alter view small alter column note set default 'none';
        comment on view small is 'the small ones'; comment on column small.id is 'the number';
        grant select on small to public; grant insert (id) on small to public;
        create function put() returns trigger language plpgsql as $$ begin return new; end $$;
        create trigger put instead of insert on plain for each row execute function put();
        comment on trigger put on plain is 'puts';
        create rule remove as on delete to plain do instead delete from orders where id = old.id;
        create view regclass as select 'orders'::regclass as it, id from orders limit 1"#;
    Case { setup, change: REBUILD, differs: &[] }.check("views").await;
    Case { setup, change: RETYPE, differs: &["amount"] }.check("views_retyped").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_keeps_its_column_names_when_the_table_s_columns_are_renamed() {
    let setup = "
        create view v as select id, amount, o.note as gone from orders o where amount > 3;
        create view joined as select * from orders o (a, b, c, d) join customers c on c.id = o.b;
        create view grouped as select sum(amount) as amount, customer from orders group by customer having sum(amount) > 0;
        create view over as select amount from v;
        alter table orders enable row level security;
        create policy positive on orders for select using (amount > 0);
        create table log (id int, amount int);
        create rule also as on update to orders where new.amount <> old.amount do also insert into log values (new.id, old.amount);
        create policy ordered on log using (exists (select from orders o where o.amount = log.amount))";
    let refused = TestDb::create("gone").await;
    refused.execute(ORDERS).await;
    refused.execute(setup).await;
    let output =
        refused.pgrecast(&["run", "orders", "--alter", "drop column gone"]).await.expect_code(3).whole();
    assert!(output.contains("column-in-use view public.joined"), "{output}");
    assert!(output.contains("it uses column gone, which the change drops"), "{output}");
    refused.execute("drop view joined").await;
    refused.pgrecast(&["run", "orders", "--alter", "drop column gone"]).await.expect_code(0);
    let setup = setup.replace("joined as select * from orders", "joined as select o.a, o.c from orders");
    let setup: &'static str = setup.leak();
    Case { setup, change: RENAME, differs: &["amount", "gone", "note2", "public.joined"] }
        .check("renamed")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_rules_functions_and_publications_name_the_new_table() {
    let setup = "
        alter table orders enable row level security;
        alter table orders force row level security;
        create policy own on orders as restrictive for update to public using (amount > 0) with check (amount < 1000);
        create policy self on orders for select using (id <= (select max(o.id) from orders o));
        comment on policy own on orders is 'one''s own';
        alter table customers enable row level security;
        create policy has_orders on customers using (exists (select from orders o where o.customer = customers.id));
        create table log (id int, amount bigint);
        create rule note as on update to orders where new.amount <> old.amount do also insert into log values (new.id, new.amount);
        create rule off as on delete to orders do instead nothing;
        alter table orders disable rule off;
        comment on rule note on orders is 'noted';
        create rule elsewhere as on insert to log do also update orders set note = 'logged' where id = new.id;
        alter table log disable rule elsewhere;
        create function label(o orders) returns text language sql stable as 'select o.note || o.amount';
        create function all_orders() returns setof orders language sql as 'select * from public.orders';
        comment on function all_orders() is 'all'; revoke execute on function all_orders() from public;
        create function most() returns bigint begin atomic select max(amount) from orders; end;
        create procedure clear(o orders[]) language plpgsql as $$ begin delete from orders where id = o[1].id; end $$;
        create publication plain for table orders, customers;
        create publication picked for table orders /*since 15*/(id, note, amount) where (amount > 5)/*end*/;
        create publication inserts for table orders with (publish = 'insert')";
    Case { setup, change: REBUILD, differs: &[] }.check("referrers").await;
    Case { setup, change: RETYPE, differs: &["amount"] }.check("referrers_retyped").await;
    let setup = "/*since 15*/create publication whole for tables in schema public/*end*/";
    Case { setup, change: RETYPE, differs: &["amount"] }.check("schema_publication").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn materialized_views_are_built_aside_and_exchanged() {
    let setup = "
        create materialized view totals with (fillfactor = 70) as
            select customer, sum(amount) as total, count(*) as n from orders group by customer;
        create unique index on totals (customer); create index totals_by_total on totals (abs(total) desc) include (n);
        alter index totals_by_total alter column 1 set statistics 77; comment on index totals_by_total is 'by total';
        comment on materialized view totals is 'all totals'; comment on column totals.n is 'how many';
        grant select on totals to public;
        alter materialized view totals alter column total set statistics 200;
        alter materialized view totals cluster on totals_by_total;
        create materialized view best as select * from totals where total > 10;
        create view shown as select customer, n from best;
        create materialized view later as select id from orders with no data;
        create view through as select id from orders; create materialized view of_view as select id from through";
    Case { setup, change: REBUILD, differs: &[] }.check("matviews").await;
    let retype = &["--alter", "alter column note type varchar(50), alter column amount type bigint"];
    Case { setup, change: retype, differs: &["amount", "note", "total"] }.check("matviews_retyped").await;

    let db = TestDb::create("matview_rows").await;
    db.execute(ORDERS).await;
    db.execute(
        "create materialized view total as select sum(amount) as s from orders; update orders set amount = 2",
    )
    .await;
    let total = async || db.query_value::<i64>("select s::bigint from total").await;
    assert_eq!(total().await, 125_250);
    db.pgrecast(&["run", "orders", "--rebuild"]).await.expect_code(0);
    assert_eq!(total().await, 1000, "built from the rows as they are");
    db.execute("update orders set amount = 3").await;
    db.pgrecast(&["rollback", "orders"]).await.expect_code(0);
    assert_eq!(total().await, 1500, "refreshed before it came back");
    db.execute("update orders set amount = 4; refresh materialized view total").await;
    assert_eq!(total().await, 2000);
    db.pgrecast(&["cleanup", "orders"]).await.expect_code(0);
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_other_roles_stays_theirs() {
    let db = TestDb::create("roles").await;
    db.execute(ORDERS).await;
    db.execute("create schema app; alter table orders set schema app; create table app.other (id int)").await;
    let owner = db.owner_role("owner", &["app.orders"]).await;
    let analyst = db
        .role("analyst", "grant usage, create on schema app to {role}; grant select on app.orders to {role}")
        .await;
    let other =
        db.role("other", "alter table app.other owner to {role}; grant usage on schema app to {role}").await;
    let (o, a, x) = (&owner.name, &analyst.name, &other.name);
    db.execute(&format!(
        "set role {a}; create view app.mine as select id, amount from app.orders; grant select on app.mine to {x} with grant option;
         create view app.plain /*since 15*/with (security_invoker)/*end*/ as select id from app.orders; create view app.over as select * from app.mine;
         comment on view app.over is 'over'; alter default privileges grant insert on tables to public;
         create function app.most() returns bigint begin atomic select max(amount) from app.orders; end;
         create function app.label(app.orders) returns text language sql as 'select $1.note'; grant execute on function app.label to {x};
         set role {x}; create policy p on app.other using (exists (select from app.orders o where o.id = other.id)); reset role;
         grant create on database {} to {a}; set role {a}; create publication theirs; reset role",
        db.name()
    ))
    .await;
    let run = ["run", "app.orders", "--alter", "alter column amount type bigint"];
    let refused = db.pgrecast_as(&owner, &run).await.expect_code(3).whole();
    assert!(refused.contains("privilege "), "{refused}");
    assert!(
        refused.contains(&format!("belongs to role {a}, and this role may not SET ROLE to it")),
        "{refused}"
    );
    db.execute(&format!("grant {a}, {x} to {o}; revoke create on schema app from {a}")).await;
    let refused = db.pgrecast_as(&owner, &run).await.expect_code(3).whole();
    assert!(
        refused.contains("may not create it in its schema. Run: grant usage, create on schema app"),
        "{refused}"
    );
    let change = ["run", "app.orders", "--rebuild"];
    db.pgrecast(&change).await.expect_code(0);
    db.pgrecast(&["cleanup", "app.orders"]).await.expect_code(0);
    db.execute(&format!("grant create on schema app to {a}")).await;
    db.execute(&format!("grant references, select on app.orders to {x}; grant select on app.other to {o}"))
        .await;
    let before = schema_dump(&db).await;
    db.pgrecast_as(&owner, &run).await.expect_code(0);
    let differs = diff(&before, &schema_dump(&db).await);
    assert!(differs.iter().all(|line| line.contains("amount")), "{differs:?}");
    db.pgrecast_as(&owner, &["rollback", "app.orders"]).await.expect_code(0);
    db.pgrecast_as(&owner, &["cleanup", "app.orders"]).await.expect_code(0);
    assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new());
    assert_nothing_left(&db).await;
    for role in [o, a, x] {
        db.execute(&format!("drop owned by {role} cascade")).await;
    }
}

/// Cases that were wrong in the first version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_once_overlooked() {
    // From 17 on the server fills materialized views under a search path without `public`.
    let setup = "
        create view v as select id, customer, amount, o from orders o;
        create rule up as on update to v do instead update orders set amount = new.amount, customer = new.customer where id = old.id;
        create rule gone as on delete to v where old.amount > 3 do instead delete from orders where amount = old.amount and id = old.id;
        create view with_default as select id, amount from orders; alter view with_default alter column amount set default 3;
        revoke insert, update, delete, truncate on v from postgres;
        create function label(o orders) returns text language sql as 'select o.note'; revoke all on function label from postgres, public;
        create materialized view m with (toast.autovacuum_enabled = false) as select id, note, amount from orders;
        alter materialized view m alter column note set compression pglz, alter column note set (n_distinct = 5);
        revoke insert on m from postgres;
        create function most() returns bigint begin atomic select max(amount)::bigint from m; end;
        create table other (id int, most bigint default most());
        create view typed as select 'orders'::regtype as type, id from orders;
        create function name_of(i int) returns text language plpgsql stable as $$ begin return (select name from /*since 17*/public./*end*/customers where id = i); end $$;
        create materialized view names as select id, name_of(customer) as n from orders;
        alter default privileges revoke delete on tables from postgres";
    Case { setup, change: REBUILD, differs: &[] }.check("overlooked").await;
    let exchange = &[
        "--alter",
        "rename column amount to x, rename column customer to amount, rename column x to customer",
    ];
    Case { setup, change: exchange, differs: &["amount", "customer"] }.check("exchanged").await;

    let db = TestDb::create("exchanged_rows").await;
    db.execute(ORDERS).await;
    db.execute(setup).await;
    db.execute("grant update on v to postgres").await;
    let change = "rename column amount to cents, alter column cents type bigint, add column amount numeric";
    db.pgrecast(&["run", "orders", "--alter", change]).await.expect_code(0);
    db.execute("update v set amount = 999 where id = 7").await;
    let row: String = db.query_value("select concat_ws(' ', v.amount, cents, orders.amount) from orders join v using (id) where id = 7").await;
    assert_eq!(row, "999 999");
    db.pgrecast(&["cleanup", "orders"]).await.expect_code(0);

    let db = TestDb::create("late").await;
    db.execute(ORDERS).await;
    db.execute(
        "create view v as select id, amount from orders; create materialized view later as select id from orders with no data;
         create role late_reader",
    )
    .await;
    let reader = db.connect().await;
    reader.batch_execute("begin; select count(*) from orders").await.unwrap();
    let run = ["run", "orders", "--alter", "alter column amount type bigint"];
    db.pgrecast(&[&run[..], &["--lock-attempts", "1"]].concat()).await.expect_code(1);
    let before = schema_dump(&db).await;
    // Objects that are created while the migration is open.
    db.execute(
        "alter default privileges grant select on tables to late_reader; refresh materialized view later",
    )
    .await;
    reader.batch_execute("commit").await.unwrap();
    db.pgrecast(&run).await.expect_code(0);
    assert_eq!(db.query_value::<i64>("select count(*) from later").await, 500);
    db.execute("alter default privileges revoke select on tables from late_reader").await;
    let differs = diff(&before, &schema_dump(&db).await);
    assert!(differs.iter().all(|line| line.contains("amount")), "{differs:?}");
    db.pgrecast(&["rollback", "orders"]).await.expect_code(0);
    assert_eq!(db.query_value::<i64>("select count(*) from later").await, 500);
    assert_eq!(diff(&before, &schema_dump(&db).await), Vec::<String>::new());
    db.execute("drop role late_reader").await;
}
