//! The relations that the swap locks, and their order.

use super::dependents::{Dependent, Kind};
use crate::name::{Ident, QualifiedName};

/// A relation that the swap locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// Its name.
    pub name: QualifiedName,
    /// Whether it is a view or materialized view.
    pub is_view: bool,
    /// Its owner, if that is not the table's owner.
    pub role: Option<Ident>,
}

/// The relations that the swap of a table with these dependents locks, all in ACCESS EXCLUSIVE mode. The order is the
/// one in which statements of applications lock them: first the views, the outermost first, and the tables that
/// reference the table; then the table; then the tables that it references.
pub fn of_swap<'a>(table: &QualifiedName, dependents: impl Iterator<Item = &'a Dependent>) -> Vec<Locked> {
    let (mut views, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for dependent in dependents.filter(|dependent| dependent.is_of_swap()) {
        let is_view = matches!(dependent.kind, Kind::View | Kind::MaterializedView);
        let locked =
            |name: &QualifiedName| Locked { name: name.clone(), is_view, role: dependent.role.clone() };
        let side = if is_view { &mut views } else { &mut before };
        side.push(locked(&dependent.table));
        after.extend(dependent.other_table.as_ref().map(locked));
    }
    // A view was created after those that it reads.
    views.reverse();
    before.sort_by(|a, b| a.name.cmp(&b.name));
    after.sort_by(|a, b| a.name.cmp(&b.name));
    let main = Locked { name: table.clone(), is_view: false, role: None };
    let mut all: Vec<Locked> = Vec::new();
    let others = |list: Vec<Locked>| list.into_iter().filter(|locked| locked.name != *table);
    for locked in others(views).chain(others(before)).chain([main]).chain(others(after)) {
        if !all.iter().any(|known| known.name == locked.name) {
            all.push(locked);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::dependents::{Carried, referrer};

    #[test]
    fn what_leads_to_the_table_comes_before_it_and_each_once() {
        let name = |name: &str| QualifiedName::new("s", name);
        let of = |kind, on: &str, other: Option<&str>| {
            let create = [Vec::new(), Vec::new()];
            let (own, table) = (Ident::new(on), name(on));
            let [original, _] =
                referrer(Carried { kind, name: &own, table: &table, role: None, create, drop: None });
            Dependent { other_table: other.map(name), ..original }
        };
        let dependents = [
            of(Kind::View, "inner", None),
            of(Kind::View, "outer", None),
            of(Kind::ForeignKey, "t", Some("parent")),
            of(Kind::ForeignKey, "child", Some("t")),
            of(Kind::ForeignKey, "t", Some("child")),
            of(Kind::Policy, "t", None),
            of(Kind::Index, "shadow", None),
        ];
        let order: Vec<String> =
            of_swap(&name("t"), dependents.iter()).into_iter().map(|locked| locked.name.shown()).collect();
        assert_eq!(order, ["s.outer", "s.inner", "s.child", "s.t", "s.parent"]);
    }
}
