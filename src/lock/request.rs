//! The relations to lock, and their order.

use crate::alter::LockMode;
use crate::name::{Fragment, Ident, QualifiedName};

/// A relation to lock.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub name: QualifiedName,
    /// Its oid.
    pub oid: u32,
    /// For a view, the role that may alter it and the role that owns it. LOCK TABLE would also lock everything that the
    /// view reads, and does not accept a materialized view.
    pub view_of: Option<(Ident, Ident)>,
    /// Whether to lock all partitions too.
    pub is_partitioned: bool,
}

impl Target {
    /// A table.
    #[must_use]
    pub fn table(name: &QualifiedName, oid: u32) -> Self {
        Target { name: name.clone(), oid, view_of: None, is_partitioned: false }
    }

    /// A partitioned table and its partitions.
    #[must_use]
    pub fn partitioned(name: &QualifiedName, oid: u32) -> Self {
        Target { is_partitioned: true, ..Self::table(name, oid) }
    }

    /// The name for LOCK TABLE.
    fn words(&self) -> String {
        format!("{}{}", if self.is_partitioned { "" } else { "only " }, self.name)
    }
}

/// The relations of one request, in the order in which applications lock them: views and referencing tables before the
/// table, and tables that it references after it. The opposite order causes deadlocks.
#[derive(Debug, Clone)]
pub struct Request {
    /// In that order.
    pub targets: Vec<Target>,
    /// Which of them are the tables to change.
    pub mains: Vec<usize>,
}

impl Request {
    /// A request for one table.
    #[must_use]
    pub fn table(name: &QualifiedName, oid: u32) -> Self {
        Request { targets: vec![Target::table(name, oid)], mains: vec![0] }
    }

    /// A request for several tables: relations that occur more than once are locked once.
    #[must_use]
    pub fn all<'a>(requests: impl IntoIterator<Item = &'a Request>) -> Self {
        let mut all = Request { targets: Vec::new(), mains: Vec::new() };
        for request in requests {
            for (n, target) in request.targets.iter().enumerate() {
                let known = all.targets.iter().position(|known| known.oid == target.oid);
                let place = known.unwrap_or(all.targets.len());
                if known.is_none() {
                    all.targets.push(target.clone());
                }
                if request.mains.contains(&n) && !all.mains.contains(&place) {
                    all.mains.push(place);
                }
            }
        }
        all
    }

    pub(super) fn oids(&self) -> Vec<u32> {
        self.targets.iter().map(|target| target.oid).collect()
    }

    /// The tables to change.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Target> {
        self.mains.iter().map(|place| &self.targets[*place])
    }

    /// The statements that acquire the locks. Applications may use either order, so every second try uses the reverse
    /// order.
    pub(super) fn statements(&self, mode: LockMode, attempt: u32, owner: &str) -> Vec<String> {
        let mut targets: Vec<&Target> = self.targets.iter().collect();
        if attempt.is_multiple_of(2) {
            targets.reverse();
        }
        targets
            .chunk_by(|a, b| a.view_of.is_none() && b.view_of.is_none())
            .map(|together| {
                if let Target { name, view_of: Some((role, view_owner)), .. } = together[0] {
                    // Changes nothing, and locks only the view in ACCESS EXCLUSIVE mode.
                    return format!(
                        "set local role {role}; alter table {name} owner to {view_owner}; set local role {owner}"
                    );
                }
                let names = Fragment::join(together.iter().map(|target| target.words()), ", ");
                format!("lock table {names} in {} mode", mode.as_str())
            })
            .collect()
    }
}
