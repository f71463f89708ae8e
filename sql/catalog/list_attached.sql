-- Every object that depends on the table, its row type, its constraints or its indexes and that is not of a kind that
-- pgrecast carries over. Objects of unknown classes are listed too, and so refused.
-- $1 oid of the table. Lock: none.
with target(classid, objid) as (
    select 'pg_catalog.pg_class'::regclass::oid, $1::oid
    union all select 'pg_catalog.pg_type'::regclass, t.oid from pg_catalog.pg_type t where t.typrelid = $1
    union all select 'pg_catalog.pg_type'::regclass, t.typarray from pg_catalog.pg_type t
              where t.typrelid = $1 and t.typarray <> 0
    union all select 'pg_catalog.pg_constraint'::regclass, c.oid from pg_catalog.pg_constraint c
              where c.conrelid = $1
    union all select 'pg_catalog.pg_class'::regclass, i.indexrelid from pg_catalog.pg_index i
              where i.indrelid = $1
), hanging as (
    select distinct d.classid, d.objid
    from pg_catalog.pg_depend d
    join target t on t.classid = d.refclassid and t.objid = d.refobjid
    where not exists (select from target own where own.classid = d.classid and own.objid = d.objid)
      and d.deptype <> 'e'
)
select case
         when rel.relkind in ('i', 'I') or h.classid = 'pg_catalog.pg_attrdef'::regclass then 'constant'
         when h.classid = 'pg_catalog.pg_type'::regclass then 'type'
         when h.classid = 'pg_catalog.pg_class'::regclass then 'relation'
         else 'object'
       end as kind,
       pg_catalog.pg_describe_object(h.classid, h.objid, 0) as name
from hanging h
left join pg_catalog.pg_class rel on h.classid = 'pg_catalog.pg_class'::regclass and rel.oid = h.objid
left join pg_catalog.pg_constraint con on h.classid = 'pg_catalog.pg_constraint'::regclass and con.oid = h.objid
left join pg_catalog.pg_trigger trg on h.classid = 'pg_catalog.pg_trigger'::regclass and trg.oid = h.objid
where h.classid not in ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_policy'::regclass, 'pg_catalog.pg_proc'::regclass,
                        'pg_catalog.pg_publication_rel'::regclass) -- see list_others.sql
  and not (h.classid = 'pg_catalog.pg_attrdef'::regclass
           and exists (select from pg_catalog.pg_attrdef d where d.oid = h.objid and d.adrelid = $1))
  and not (rel.oid is not null and (rel.relkind in ('t', 'v', 'm') or rel.relkind = 'S'
           and exists (select from pg_catalog.pg_depend o
                       where o.classid = 'pg_catalog.pg_class'::regclass and o.objid = rel.oid
                         and o.refobjid = $1 and o.deptype in ('a', 'i'))))
  and not (con.oid is not null and con.contype = 'f' and con.confrelid = $1)
  and not (trg.oid is not null and (trg.tgisinternal or trg.tgrelid = $1))
  and not (h.classid = 'pg_catalog.pg_statistic_ext'::regclass
           and exists (select from pg_catalog.pg_statistic_ext s where s.oid = h.objid and s.stxrelid = $1))
union all
select 'inheritance', i.inhrelid::regclass::text || ' inherits from ' || i.inhparent::regclass::text
from pg_catalog.pg_inherits i where i.inhrelid = $1 or i.inhparent = $1
union all
select 'extension', e.extname::text || ' owns the table'
from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid
where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = $1 and d.deptype = 'e'
union all
select 'extension dependency', pg_catalog.pg_describe_object(d.classid, d.objid, 0) || ' depends on extension '
           || e.extname
from pg_catalog.pg_depend d
join pg_catalog.pg_extension e on d.refclassid = 'pg_catalog.pg_extension'::regclass and e.oid = d.refobjid
where d.deptype = 'x'
  and ((d.classid = 'pg_catalog.pg_class'::regclass
        and exists (select from pg_catalog.pg_index i where i.indexrelid = d.objid and i.indrelid = $1))
       or (d.classid = 'pg_catalog.pg_trigger'::regclass
           and exists (select from pg_catalog.pg_trigger g where g.oid = d.objid and g.tgrelid = $1)))
union all
select 'publication', p.pubname::text || ' (for all tables)'
from pg_catalog.pg_publication p where p.puballtables
union all
select 'subscription', 'fills the table from another server'
from pg_catalog.pg_subscription_rel r where r.srrelid = $1
union all
select 'security label', l.provider || ': ' || l.label
from pg_catalog.pg_seclabel l
where l.classoid = 'pg_catalog.pg_class'::regclass and l.objoid = $1
union all
select 'grant', 'given by ' || pg_catalog.pg_get_userbyid(x.grantor)::text
from pg_catalog.pg_class c,
     lateral (select * from pg_catalog.aclexplode(c.relacl)
              union all
              select y.* from pg_catalog.pg_attribute a, pg_catalog.aclexplode(a.attacl) y
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) x
where c.oid = $1 and x.grantor <> c.relowner
order by 1, 2
