-- A database whose tables together have all attached objects that PostgreSQL supports and that are carried over: a
-- rental business with partitioned payments, a shop, a forum with row-level security and search columns, and unusual
-- tables. Every changed table has a column n that writers increment.
create extension citext; create extension btree_gist; create extension pg_trgm;

create schema rental;
create domain rental.year as int check (value between 1901 and 2155);
create type rental.mpaa_rating as enum ('G', 'PG', 'R');
create function rental.touch() returns trigger language plpgsql as $$ begin new.last_update := '2026-01-01'; return new; end $$;
create aggregate rental.group_concat(text) (sfunc = textcat, stype = text);
create table rental.language (
    language_id serial primary key, name character(20) not null, last_update timestamptz not null default now(), n int not null default 0);
create table rental.film (
    film_id int generated always as identity primary key, title varchar(255) not null, description text, release_year rental.year,
    language_id int not null references rental.language on update cascade on delete restrict,
    original_language_id int references rental.language on update cascade on delete restrict,
    rental_rate numeric(4, 2) default 4.99 not null, rating rental.mpaa_rating default 'G', special_features text[],
    last_update timestamptz default now() not null, fulltext tsvector, n int not null default 0, constraint rate check (rental_rate >= 0));
create index film_fulltext_idx on rental.film using gist (fulltext);
create index idx_title on rental.film (title varchar_pattern_ops) where rating <> 'R';
create index idx_trgm on rental.film using gin (title gin_trgm_ops);
create trigger film_fulltext_trigger before insert or update of title, description on rental.film
    for each row execute function tsvector_update_trigger('fulltext', 'pg_catalog.english', 'title', 'description');
create trigger last_updated before update on rental.film for each row when (old.title is distinct from new.title) execute function rental.touch();
create table rental.actor (actor_id bigserial primary key, first_name text not null, last_name text not null collate "C", n int not null default 0);
create index on rental.actor (last_name desc, first_name);
create table rental.film_actor (
    actor_id bigint not null references rental.actor on update cascade, film_id int not null references rental.film on update cascade on delete cascade,
    n int not null default 0, primary key (actor_id, film_id)) with (fillfactor = 90);
create index on rental.film_actor (film_id);
create table rental.category (category_id smallserial primary key, name text not null unique, n int not null default 0);
create table rental.film_category (
    film_id int not null references rental.film on delete cascade, category_id smallint not null references rental.category,
    n int not null default 0, primary key (film_id, category_id));
create table rental.store (store_id int primary key, manager_staff_id int not null, n int not null default 0);
create table rental.staff (
    staff_id int primary key, store_id int not null references rental.store, username text not null unique, reports_to int references rental.staff,
    active boolean default true, n int not null default 0);
alter table rental.store add constraint store_manager foreign key (manager_staff_id) references rental.staff deferrable initially deferred;
create table rental.customer (
    customer_id int primary key, store_id int not null references rental.store, email varchar(50), active boolean default true not null,
    created date default '2026-01-01' not null, n int not null default 0);
create unique index customer_email on rental.customer (lower(email)) include (active) /*since 15*/nulls not distinct/*end*/ where email is not null;
create table rental.inventory (
    inventory_id int primary key, film_id int not null references rental.film, store_id int not null references rental.store, n int not null default 0);
create statistics rental.inventory_stats (ndistinct, mcv) on film_id, store_id from rental.inventory;
comment on statistics rental.inventory_stats is 'films of stores';
create table rental.rental (
    rental_id int primary key, rental_date timestamp not null, inventory_id int not null references rental.inventory on delete restrict,
    customer_id int not null references rental.customer, return_date timestamp, n int not null default 0,
    unique (rental_date, inventory_id, customer_id), check (return_date is null or return_date >= rental_date));
create table rental.payment (
    payment_id int not null, customer_id int not null references rental.customer on delete cascade, rental_id int not null references rental.rental,
    amount numeric(5, 2) not null, paid date not null) partition by range (paid);
create table rental.payment_1 partition of rental.payment for values from ('2026-01-01') to ('2026-02-01');
create table rental.payment_rest partition of rental.payment default;
create view rental.film_list as
    select f.film_id as fid, f.title, c.name as category, f.n, rental.group_concat(a.first_name || ' ' || a.last_name || ', ') as actors
    from rental.category c join rental.film_category using (category_id) join rental.film f using (film_id)
    left join rental.film_actor using (film_id) left join rental.actor a using (actor_id) group by f.film_id, c.name;
create view rental.customer_list with (security_barrier) as
    select cu.customer_id as id, cu.email, case when cu.active then 'active' else '' end as notes, cu.n, s.store_id as sid
    from rental.customer cu join rental.store s using (store_id);
create view rental.sales_by_store as
    select s.store_id, sum(p.amount) as total_sales, max(i.n) as n from rental.payment p join rental.rental r using (rental_id)
    join rental.inventory i using (inventory_id) join rental.store s on s.store_id = i.store_id group by s.store_id order by s.store_id;
create materialized view rental.rental_by_category as
    select c.name as category, sum(p.amount) as total from rental.payment p join rental.rental r using (rental_id) join rental.inventory i using (inventory_id)
    join rental.film_category using (film_id) join rental.category c using (category_id) group by c.name with no data;
create unique index rental_category on rental.rental_by_category (category);
create function rental.rewards_report(at_least int) returns setof rental.customer language plpgsql security definer as $$
begin return query select c.* from rental.customer c where c.n >= at_least; end $$;
create function rental.last_name(c rental.customer) returns text language sql stable return split_part((c).email, '.', 2);
/*since 15*/create publication rental_all for tables in schema rental;/*end*/

create schema shop;
create table shop.products (
    id int primary key, name text not null, price numeric(12, 2) not null check (price > 0), price_gross numeric generated always as (round(price * 1.2, 2)) stored,
    attributes jsonb not null default '{}', tags text[] default array['new'], n int not null default 0);
create index on shop.products using gin (attributes jsonb_path_ops); create index on shop.products (((attributes ->> 'color'))) where n >= 0;
create table shop.audit (product int, at timestamptz default now(), n bigint);
create rule note_price as on update to shop.products where new.price <> old.price do also insert into shop.audit (product, n) values (new.id, new.n);
create table shop.orders (
    id uuid primary key default gen_random_uuid(), customer int not null, status text not null default 'new', placed timestamptz not null default '2026-01-01',
    note text, n int not null default 0, check (status in ('new', 'paid', 'sent')));
create index orders_open on shop.orders (placed) where status <> 'sent';
alter table shop.orders add constraint note_length check (length(note) < 5000) not valid;
create table shop.order_items (
    order_id uuid not null references shop.orders on delete cascade, line int not null, product int not null references shop.products, quantity int not null,
    n int not null default 0, primary key (order_id, line) include (quantity));
create table shop.prices (id int primary key, product int not null references shop.products match full, during daterange not null, n int not null default 0,
    constraint one_price exclude using gist (product with =, during with &&) deferrable);
create unlogged table shop.stock (product int primary key, amount int, n int not null default 0);
create view shop.order_entry as select o.id, o.customer, o.n, i.product, i.quantity from shop.orders o join shop.order_items i on i.order_id = o.id;
create function shop.enter() returns trigger language plpgsql as $$ begin
    insert into shop.orders (id, customer) values (new.id, new.customer); return new; end $$;
create trigger enter instead of insert on shop.order_entry for each row execute function shop.enter();
create view shop.open_orders as select id, status, note from shop.orders where status <> 'sent' with cascaded check option;
create materialized view shop.best_sellers as select product, sum(quantity) as sold from shop.order_items group by product;
create unique index best_sellers_product on shop.best_sellers (product);
create view shop.best as select b.sold, p.* from shop.best_sellers b join shop.products p on p.id = b.product;
comment on view shop.best is 'what sells'; comment on column shop.best.sold is 'how many';
create publication shop_orders for table shop.orders /*since 15*/(id, customer, status) where (id is not null)/*end*/, only shop.products with (publish = 'insert, update');
create publication shop_inserts for table shop.orders with (publish = 'insert');

create schema forum;
create table forum.users (id int primary key, email citext not null unique, is_admin boolean not null default false, n int not null default 0);
create table forum.threads (id int generated by default as identity (start 100) primary key, author int not null references forum.users on delete set null, title text not null, n int not null default 0);
create table forum.posts (
    id bigint primary key, thread int not null references forum.threads on delete cascade, author int references forum.users on delete set null, body text not null,
    search tsvector generated always as (to_tsvector('english', body)) stored, hidden boolean not null default false, n int not null default 0);
create index posts_search on forum.posts using gin (search) with (fastupdate = off);
create table forum.votes (post bigint references forum.posts on delete cascade, "user" int references forum.users, value smallint check (value in (-1, 1)), n int not null default 0, primary key (post, "user"));
alter table forum.users enable row level security; alter table forum.users force row level security;
create policy everyone_reads on forum.users for select using (true);
create policy own_row on forum.users for update using (id = current_setting('forum.user', true)::int) with check (not is_admin);
alter table forum.posts enable row level security;
create policy visible on forum.posts using (not hidden or exists (select from forum.users u where u.is_admin and u.email = current_user));
create policy no_stranger on forum.posts as restrictive for insert with check (author in (select id from forum.users where n >= 0));
comment on policy visible on forum.posts is 'admins see all';
alter table forum.votes enable row level security;
create policy on_visible on forum.votes using (exists (select from forum.posts p where p.id = votes.post));
create function forum.karma(u forum.users) returns bigint stable language sql as 'select sum(v.value) from forum.votes v join forum.posts p on p.id = v.post where p.author = u.id';
create function forum.authors() returns setof forum.users stable begin atomic select u.* from forum.users u where exists (select from forum.posts p where p.author = u.id); end;
create function forum.busiest() returns text stable begin atomic select t.title from forum.threads t order by t.n desc limit 1; end;
create procedure forum.hide(p forum.posts[]) language plpgsql as $$ begin update forum.posts set hidden = true where id = p[1].id; end $$;
create recursive view forum.numbers (k) as select 1 union all select k + 1 from numbers where k < (select max(n) from forum.threads);

create schema odd;
create table odd."Table With Spaces" (gone int, "Id" int primary key, gone2 text, "select" text default 'a' || 'b', n int not null default 0);
alter table odd."Table With Spaces" drop column gone, drop column gone2;
create view odd."View ""quoted""" as select "Id", "select" as "from", n from odd."Table With Spaces";
create table odd.tree (id int primary key, parent int references odd.tree on delete cascade deferrable, n int not null default 0);
create recursive view odd.paths (id, path) as select id, array[id] from odd.tree where parent is null union all select t.id, p.path || t.id from odd.tree t join paths p on p.id = t.parent;
create table odd.settings (id int primary key, a text collate "C", b bytea, c numeric, n int not null default 0)
    with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, toast.autovacuum_enabled = false, parallel_workers = 2);
alter table odd.settings alter a set storage external, alter b set compression pglz, alter c set statistics 500, alter c set (n_distinct = -0.2), replica identity full;
create index settings_c on odd.settings (c) with (fillfactor = 60, deduplicate_items = off); alter table odd.settings cluster on settings_c;
grant select on odd.settings to public; grant update (c), insert (a, b) on odd.settings to public; comment on column odd.settings.c is 'c''s';
comment on type odd.settings is 'a row of settings';
create sequence odd.numbers increment 7 cache 5;
create table odd.one (id int primary key default nextval('odd.numbers'), n int not null default 0);
create table odd.two (id int primary key default nextval('odd.numbers'), n int not null default 0);
alter sequence odd.numbers owned by odd.two.id;
do $$ begin execute 'create table odd.wide (id int primary key, n int not null default 0, ' ||
    (select string_agg(format('c%s %s', g, (array['int', 'text', 'date', 'numeric(9,3)'])[1 + g % 4]), ', ') from generate_series(1, 250) g) || ')'; end $$;
create view odd.wide_part as select id, c1, c200, n from odd.wide;
create view odd.rows as select w as "row", 'odd.wide'::regclass as "table" from odd.wide w;
alter default privileges in schema odd grant select on tables to public;
create table odd.ddl (tag text);
create function odd.log_ddl() returns event_trigger language plpgsql as $$ begin insert into odd.ddl values (tg_tag); end $$;
create event trigger log_ddl on ddl_command_end execute function odd.log_ddl();
