//! Replaces relations in a definition that the server printed.
//!
//! Relies on the format of the server's definitions (`src/backend/utils/adt/ruleutils.c`) under an empty `search_path`:
//! a relation, its row type or its array type is always printed as `schema.name`, a column with the relation's alias, a
//! constant of type regclass or regtype as a string. Only tokens are examined. The caller checks the result: the
//! catalog shows what the new object depends on.

use std::collections::HashMap;

use squawk_syntax::{SyntaxKind as K, SyntaxToken};

use super::retarget::tokens_of;
use super::table_ref::ident_of_word;
use crate::name::{Fragment, Literal, QualifiedName};

/// The text with every relation that is a key of `places` replaced by its value.
#[must_use]
pub fn redirect(text: &str, places: &HashMap<QualifiedName, QualifiedName>) -> Fragment {
    redirect_all(text, places, &HashMap::new())
}

/// The same, and with every call of a function that is a key of `functions` replaced by one of its value.
#[must_use]
pub fn redirect_all(
    text: &str,
    places: &HashMap<QualifiedName, QualifiedName>,
    functions: &HashMap<QualifiedName, QualifiedName>,
) -> Fragment {
    let tokens = tokens_of(text);
    let kind = |at: usize| tokens.get(at).map(SyntaxToken::kind);
    let mut out = String::with_capacity(text.len());
    let mut written = 0;
    let mut replace = |from: usize, to: usize, by: &str| {
        out.push_str(&text[written..from]);
        out.push_str(by);
        written = to;
    };
    for (at, token) in tokens.iter().enumerate() {
        let start = usize::from(token.text_range().start());
        if token.kind() == K::STRING {
            let end = usize::from(token.text_range().end());
            if !["::regclass", "::regtype"].iter().any(|cast| text[end..].starts_with(cast)) {
                continue;
            }
            let content = token.text().trim_matches('\'').replace("''", "'");
            let place =
                places.iter().find(|(name, _)| name.shown() == content || name.to_string() == content);
            if let Some((_, place)) = place {
                replace(start, end, &Literal(&place.shown()).to_string());
            }
            continue;
        }
        let is_part = at > 0 && kind(at - 1) == Some(K::DOT);
        if is_part || kind(at + 1) != Some(K::DOT) {
            continue;
        }
        let Some(second) = tokens.get(at + 2) else { continue };
        let end = usize::from(second.text_range().end());
        let is_call = text[end..].starts_with('(');
        let name = QualifiedName { schema: ident_of_word(token.text()), name: ident_of_word(second.text()) };
        if let Some(place) = if is_call { functions.get(&name) } else { places.get(&name) } {
            replace(start, end, &place.to_string());
        }
    }
    out.push_str(&text[written..]);
    Fragment::trusted(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places() -> HashMap<QualifiedName, QualifiedName> {
        HashMap::from([
            (QualifiedName::new("public", "orders"), QualifiedName::new("s", "new orders")),
            (QualifiedName::new("My App", "v.1"), QualifiedName::new("s", "v")),
        ])
    }

    #[test]
    fn relations_and_their_row_types_are_replaced_and_nothing_else() {
        for (before, after) in [
            (
                " SELECT orders.id, o.public FROM (public.orders JOIN public.orders2 o USING (id));",
                " SELECT orders.id, o.public FROM (\"s\".\"new orders\" JOIN public.orders2 o USING (id));",
            ),
            (
                "CREATE VIEW \"My App\".\"v.1\" AS SELECT NULL::public.orders[] AS a, ROW(1)::public.orders FROM ONLY public.orders orders_1",
                "CREATE VIEW \"s\".\"v\" AS SELECT NULL::\"s\".\"new orders\"[] AS a, ROW(1)::\"s\".\"new orders\" FROM ONLY \"s\".\"new orders\" orders_1",
            ),
            (
                "SELECT public.orders(x.*), 'public.orders'::text, 'public.orders'::regclass, '\"My App\".\"v.1\"'::regclass",
                "SELECT public.orders(x.*), 'public.orders'::text, 's.\"new orders\"'::regclass, 's.v'::regclass",
            ),
            (
                "CREATE RULE r AS ON UPDATE TO public.orders DO INSERT INTO public.orders (id) VALUES (new.id) -- public.orders",
                "CREATE RULE r AS ON UPDATE TO \"s\".\"new orders\" DO INSERT INTO \"s\".\"new orders\" (id) VALUES (new.id) -- public.orders",
            ),
            ("SELECT (a.public).orders, db.public.orders", "SELECT (a.public).orders, db.public.orders"),
            ("COMMENT ON COLUMN public.orders.id IS 'x'", "COMMENT ON COLUMN \"s\".\"new orders\".id IS 'x'"),
        ] {
            assert_eq!(redirect(before, &places()).as_str(), after);
        }
    }

    #[test]
    fn calls_are_replaced_by_the_names_of_functions() {
        let functions =
            HashMap::from([(QualifiedName::new("public", "orders"), QualifiedName::new("f", "orders"))]);
        assert_eq!(
            redirect_all(
                "SELECT public.orders(o.*), public.other(1) FROM public.orders o",
                &places(),
                &functions
            )
            .as_str(),
            "SELECT \"f\".\"orders\"(o.*), public.other(1) FROM \"s\".\"new orders\" o"
        );
    }

    proptest! {
        #[test]
        fn a_text_without_the_names_stays_as_it_is(text in "[a-z.'\"() \n]{0,60}") {
            prop_assume!(!text.contains("orders") && !text.contains("v.1"));
            prop_assert_eq!(redirect(&text, &places()).to_string(), text);
        }

        #[test]
        fn there_and_back_gives_the_same_names(schema in "[^\0']{1,20}", table in "[^\0']{1,20}") {
            let (from, to) = (QualifiedName::new(schema, table), QualifiedName::new("pgrecast_x", "t"));
            let text = format!("SELECT t.a FROM {from} t WHERE (t.b = 1)");
            let there = redirect(&text, &HashMap::from([(from.clone(), to.clone())]));
            let back = redirect(there.as_str(), &HashMap::from([(to, from)]));
            prop_assert_eq!(back.to_string(), text);
        }
    }
}
