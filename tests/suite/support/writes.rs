//! The statements of a workload: every kind of statement that an application may send, with values for the current
//! table.

use std::sync::atomic::{AtomicU64, Ordering};

use super::twin::{Column, HOT_ROWS, Values};
use super::worker::{Failure, Worker, failure, first_fields};

/// Numbers for unique values: unique in this process, so also after an earlier workload.
static UNIQUE: AtomicU64 = AtomicU64::new(0);

impl Worker {
    /// A random action.
    pub(super) async fn action(&mut self) -> Result<(), Failure> {
        match self.random.below(100) {
            0..14 => {
                let key = self.fresh_key();
                self.insert(vec![key]).await
            }
            14..18 => {
                let keys = (0..2 + self.random.below(4)).map(|_| self.fresh_key()).collect();
                self.insert(keys).await
            }
            18..25 => {
                let key = self.freed_or_fresh_key();
                self.insert(vec![key]).await
            }
            25..28 => self.upsert().await,
            28..44 => self.update_row().await,
            44..50 => self.update_to_null().await,
            50..52 => self.update_to_same().await,
            52..60 => self.update_key().await,
            60..63 => self.exchange_keys().await,
            63..69 => self.exchange_unique_values().await,
            69..74 => self.update_range().await,
            74..76 => self.update_toast().await,
            76..82 => self.delete(1).await,
            82..84 => self.delete(3).await,
            84..89 => self.delete_and_insert().await,
            89..96 => self.update_hot_rows().await,
            _ => self.read().await,
        }
    }

    async fn insert(&mut self, keys: Vec<String>) -> Result<(), Failure> {
        for key in &keys {
            self.keys.add(key.clone());
        }
        self.insert_rows(keys, "").await
    }

    /// Inserts rows with new values for every column. If a default gives the value, the twin gets the value of the
    /// original.
    pub(super) async fn insert_rows(&mut self, keys: Vec<String>, tail: &str) -> Result<(), Failure> {
        let table = self.plan.table.clone();
        let written: Vec<Column> = table
            .columns
            .iter()
            .copied()
            .filter(|c| !c.is_fill_only && c.values != Values::Default)
            .collect();
        let default = table.columns.iter().find(|c| c.values == Values::Default).map(|c| c.name);
        let names = |extra: Option<&str>| {
            let columns = written.iter().map(|c| c.name).chain(extra);
            columns.fold(table.key.columns(), |list, name| list + ", " + name)
        };
        let mut rows: Vec<String> = Vec::new();
        for key in keys {
            let values = written.iter().map(|column| self.value(column, true)).collect::<Vec<_>>();
            rows.push([&[key], values.as_slice()].concat().join(", "));
        }
        let values = |rows: &[String]| format!("({})", rows.join("), ("));
        let Some(default) = default else {
            return self
                .both(|name| format!("insert into {name} ({}) values {}{tail}", names(None), values(&rows)))
                .await
                .map(drop);
        };
        let statement = format!(
            "insert into {} ({}) values {}{tail} returning {default}",
            table.original,
            names(None),
            values(&rows)
        );
        let given = self.on_original(&statement).await?;
        let rows: Vec<String> = rows
            .iter()
            .zip(first_fields(&given))
            .map(|(row, given)| format!("{row}, {}", given.as_deref().unwrap_or("null")))
            .collect();
        self.plainly(&format!(
            "insert into {} ({}) values {}{tail}",
            table.twin,
            names(Some(default)),
            values(&rows)
        ))
        .await
    }

    async fn upsert(&mut self) -> Result<(), Failure> {
        let key = if self.random.one_in(2) { self.keys.any(&mut self.random) } else { None };
        let key = key.unwrap_or_else(|| self.fresh_key());
        self.keys.add(key.clone());
        let sets: Vec<String> =
            self.plain_columns().iter().map(|c| format!("{0} = excluded.{0}", c.name)).collect();
        let what =
            if sets.is_empty() { "nothing".to_owned() } else { format!("update set {}", sets.join(", ")) };
        let tail = format!(" on conflict ({}) do {what}", self.plan.table.key.columns());
        self.insert_rows(vec![key], &tail).await
    }

    async fn update_row(&mut self) -> Result<(), Failure> {
        let Some(key) = self.keys.any(&mut self.random) else { return Ok(()) };
        let sets = self.some_assignments();
        self.update(&sets, &self.is_key(&key)).await
    }

    async fn update_to_null(&mut self) -> Result<(), Failure> {
        let Some(key) = self.keys.any(&mut self.random) else { return Ok(()) };
        let nullable = self.plain_columns().into_iter().filter(|c| c.is_nullable);
        let sets = nullable.map(|c| format!("{} = null", c.name)).collect::<Vec<_>>().join(", ");
        self.update(&sets, &self.is_key(&key)).await
    }

    /// An update that changes nothing must be harmless too.
    async fn update_to_same(&mut self) -> Result<(), Failure> {
        let Some(key) = self.keys.any(&mut self.random) else { return Ok(()) };
        let columns = self.plain_columns();
        let sets = columns.iter().map(|c| format!("{0} = {0}", c.name)).collect::<Vec<_>>().join(", ");
        self.update(&sets, &self.is_key(&key)).await
    }

    async fn update_range(&mut self) -> Result<(), Failure> {
        let Some(key) = self.keys.any(&mut self.random) else { return Ok(()) };
        let sets = self.some_assignments();
        self.update(&sets, &self.plan.table.key.range_from(&key)).await
    }

    async fn update_toast(&mut self) -> Result<(), Failure> {
        let Some(key) = self.keys.any(&mut self.random) else { return Ok(()) };
        let columns = self.plan.table.columns.clone();
        let mut sets = Vec::new();
        for column in columns.iter().filter(|c| c.values == Values::Toast && !c.is_fill_only) {
            sets.push(format!("{} = {}", column.name, column.literal(&mut self.random, 0, 0)));
        }
        self.update(&sets.join(", "), &self.is_key(&key)).await
    }

    /// Updates rows that all workers update, in ascending order, so that they do not deadlock.
    async fn update_hot_rows(&mut self) -> Result<(), Failure> {
        for _ in 0..=self.random.below(3) {
            let first = self.last_hot.map_or(0, |last| last + 1);
            if first >= HOT_ROWS {
                break;
            }
            let hot = first + self.random.below(HOT_ROWS - first);
            self.last_hot = Some(hot);
            let sets = self.some_assignments();
            let condition = self.is_key(&self.plan.table.key.literal(0, hot));
            self.update(&sets, &condition).await?;
        }
        Ok(())
    }

    /// Changes the key of a row to a new one, or to one that was used before.
    async fn update_key(&mut self) -> Result<(), Failure> {
        let Some(old) = self.keys.any(&mut self.random) else { return Ok(()) };
        let new = self.freed_or_fresh_key();
        self.keys.remove(&old);
        self.keys.add(new.clone());
        self.move_key(&old, &new).await
    }

    /// Exchanges the keys of two rows through a temporary one.
    async fn exchange_keys(&mut self) -> Result<(), Failure> {
        let Some((a, b)) = self.keys.any_two(&mut self.random) else { return Ok(()) };
        let temporary = self.fresh_key();
        self.move_key(&a, &temporary).await?;
        self.move_key(&b, &a).await?;
        self.move_key(&temporary, &b).await
    }

    async fn move_key(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        let sets = format!("({}) = row ({to})", self.plan.table.key.columns());
        self.update(&sets, &self.is_key(from)).await
    }

    /// Exchanges the values of two rows in each unique column.
    async fn exchange_unique_values(&mut self) -> Result<(), Failure> {
        let Some((a, b)) = self.keys.any_two(&mut self.random) else { return Ok(()) };
        let (is_a, is_b) = (self.is_key(&a), self.is_key(&b));
        for column in self.plan.table.columns.clone() {
            let is_deferrable = column.values == Values::DeferrableUniqueInt;
            if column.is_fill_only || !(is_deferrable || column.values == Values::UniqueText) {
                continue;
            }
            let name = column.name;
            if is_deferrable {
                self.plainly("set constraints all deferred").await?;
            }
            let (value_a, value_b) =
                (self.value_in_twin(name, &is_a).await?, self.value_in_twin(name, &is_b).await?);
            let (Some(value_a), Some(value_b)) = (value_a, value_b) else { continue };
            if !is_deferrable {
                self.update(&format!("{name} = 'temporary {}'", self.number), &is_a).await?;
            }
            self.update(&format!("{name} = {value_a}"), &is_b).await?;
            self.update(&format!("{name} = {value_b}"), &is_a).await?;
        }
        Ok(())
    }

    async fn delete(&mut self, rows: usize) -> Result<(), Failure> {
        let mut keys = Vec::new();
        for _ in 0..rows {
            if let Some(key) = self.keys.any(&mut self.random) {
                self.keys.remove(&key);
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return Ok(());
        }
        let columns = self.plan.table.key.columns();
        let list = keys.join("), (");
        self.both(|table| format!("delete from {table} where ({columns}) in (({list}))")).await.map(drop)
    }

    async fn delete_and_insert(&mut self) -> Result<(), Failure> {
        let Some(key) = self.keys.any(&mut self.random) else { return Ok(()) };
        let condition = self.is_key(&key);
        self.both(|table| format!("delete from {table} where {condition}")).await?;
        self.insert_rows(vec![key], "").await
    }

    /// An existing row must be visible.
    async fn read(&mut self) -> Result<(), Failure> {
        let Some(key) = self.keys.any(&mut self.random) else { return Ok(()) };
        let statement =
            format!("select count(*) from {} where {}", self.plan.table.original, self.is_key(&key));
        let seen = self.on_original(&statement).await?;
        if first_fields(&seen) == [Some("1".to_owned())] || self.is_snapshot_fixed {
            return Ok(());
        }
        Err(Failure::Error(format!("a row that was committed is not seen: {statement}")))
    }

    /// The value of a row in the twin, as SQL.
    async fn value_in_twin(&self, column: &str, condition: &str) -> Result<Option<String>, Failure> {
        let query =
            format!("select quote_nullable({column}) from {} where {condition}", self.plan.table.twin);
        let messages = self.client.simple_query(&query).await.map_err(|e| failure(&e, &query))?;
        Ok(first_fields(&messages).into_iter().flatten().next())
    }

    async fn update(&mut self, sets: &str, condition: &str) -> Result<(), Failure> {
        if sets.is_empty() {
            return Ok(());
        }
        self.both(|table| format!("update {table} set {sets} where {condition}")).await.map(drop)
    }

    fn is_key(&self, key: &str) -> String {
        format!("({}) = ({key})", self.plan.table.key.columns())
    }

    fn fresh_key(&mut self) -> String {
        loop {
            let key = self.plan.table.key.literal(self.number, self.keys.next_number());
            if !self.keys.has(&key) {
                return key;
            }
        }
    }

    fn freed_or_fresh_key(&mut self) -> String {
        self.keys.take_freed().unwrap_or_else(|| self.fresh_key())
    }

    /// Columns that accept any value: not unique, not huge, not filled by a default.
    fn plain_columns(&self) -> Vec<Column> {
        let is_plain = |c: &&Column| {
            let is_special = matches!(
                c.values,
                Values::UniqueText | Values::DeferrableUniqueInt | Values::Default | Values::Toast
            );
            !c.is_fill_only && !is_special
        };
        self.plan.table.columns.iter().filter(is_plain).copied().collect()
    }

    /// New values for some of the plain columns.
    fn some_assignments(&mut self) -> String {
        let mut columns = self.plain_columns();
        while columns.len() > 1 && !self.random.one_in(3) {
            columns.remove(self.random.below(columns.len() as u64) as usize);
        }
        let mut sets = Vec::new();
        for column in columns {
            let value = if column.values == Values::Counter && !self.random.one_in(8) {
                format!("{} + 1", column.name)
            } else {
                self.value(&column, false)
            };
            sets.push(format!("{} = {value}", column.name));
        }
        sets.join(", ")
    }

    fn value(&mut self, column: &Column, is_insert: bool) -> String {
        if is_insert && column.values == Values::Toast && column.is_nullable && !self.random.one_in(20) {
            return "null".to_owned();
        }
        let unique = UNIQUE.fetch_add(1, Ordering::Relaxed);
        column.literal(&mut self.random, self.number, unique)
    }
}
