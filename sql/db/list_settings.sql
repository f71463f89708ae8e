-- The settings that this session's role can set and that do not have their built-in values, with their sources.
-- Lock: none.
select s.name, s.boot_val, s.source
from pg_catalog.pg_settings s
where (s.context = 'user' or (s.context = 'superuser' and pg_catalog.current_setting('is_superuser') = 'on'))
  and s.setting is distinct from s.boot_val and s.boot_val is not null
order by s.name
