//! A table and its twin: the same definition in schema `twin`, written to by the same transactions, never
//! touched by pgrecast. Whatever pgrecast does to the table, the same done plainly to the twin must give the
//! same rows.

use std::fmt::Write as _;

use tokio_postgres::Client;

use super::database::{TestDb, said};

/// Connections of a workload. Each owns the keys that begin with its number, 1 and up.
pub const WORKERS: u64 = 4;
/// Rows that all workers update and nobody deletes. Their keys begin with 0.
pub const HOT_ROWS: u64 = 16;

/// How many differing rows are shown, and how much of each.
const SHOWN_ROWS: usize = 20;
const SHOWN_CHARACTERS: usize = 300;
const ROWS_PER_INSERT: usize = 500;

/// A table, its twin, and how to make rows for them. Names are SQL: quoted where they need it.
#[derive(Debug, Clone)]
pub struct Table {
    pub original: String,
    pub twin: String,
    pub key: Key,
    pub columns: Vec<Column>,
    /// Decides all values and all transactions. `PGRECAST_TEST_SEED` sets it, to repeat a failure.
    pub seed: u64,
}

/// The columns of the primary key, and so the form of the keys.
#[derive(Debug, Clone, Copy)]
pub enum Key {
    Int(&'static str),
    Text(&'static str),
    TextInt(&'static str, &'static str),
    Uuid(&'static str),
}

/// One column besides the key, valid under this name both before and after the change.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    pub values: Values,
    pub is_nullable: bool,
    /// Written when the table is filled and never again: for columns that the change drops or narrows.
    pub is_fill_only: bool,
}

/// What is written to a column. The values fit the type before and after the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Fits `smallint`.
    Int,
    /// An integer that is mostly added to (`n = n + 1`).
    Counter,
    Boolean,
    /// At most 30 characters, with quotes, backslashes, accents, the empty string.
    Text,
    /// 40 kB that do not compress, made by the server; in every 50th row, and changed seldom.
    Toast,
    /// Digits after the point.
    Numeric(u32),
    Float,
    Jsonb,
    Timestamp,
    Bytea,
    IntArray,
    TextArray,
    /// Text under a unique constraint. Two rows exchange theirs through a temporary value.
    UniqueText,
    /// An integer under a deferrable unique constraint. Two rows exchange theirs directly.
    DeferrableUniqueInt,
    /// Filled by the original's default (a sequence); the twin gets the value that the original got.
    Default,
}

impl Column {
    /// A column that is not null.
    pub const fn new(name: &'static str, values: Values) -> Column {
        Column { name, values, is_nullable: false, is_fill_only: false }
    }

    /// A column that is sometimes null.
    pub const fn nullable(name: &'static str, values: Values) -> Column {
        Column { name, values, is_nullable: true, is_fill_only: false }
    }

    /// The same, written only when the table is filled.
    pub const fn fill_only(self) -> Column {
        Column { is_fill_only: true, ..self }
    }
}

impl Table {
    /// Creates `public.<name>` and `twin.<name>` by the same definition, in which `{table}` stands for the
    /// table's qualified name.
    pub async fn create(
        db: &TestDb<'_>,
        name: &str,
        definition: &str,
        key: Key,
        columns: &[Column],
    ) -> Table {
        let table = Table {
            original: format!("public.{name}"),
            twin: format!("twin.{name}"),
            key,
            columns: columns.to_vec(),
            seed: seed(),
        };
        db.execute("create schema if not exists twin").await;
        for name in [&table.original, &table.twin] {
            db.execute(&definition.replace("{table}", name)).await;
        }
        table
    }

    /// Fills both with about this many rows, in no order of the key.
    pub async fn fill(&self, db: &TestDb<'_>, rows: u64) {
        let mut random = Random::new(self.seed);
        let mut keys: Vec<String> = (0..HOT_ROWS).map(|number| self.key.literal(0, number)).collect();
        for worker in 1..=WORKERS {
            keys.extend((0..rows / WORKERS).map(|number| self.key.literal(worker, number)));
        }
        for index in (1..keys.len()).rev() {
            keys.swap(index, random.below(index as u64 + 1) as usize);
        }
        let filled: Vec<&Column> = self.columns.iter().filter(|c| c.values != Values::Default).collect();
        let mut unique = 0;
        for batch in keys.chunks(ROWS_PER_INSERT) {
            let mut rows = Vec::new();
            for key in batch {
                unique += 1;
                let values: Vec<String> = filled
                    .iter()
                    .map(|column| match column.values {
                        Values::Toast if !random.one_in(50) => "null".to_owned(),
                        _ => column.literal(&mut random, 0, unique),
                    })
                    .collect();
                rows.push(format!("({key}, {})", values.join(", ")));
            }
            let columns = self.insert_columns(filled.iter().copied());
            db.execute(&format!("insert into {} ({columns}) values {}", self.original, rows.join(", ")))
                .await;
        }
        let all = self.insert_columns(self.columns.iter());
        db.execute(&format!("insert into {} ({all}) select {all} from {}", self.twin, self.original)).await;
        db.execute(&format!("analyze {}; analyze {}", self.original, self.twin)).await;
    }

    /// Panics, showing some of the rows and the seed, unless both hold the same rows. Says how many.
    pub async fn assert_equal(&self, db: &TestDb<'_>) -> i64 {
        let (rows, differences) = compare(&db.connect().await, &self.original, &self.twin).await;
        assert!(
            differences.is_empty(),
            "PGRECAST_TEST_SEED={}: {}",
            self.seed,
            not_equal(&self.original, &self.twin, &differences)
        );
        rows
    }

    fn insert_columns<'a>(&self, columns: impl Iterator<Item = &'a Column>) -> String {
        columns.fold(self.key.columns(), |list, column| list + ", " + column.name)
    }
}

impl Key {
    /// The key's columns, separated by commas.
    pub fn columns(self) -> String {
        match self {
            Key::Int(column) | Key::Text(column) | Key::Uuid(column) => column.to_owned(),
            Key::TextInt(text, int) => format!("{text}, {int}"),
        }
    }

    /// A key as SQL, in the order of [`Key::columns`]. The worker's number leads, so that keys of different
    /// workers never meet.
    pub fn literal(self, worker: u64, number: u64) -> String {
        match self {
            Key::Int(_) => format!("{}", worker * 10_000_000 + number),
            Key::Text(_) => format!("'w{worker}-{number:06}{}'", ["", "é", "o''x"][(number % 3) as usize]),
            Key::TextInt(..) => format!("'w{worker}{}', {number}", ["a", "é", "o''x"][(number % 3) as usize]),
            // Spread over the worker's range, as random ids are.
            Key::Uuid(_) => {
                let high = Random::new(number).next();
                let low = Random::new(!number).next();
                format!(
                    "'{worker:04x}{:04x}-{:04x}-{:04x}-{:04x}-{:012x}'",
                    high >> 48,
                    (high >> 32) & 0xffff,
                    (high >> 16) & 0xffff,
                    high & 0xffff,
                    low >> 16
                )
            }
        }
    }

    /// A query for a worker's keys in a table, each as [`Key::literal`] writes it.
    pub fn literals_of(self, worker: u64, table: &str) -> String {
        match self {
            Key::Int(id) => {
                let first = worker * 10_000_000;
                format!("select {id}::text from {table} where {id} between {first} and {}", first + 9_999_999)
            }
            Key::Text(text) => {
                format!("select quote_literal({text}) from {table} where {text} like 'w{worker}-%'")
            }
            Key::TextInt(text, int) => format!(
                "select quote_literal({text}) || ', ' || {int} from {table} where {text} like 'w{worker}%'"
            ),
            Key::Uuid(id) => format!(
                "select quote_literal({id}) from {table}
                 where {id}::text like '{worker:04x}%'"
            ),
        }
    }

    /// A condition that holds for this key and for some dozen others of the same worker.
    pub fn range_from(self, literal: &str) -> String {
        match self {
            Key::Int(id) => format!("{id} between {literal} and {literal} + 30"),
            // All but the last digit, which others share.
            Key::Text(text) => format!("{text} between {0}' and {0}~'", &literal[..9]),
            Key::TextInt(text, int) => {
                let (word, number) = literal.rsplit_once(", ").expect("two literals");
                format!("{text} = {word} and {int} between {number} and {number} + 90")
            }
            Key::Uuid(id) => {
                let head = &literal[1..7];
                format!(
                    "{id} between '{head}00-0000-0000-0000-000000000000' and '{head}ff-ffff-ffff-ffff-ffffffffffff'"
                )
            }
        }
    }
}

impl Column {
    /// A value as SQL. Unique ones are made from the worker and a number that it uses once.
    pub fn literal(&self, random: &mut Random, worker: u64, unique: u64) -> String {
        if self.is_nullable && random.one_in(8) {
            return "null".to_owned();
        }
        match self.values {
            Values::Int | Values::Counter => format!("{}", random.below(60_000).cast_signed() - 30_000),
            Values::Boolean => format!("{}", random.one_in(2)),
            Values::Text => quoted(&random.text()),
            Values::Toast => toast(random.next()),
            Values::Numeric(_) if random.one_in(100) => "'NaN'".to_owned(),
            Values::Numeric(scale) => {
                let unit = 10_u64.pow(scale);
                let value = random.below(100_000 * unit);
                let sign = if random.one_in(3) { "-" } else { "" };
                format!("{sign}{}.{:0width$}", value / unit, value % unit, width = scale as usize)
            }
            Values::Float => {
                ["'-0'", "0", "0.1", "'NaN'", "1e300", "3.5"][random.below(6) as usize].to_owned()
            }
            Values::Jsonb => {
                let text = random.text().replace(['\\', '"', '\t'], "");
                quoted(&format!(
                    r#"{{"n": {}, "list": [1, {}.50, null], "text": "{text}"}}"#,
                    random.below(1000),
                    random.below(10)
                ))
            }
            Values::Timestamp => {
                let (day, second, micros) =
                    (random.below(3000), random.below(86_400), random.below(1_000_000));
                format!(
                    "timestamptz '2020-01-01 00:00:00+00' + interval '{day} days {second} seconds {micros} us'"
                )
            }
            Values::Bytea => format!(r"'\x{:016x}'", random.next()),
            Values::IntArray => {
                let items =
                    (0..random.below(4)).map(|_| format!("{}", random.below(1000))).collect::<Vec<_>>();
                format!("'{{{}}}'", items.join(","))
            }
            Values::TextArray => {
                format!("array[{}, null, {}]", quoted(&random.text()), quoted(&random.text()))
            }
            Values::UniqueText => format!("'u{worker}-{unique}'"),
            Values::DeferrableUniqueInt => format!("{}", worker * 100_000_000 + unique),
            Values::Default => "default".to_owned(),
        }
    }
}

/// Compares all rows of two tables, as text, in one snapshot, so that it may be done while both are written
/// to. The order of columns does not matter, their names do. Returns the first one's number of rows, and
/// some differences.
pub async fn compare(client: &Client, a: &str, b: &str) -> (i64, Vec<String>) {
    run(client, "begin isolation level repeatable read read only").await;
    let (columns_a, columns_b) = (columns(client, a).await, columns(client, b).await);
    let mut differences = Vec::new();
    let mut rows = 0;
    if columns_a == columns_b {
        let image = image(&columns_a);
        rows = client
            .query_one(&format!("select count(*) from {a}"), &[])
            .await
            .unwrap_or_else(|error| panic!("{}", said(&error)))
            .get(0);
        for (one, other) in [(a, b), (b, a)] {
            let query = format!(
                "select r::text from (select {image} as r from {one} except all select {image} from {other}) d
                 order by 1 limit {SHOWN_ROWS}"
            );
            let found = client.query(&query, &[]).await.unwrap_or_else(|error| panic!("{}", said(&error)));
            for row in found {
                let text: String = row.get(0);
                let shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
                differences.push(format!("only in {one}: {shown}"));
            }
        }
    } else {
        differences.push(format!("columns of {a}: {columns_a:?}; of {b}: {columns_b:?}"));
    }
    run(client, "commit").await;
    (rows, differences)
}

/// Panics, showing some of the rows, unless both tables hold the same rows. Says how many.
pub async fn assert_equal(db: &TestDb<'_>, a: &str, b: &str) -> i64 {
    let (rows, differences) = compare(&db.connect().await, a, b).await;
    assert!(differences.is_empty(), "{}", not_equal(a, b, &differences));
    rows
}

fn not_equal(a: &str, b: &str, differences: &[String]) -> String {
    let mut text = format!("{a} and {b} are not equal (columns by name):");
    for difference in differences {
        let _ = write!(text, "\n  {difference}");
    }
    text
}

/// The names of a table's columns, quoted, in their own order.
async fn columns(client: &Client, table: &str) -> Vec<String> {
    let query = "select quote_ident(attname) from pg_attribute
                 where attrelid = $1::text::regclass and attnum > 0 and not attisdropped order by attname";
    let rows = client.query(query, &[&table]).await.unwrap_or_else(|error| panic!("{}", said(&error)));
    rows.iter().map(|row| row.get(0)).collect()
}

/// All columns as an array of text; long values by their digest.
fn image(columns: &[String]) -> String {
    let texts: Vec<String> = columns
        .iter()
        .map(|c| format!("case when length({c}::text) > 1000 then md5({c}::text) else {c}::text end"))
        .collect();
    format!("array[{}]", texts.join(", "))
}

async fn run(client: &Client, statement: &str) {
    client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{}\nin: {statement}", said(&error)));
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// 40 kB of text from a number; hexadecimal digits of digests do not compress.
fn toast(number: u64) -> String {
    format!("(select string_agg(md5('{number} ' || i), '' order by i) from generate_series(1, 1250) i)")
}

fn seed() -> u64 {
    let chosen = std::env::var("PGRECAST_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    chosen.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 >> 16)
}

/// SplitMix64: small, and the same sequence everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to but without the limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// At most 30 characters.
    fn text(&mut self) -> String {
        const WORDS: [&str; 12] =
            ["", "a", "A", "it's", r"b\s", "œuvre", "new", "paid", "\"q\"", "日本", " x ", "z\tz"];
        (0..self.below(4)).map(|_| WORDS[self.below(WORDS.len() as u64) as usize]).collect()
    }
}
