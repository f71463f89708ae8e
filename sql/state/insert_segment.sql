-- Records a segment. $1 table change, $2 store, $3 number. Lock: none.
insert into pgrecast.segment (table_change_id, store, number) values ($1, $2, $3) on conflict do nothing
