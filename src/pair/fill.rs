//! The placeholders of copy, replay and verify statements, and their values for a pair.

use super::Pair;
use crate::name::{Fragment, Statement};

impl Pair {
    /// A statement with all its placeholders filled.
    #[must_use]
    pub fn fill(&self, mut statement: Statement) -> Statement {
        for (placeholder, part) in PARTS {
            if statement.has(placeholder) {
                statement = statement.fill(placeholder, &part(self));
            }
        }
        statement
    }
}

type Part = fn(&Pair) -> Fragment;

/// The values by placeholder. Table aliases: `f` (the source), `t` (`to`), `k` (the key set), `l` (the log).
const PARTS: &[(&str, Part)] = &[
    // Tables.
    ("from", |pair| Fragment::join([&pair.from], "")),
    ("to", |pair| Fragment::join([&pair.to], "")),
    ("log", |pair| Fragment::join([&pair.log], "")),
    ("keys", |pair| Fragment::join([&pair.keys], "")),
    ("held", |pair| Fragment::join([&pair.held], "")),
    ("source", Pair::source),
    ("pending", Pair::pending),
    ("echo", |pair| pair.echo_source(&pair.to)),
    ("held_echo", |pair| pair.echo_source(&pair.held)),
    // Columns and values of `to`.
    ("columns", |pair| Fragment::join(pair.mapping.columns().iter().map(|o| &o.name), ", ")),
    ("values", |pair| Fragment::join(pair.mapping.values(), ", ")),
    ("desired", |pair| Fragment::join(pair.desired(), ", ")),
    ("assignments", Pair::assignments),
    ("to_image", |pair| Fragment::join(pair.mapping.columns().iter().map(|o| format!("t.{}", o.name)), ", ")),
    ("kept", |pair| pair.kept(", ")),
    ("kept_values", |pair| pair.kept(", t.")),
    // The key under different names.
    ("key_columns", |pair| pair.key.numbered("k")),
    ("logged_key", |pair| Fragment::join(pair.key.logged(), ", ")),
    ("logged_hash", |pair| pair.key.logged_hash()),
    ("old", |pair| pair.key.numbered("o")),
    ("new", |pair| pair.key.numbered("n")),
    ("new_as_key", |pair| pair.key.renamed("n", "k")),
    ("last_as_final", |pair| pair.key.renamed("l.n", "f")),
    ("last_old_as_origin", |pair| pair.key.renamed("l.o", "a")),
    ("walk_final", |pair| pair.key.numbered("w.f")),
    ("walk_origin", |pair| pair.key.numbered("w.a")),
    ("step_old", |pair| pair.key.numbered("s.o")),
    ("step_new", |pair| pair.key.numbered("s.n")),
    ("moved_old", |pair| pair.key.numbered("m.o")),
    ("chained_key", |pair| pair.key.numbered("c.k")),
    ("key_of_k", |pair| pair.key.numbered("k.k")),
    ("origin_of_k", |pair| {
        let terms = (1..=pair.key.0.len())
            .map(|n| format!("case when w.is_new is null then k.k{n} else w.a{n} end as a{n}"));
        Fragment::join(terms, ", ")
    }),
    ("from_key", |pair| pair.key.shown((1..=pair.key.0.len()).map(|n| format!("f.k{n}")))),
    ("to_key", |pair| pair.key.shown(pair.key.0.iter().map(|key| format!("t.{}", key.to.name)))),
    // Conditions.
    ("moves", |pair| pair.moves()),
    ("from_matches", |pair| pair.key.matches("f.k", "k.k")),
    ("final_matches_key", |pair| pair.key.matches("w.f", "k.k")),
    ("to_matches_key", |pair| pair.key.to_matches("k.k")),
    ("to_matches_source", |pair| pair.key.to_matches_source()),
    ("to_matches_new", |pair| pair.key.to_matches("l.n")),
    ("to_matches_origin", |pair| pair.key.to_matches("k.a")),
    ("is_too_many", Pair::is_too_many),
    ("echo_matches", Pair::echo_matches),
];
