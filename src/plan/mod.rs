//! The decisions, without a connection: how each column is mapped, which key identifies rows, what is carried over,
//! what is refused, and what the change costs.

pub mod cast;
pub mod class;
pub mod dependents;
pub mod estimate;
pub mod feature;
pub mod finding;
pub mod in_place;
pub mod key;
pub mod layout;
pub mod locks;
pub mod mapping;
pub mod order;
pub mod question;
pub mod reason;
pub mod refusal;
pub mod report;
pub mod risk;
pub mod sequence;
pub mod shadow;

pub use dependents::{Dependent, Kind, Side};
pub use key::KeyColumn;
pub use mapping::{Mapping, Output};
pub use refusal::Refusal;
pub use report::Plan;

use crate::catalog::Definition;

/// What a migration of one table will do, determined by applying the change to an empty clone, the shadow.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// The new shape as the server created it, in the shadow's schema.
    pub new: Definition,
    /// How rows of the original become rows of the new shape.
    pub forward: Mapping,
    /// How rows of the new shape become rows of the original.
    pub reverse: Mapping,
    /// The columns that identify a row in both.
    pub key: Vec<KeyColumn>,
    /// Objects of both shapes that are created after the shadow.
    pub dependents: Vec<Dependent>,
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::catalog::{Column, Identity};
    use crate::name::Ident;

    /// A plain column for tests of the pure parts.
    pub(crate) fn column(number: i16, name: &str, type_name: &str, base_name: &str) -> Column {
        Column {
            number,
            name: Ident::new(name),
            type_name: type_name.into(),
            bare_type_name: type_name.into(),
            base_schema: "pg_catalog".into(),
            base_name: base_name.into(),
            base_typmod: -1,
            base_is_enum: false,
            element_is_varlength: false,
            is_domain: false,
            is_not_null: true,
            is_generated: false,
            identity: Identity::None,
            has_default: false,
            default_expression: None,
            collation: None,
        }
    }
}
