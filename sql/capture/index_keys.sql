-- Makes the keys of the set unique. record_image_ops compares bytes: 'a' and 'A' of citext are two entries.
-- {keys} a segment of the set, {name} its bare name. Lock: none that matters.
create unique index on {keys} (({name}.*) record_image_ops)
