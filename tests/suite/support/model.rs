//! A random table and random changes of it, for the model test. Everything is derived from a seed.

use super::database::TestDb;
use super::twin::{Column, Key, Random, Table, Values};

/// An action of ALTER TABLE, and the `--reverse` expression if no cast exists (otherwise empty).
type Action = (&'static str, &'static str);

/// A possible column of the table. Changes keep its name and its values writable, because the workload runs before and
/// after them.
struct Candidate {
    column: Column,
    definition: &'static str,
    actions: &'static [Action],
}

const CANDIDATES: &[Candidate] = &[
    Candidate {
        column: Column::new("counter", Values::Counter),
        definition: "counter int not null default 0",
        actions: &[
            ("alter column counter type bigint", ""),
            ("alter column counter type numeric", ""),
            ("alter column counter set default 7", ""),
            ("alter column counter drop not null", ""),
        ],
    },
    Candidate {
        column: Column::nullable("small", Values::Int),
        definition: "small smallint",
        actions: &[
            ("alter column small type int", ""),
            ("alter column small type numeric(12,0)", ""),
            ("alter column small type text", "small=small::smallint"),
            ("alter column small type bigint using small::bigint", ""),
        ],
    },
    Candidate {
        column: Column::new("customer", Values::Int),
        definition: "customer int not null references parents",
        actions: &[
            ("alter column customer type bigint", ""),
            ("alter column customer set statistics 50", ""),
        ],
    },
    Candidate {
        column: Column::nullable("label", Values::Text),
        definition: "label text",
        actions: &[
            ("alter column label type varchar(60)", ""),
            ("alter column label type text collate \"C\"", ""),
            ("alter column label set default 'new'", ""),
            ("add constraint label_check check (length(label) < 100)", ""),
        ],
    },
    Candidate {
        column: Column::new("code", Values::UniqueText),
        definition: "code text not null unique",
        actions: &[
            ("alter column code type varchar(100)", ""),
            ("alter column code set storage external", ""),
        ],
    },
    Candidate {
        column: Column::nullable("slot", Values::DeferrableUniqueInt),
        definition: "slot int unique deferrable",
        actions: &[("alter column slot type bigint", "")],
    },
    Candidate {
        column: Column::new("serial_no", Values::Default),
        definition: "serial_no serial",
        actions: &[("alter column serial_no type bigint", "")],
    },
    Candidate {
        column: Column::nullable("body", Values::Toast),
        definition: "body text",
        actions: &[("alter column body set storage external", ""), ("alter column body type varchar", "")],
    },
    Candidate {
        column: Column::nullable("price", Values::Numeric(2)),
        definition: "price numeric(12,2)",
        actions: &[
            ("alter column price type numeric(14,4)", ""),
            ("alter column price type numeric", ""),
            ("add column doubled numeric generated always as (price * 2) stored", ""),
        ],
    },
    Candidate {
        column: Column::nullable("fee", Values::Numeric(3)).fill_only(),
        definition: "fee numeric(12,3)",
        actions: &[
            ("alter column fee type numeric(12,2)", ""),
            ("alter column fee type text using 'fee ' || fee", "fee=substr(fee, 5)::numeric"),
            ("drop column fee", ""),
            ("rename column fee to charge", ""),
        ],
    },
    Candidate {
        column: Column::nullable("weight", Values::Float),
        definition: "weight double precision",
        actions: &[("alter column weight set default 1.5", "")],
    },
    Candidate {
        column: Column::nullable("is_open", Values::Boolean),
        definition: "is_open boolean",
        actions: &[
            ("alter column is_open type text", "is_open=is_open::boolean"),
            ("alter column is_open set default true", ""),
        ],
    },
    Candidate {
        column: Column::nullable("at", Values::Timestamp),
        definition: "at timestamptz",
        actions: &[("alter column at type timestamptz(6)", ""), ("add column seen timestamptz", "")],
    },
    Candidate {
        column: Column::nullable("token", Values::Bytea),
        definition: "token bytea",
        actions: &[("alter column token set storage plain", "")],
    },
    Candidate {
        column: Column::nullable("data", Values::Jsonb),
        definition: "data jsonb",
        actions: &[("add column kind text generated always as (data ->> 'n') stored", "")],
    },
    Candidate {
        column: Column::nullable("scores", Values::IntArray),
        definition: "scores int[]",
        actions: &[("alter column scores type bigint[]", "")],
    },
    Candidate {
        column: Column::nullable("tags", Values::TextArray),
        definition: "tags text[]",
        actions: &[("alter column tags set default '{}'", "")],
    },
    Candidate {
        column: Column::nullable("old", Values::Text).fill_only(),
        definition: "old text",
        actions: &[("drop column old", ""), ("alter column old type varchar(200)", "")],
    },
];

/// Keys: their form, their declaration, and possible changes.
const KEYS: &[(Key, &str, &[Action])] = &[
    (Key::Int("id"), "id int primary key", &[("alter column id type bigint", "")]),
    (
        Key::Int("id"),
        "id bigint primary key",
        &[("alter column id type int", ""), ("alter column id type numeric", "id=id::bigint")],
    ),
    (Key::Int("id"), "id int not null unique", &[("alter column id type bigint", "")]),
    (Key::Uuid("id"), "id uuid primary key", &[("alter column id set statistics 20", "")]),
    (Key::Text("name"), "name text primary key", &[("alter column name type varchar", "")]),
    (
        Key::TextInt("region", "no"),
        "region text not null, no int not null, primary key (region, no)",
        &[("alter column no type bigint", ""), ("alter column region type varchar(40)", "")],
    ),
    (
        Key::TextInt("region", "no"),
        "region varchar(50) not null, no bigint not null, unique (no, region)",
        &[("alter column region type text", ""), ("alter column no type int", "")],
    ),
];

/// Actions for any table.
const ANYWHERE: &[Action] = &[
    ("add column note text not null default 'none'", ""),
    ("add column more int", ""),
    ("add column filled int not null default 5 check (filled > 0)", ""),
    ("set (fillfactor = 80)", ""),
];

/// The table that foreign keys reference.
const PARENTS: &str = "
    create table if not exists parents (id int primary key);
    insert into parents select generate_series(-30000, 30000) on conflict do nothing;";

/// A table, and its possible changes.
pub struct Model {
    /// The definition, with `{table}` for its name.
    pub definition: String,
    pub key: Key,
    pub columns: Vec<Column>,
    pub rows: u64,
    /// Whether another table references it.
    pub has_child: bool,
    /// Whether it is sometimes truncated.
    pub truncates: bool,
    actions: Vec<Action>,
}

/// A change of the table.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The whole change in one statement; empty for a rebuild.
    pub alter: String,
    /// The `--reverse` expressions.
    pub reverse: Vec<&'static str>,
    /// How many indexes are built in parallel.
    pub index_jobs: &'static str,
    /// Whether rows are copied in the order of the primary key.
    pub is_ordered: bool,
}

impl Model {
    /// Chooses a table.
    pub fn new(random: &mut Random) -> Model {
        let (key, key_definition, key_actions) = KEYS[random.below(KEYS.len() as u64) as usize];
        let mut chosen: Vec<&Candidate> = CANDIDATES.iter().filter(|_| random.one_in(3)).collect();
        // The workload needs something to update.
        if !chosen.iter().any(|candidate| candidate.column.values == Values::Counter) {
            chosen.push(&CANDIDATES[0]);
        }
        // In any order: attribute numbers must not matter.
        for index in (1..chosen.len()).rev() {
            chosen.swap(index, random.below(index as u64 + 1) as usize);
        }
        let mut parts: Vec<&str> = chosen.iter().map(|candidate| candidate.definition).collect();
        parts.insert(random.below(parts.len() as u64 + 1) as usize, key_definition);
        let is_unlogged = random.one_in(12);
        // Few rows per block: more than one chunk.
        let is_sparse = random.one_in(3);
        let mut definition = format!(
            "create{} table {{table}} ({}){};",
            if is_unlogged { " unlogged" } else { "" },
            parts.join(", "),
            if is_sparse { " with (fillfactor = 10)" } else { "" }
        );
        for candidate in &chosen {
            let has_index = random.one_in(3);
            if let Some(index) = index_of(&candidate.column).filter(|_| has_index) {
                definition.push_str(&format!(" create index on {{table}} {index};"));
            }
        }
        let mut actions: Vec<_> = chosen.iter().flat_map(|candidate| candidate.actions).copied().collect();
        actions.extend(key_actions);
        actions.extend(ANYWHERE);
        let truncates = random.one_in(6);
        Model {
            definition,
            key,
            columns: chosen.iter().map(|candidate| candidate.column).collect(),
            rows: [200, 3000, 12_000, 25_000][random.below(4) as usize],
            has_child: !is_unlogged && !truncates && matches!(key, Key::Int(_)) && random.one_in(3),
            truncates,
            actions,
        }
    }

    /// Chooses a change, which changes no column twice.
    pub fn change(&self, random: &mut Random) -> Change {
        let mut chosen: Vec<Action> = Vec::new();
        for _ in 0..random.below(4) {
            let action = self.actions[random.below(self.actions.len() as u64) as usize];
            let is_alone = |text: &str| text.starts_with("rename") || text.contains("generated");
            let subject = |text: &'static str| text.split_whitespace().nth(2);
            let is_free = chosen.iter().all(|(other, _)| {
                subject(other) != subject(action.0) && !is_alone(other) && !is_alone(action.0)
            });
            if is_free {
                chosen.push(action);
            }
        }
        let texts: Vec<&str> = chosen.iter().map(|(text, _)| *text).collect();
        Change {
            alter: texts.join(", "),
            reverse: chosen.iter().map(|(_, reverse)| *reverse).filter(|text| !text.is_empty()).collect(),
            index_jobs: ["--index-jobs=1", "--index-jobs=3"][random.below(2) as usize],
            is_ordered: self.definition.contains("primary key") && random.one_in(4),
        }
    }

    /// Creates the table with its twin and this number of rows.
    pub async fn create(&self, db: &TestDb<'_>, seed: u64, rows: u64) -> Table {
        let definition = format!("{PARENTS} {}", self.definition);
        let mut table = Table::create(db, "t", &definition, self.key, &self.columns).await;
        table.seed = seed;
        table.fill(db, rows).await;
        if self.has_child {
            // Hot rows are never deleted, nor are their keys changed.
            db.execute(&format!(
                "create table child (t_id int references t ({})); insert into child select generate_series(0, 15)",
                self.key.columns()
            ))
            .await;
        }
        table
    }
}

/// An index for a column.
fn index_of(column: &Column) -> Option<String> {
    let name = column.name;
    match column.values {
        Values::Toast => None,
        Values::Jsonb => Some(format!("using gin ({name})")),
        Values::Counter => Some(format!("({name}) where {name} > 0")),
        Values::Text => Some(format!("(lower({name}), {name} desc nulls last)")),
        _ => Some(format!("({name})")),
    }
}

impl Change {
    /// The arguments of the command.
    pub fn arguments(&self) -> Vec<&str> {
        let mut arguments = vec!["run", "t", "--json", "--chunk-time", "50ms", self.index_jobs];
        if self.alter.is_empty() {
            arguments.push("--rebuild");
        } else {
            arguments.extend(["--alter", &self.alter]);
        }
        if self.is_ordered {
            arguments.push("--order-by=t_pkey");
        }
        for reverse in &self.reverse {
            arguments.extend(["--reverse", reverse]);
        }
        arguments
    }

    /// The same as plain statements on a table.
    pub async fn apply(&self, db: &TestDb<'_>, table: &str) {
        if !self.alter.is_empty() {
            db.execute(&format!("alter table {table} {}", self.alter)).await;
        }
        if self.alter.contains("serial_no type bigint") {
            // The only intended difference: ALTER does not widen a serial sequence.
            db.execute(&format!("alter sequence {table}_serial_no_seq as bigint")).await;
        }
    }
}
