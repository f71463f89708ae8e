//! The requested change: one type, from the command line or from the state.

mod record;

pub use record::Record;

use crate::alter::Alter;
use crate::name::{Fragment, Ident};

/// A change of one table.
#[derive(Debug, Clone)]
pub struct Change {
    /// The statements; none if the shape stays the same.
    pub alter: Alter,
    /// `--reverse`: columns of the old shape and the expressions that compute them.
    pub reverse: Vec<(Ident, Fragment)>,
    /// `--where`: the rows that are kept, over the columns of the old shape.
    pub filter: Option<Fragment>,
    /// `--order-by`: an index, or its leading columns; empty without the option.
    pub order: Vec<Ident>,
    /// `--columns`: the first columns, in order; empty without the option.
    pub columns: Vec<Ident>,
    /// `--strategy`.
    pub strategy: Strategy,
}

impl Change {
    /// Whether it needs a copy regardless of its statements.
    #[must_use]
    pub fn needs_copy(&self) -> bool {
        self.filter.is_some() || !self.order.is_empty() || !self.columns.is_empty()
    }
}

/// The requested strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// The cheapest one that loses no values.
    #[default]
    Auto,
    /// A shadow, even if the table itself could be changed.
    Copy,
    /// Change the table itself, or refuse.
    InPlace,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Strategy; 3] = [Strategy::Auto, Strategy::Copy, Strategy::InPlace];

    /// Its name in `--strategy`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::Auto => "auto",
            Strategy::Copy => "copy",
            Strategy::InPlace => "in-place",
        }
    }
}
