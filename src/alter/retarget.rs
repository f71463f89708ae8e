//! Changes the definition of an index, trigger or statistics object to a table with another name.
//!
//! Relies on the format of the server's definitions (`src/backend/utils/adt/ruleutils.c`): key words in upper case,
//! reserved words quoted if they are names, expressions in parentheses or as a function call. So the table follows the
//! first `ON` outside of parentheses (index, trigger), or the last `FROM` there (statistics), whatever the expressions
//! are. Only tokens are examined, so expressions need not be parsed. The rest stays the same: no other place names the
//! table.

use squawk_syntax::{SourceFile, SyntaxElement, SyntaxKind as K, SyntaxToken};

use super::table_ref::ident_of_word;
use crate::{
    error::{Error, Result},
    name::{Fragment, Ident, QualifiedName},
};

/// Replaces the table `from` by `to` in a `definition` from `pg_get_indexdef`, `pg_get_triggerdef` or
/// `pg_get_statisticsobjdef` (each with only the oid). An error if `from` is not in that place. (Statistics are printed
/// without the schema if the `search_path` finds the table.)
pub fn retarget(definition: &str, from: &QualifiedName, to: &QualifiedName) -> Result<Fragment> {
    let not_found = || {
        Error::failed(format!("the definition does not belong to {}: {definition}", from.shown()))
            .state("this definition was not run")
    };
    let tokens = tokens_of(definition);
    let name = table_position(&tokens).map(|start| qualified(&tokens[start..])).ok_or_else(not_found)?;
    let is_from = match name.iter().map(|part| ident_of_word(part.text())).collect::<Vec<Ident>>().as_slice()
    {
        [table] => *table == from.name,
        [schema, table] => *schema == from.schema && *table == from.name,
        _ => false,
    };
    let (Some(first), Some(last), true) = (name.first(), name.last(), is_from) else {
        return Err(not_found());
    };
    Ok(put(definition, first, last, to))
}

/// A `CREATE INDEX` with its table replaced by `to`.
pub(super) fn at_table(statement: &str, to: &QualifiedName) -> Option<Fragment> {
    let tokens = tokens_of(statement);
    let name = qualified(&tokens[table_position(&tokens)?..]);
    Some(put(statement, name.first()?, name.last()?, to))
}

fn put(text: &str, first: &SyntaxToken, last: &SyntaxToken, to: &QualifiedName) -> Fragment {
    let start = usize::from(first.text_range().start());
    let end = usize::from(last.text_range().end());
    Fragment::trusted(format!("{}{to}{}", &text[..start], &text[end..]))
}

/// The tokens of a text, without white space and comments.
pub(super) fn tokens_of(text: &str) -> Vec<SyntaxToken> {
    SourceFile::parse(text)
        .syntax_node()
        .descendants_with_tokens()
        .filter_map(SyntaxElement::into_token)
        .filter(|token| !token.kind().is_trivia())
        .collect()
}

/// The token at which the table's name begins.
fn table_position(tokens: &[SyntaxToken]) -> Option<usize> {
    let what = tokens
        .iter()
        .map(SyntaxToken::kind)
        .find(|kind| !matches!(kind, K::CREATE_KW | K::UNIQUE_KW | K::CONSTRAINT_KW))?;
    let mut top_level = top_level(tokens);
    let key_word = match what {
        K::INDEX_KW | K::TRIGGER_KW => top_level.find(|(_, kind)| *kind == K::ON_KW),
        K::STATISTICS_KW => top_level.filter(|(_, kind)| *kind == K::FROM_KW).last(),
        _ => None,
    };
    let (key_word, _) = key_word?;
    let next = tokens.get(key_word + 1)?;
    Some(if next.kind() == K::ONLY_KW { key_word + 2 } else { key_word + 1 })
}

/// The tokens outside of all parentheses and brackets, with their positions.
fn top_level(tokens: &[SyntaxToken]) -> impl Iterator<Item = (usize, K)> {
    let mut depth = 0_usize;
    tokens.iter().map(SyntaxToken::kind).enumerate().filter(move |(_, kind)| {
        match kind {
            K::L_PAREN | K::L_BRACK => depth += 1,
            K::R_PAREN | K::R_BRACK => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })
}

/// The parts, without their dots, of the name at the beginning.
pub(super) fn qualified(tokens: &[SyntaxToken]) -> Vec<&SyntaxToken> {
    let mut parts: Vec<&SyntaxToken> = tokens.first().into_iter().collect();
    for pair in tokens.get(1..).unwrap_or_default().chunks_exact(2) {
        if pair[0].kind() != K::DOT {
            break;
        }
        parts.push(&pair[1]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moved(definition: &str, schema: &str, table: &str) -> String {
        let to = QualifiedName::new("pgrecast", "sh.ON x");
        let moved = retarget(definition, &QualifiedName::new(schema, table), &to);
        moved.unwrap_or_else(|error| panic!("{error}")).to_string()
    }

    /// The definition with `@` instead of the table, for this table and for the other.
    fn check(template: &str, written: &str, schema: &str, table: &str) {
        let definition = template.replace('@', written);
        assert_eq!(moved(&definition, schema, table), template.replace('@', "\"pgrecast\".\"sh.ON x\""));
    }

    #[test]
    fn indexes_are_moved() {
        for template in [
            "CREATE INDEX i ON @ USING btree (a)",
            "CREATE UNIQUE INDEX \"Ä b\" ON ONLY @ USING btree (a COLLATE \"C\" text_pattern_ops DESC NULLS LAST, lower(b)) INCLUDE (c) NULLS NOT DISTINCT WITH (fillfactor='70') WHERE (x = 'a ON public.t'::text)",
            "CREATE INDEX \"i ON public.t\" ON @ USING gin (((a -> 'ON'::text)) jsonb_path_ops, \"ON public.t\")",
            "CREATE INDEX i ON @ USING btree ((\nCASE\n    WHEN (a IS DISTINCT FROM b) THEN 1\nEND), (ARRAY[a, b]))",
            "CREATE INDEX i ON @ USING gist (tsrange(a, b), c gist_trgm_ops (siglen='32')) WHERE (a @@@ b)",
        ] {
            check(&template.replace("@@@", "&&"), "public.t", "public", "t");
        }
        check("CREATE INDEX i ON @ USING btree (a)", "public.\"Order Items\"", "public", "Order Items");
        check("CREATE INDEX i ON @ USING btree (a)", "\"a.\"\"b\".\"user\"", "a.\"b", "user");
        check("CREATE INDEX i ON @ USING btree (a)", "\"only\".value", "only", "value");
    }

    #[test]
    fn triggers_are_moved() {
        for template in [
            "CREATE TRIGGER \"x ON y\" BEFORE UPDATE OF \"a ON public.t\" ON @ FOR EACH ROW WHEN (((old.a)::text IS DISTINCT FROM (new.a)::text)) EXECUTE FUNCTION f('x ON public.t')",
            "CREATE TRIGGER t AFTER INSERT OR DELETE OR UPDATE OF a, b OR TRUNCATE ON @ REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION public.t()",
            "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON @ FROM public.t NOT DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION f()",
        ] {
            check(template, "public.t", "public", "t");
        }
    }

    #[test]
    fn statistics_are_moved() {
        for template in [
            "CREATE STATISTICS s.n (ndistinct) ON a, b FROM @",
            "CREATE STATISTICS s.n ON EXTRACT(year FROM d), (a + b), lower(\"x FROM public.t\") FROM @",
            "CREATE STATISTICS \"FROM public.t\" ON a, (CASE WHEN (a IS DISTINCT FROM b) THEN 1 ELSE 2 END) FROM @",
        ] {
            check(template, "public.t", "public", "t");
            check(template, "t", "public", "t");
        }
    }

    #[test]
    fn an_expression_that_the_parser_does_not_know_does_not_matter() {
        check("CREATE STATISTICS n ON (a frob 'FROM x' <<<>>> ON b), c FROM @", "public.t", "public", "t");
    }

    #[test]
    fn another_table_or_another_object_is_an_error() {
        let (t, to) = (QualifiedName::new("public", "t"), QualifiedName::new("public", "u"));
        for definition in [
            "CREATE INDEX i ON public.t2 USING btree (a)",
            "CREATE INDEX i ON other.t USING btree (a)",
            "CREATE INDEX i ON public.\"T\" USING btree (a)",
            "CREATE INDEX i ON db.public.t USING btree (a)",
            "CREATE INDEX i ON",
            "CREATE TABLE t (a integer)",
            "CREATE RULE r AS ON UPDATE TO public.t DO NOTHING",
            "",
        ] {
            assert!(retarget(definition, &t, &to).is_err(), "{definition}");
        }
    }

    proptest! {
        #[test]
        fn any_names_are_found_and_nothing_else_changes(
            schema in "[^\0]{1,20}", table in "[^\0]{1,20}", object in "[^\0]{1,20}", text in "[^\0\\\\']{0,20}",
        ) {
            let from = QualifiedName::new(schema, table);
            let to = QualifiedName::new("s", "t");
            let object = Ident::new(object);
            for (before, after) in [
                (format!("CREATE INDEX {object} ON "), format!(" USING btree ({object}) WHERE (x = '{text}'::text)")),
                (format!("CREATE TRIGGER {object} AFTER UPDATE OF {object} ON "), format!(" EXECUTE FUNCTION f('{text}')")),
                (format!("CREATE STATISTICS {object} ON a, f({object}, '{text}') FROM "), String::new()),
            ] {
                let moved = retarget(&format!("{before}{from}{after}"), &from, &to).unwrap();
                prop_assert_eq!(moved.as_str(), format!("{before}{to}{after}"));
            }
        }
    }
}
