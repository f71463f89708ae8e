//! What was asked for: one type, from the command line or from the state.

mod record;

pub use record::Record;

use crate::alter::Alter;
use crate::name::{Fragment, Ident};

/// A change of one table.
#[derive(Debug, Clone)]
pub struct Change {
    /// The statements; none where the shape stays as it is.
    pub alter: Alter,
    /// `--reverse`: columns of the old shape and the expressions that bring them back.
    pub reverse: Vec<(Ident, Fragment)>,
    /// `--where`: the rows that are kept, over the columns of the old shape.
    pub filter: Option<Fragment>,
    /// `--order-by`: an index, or columns with which one begins; empty where any order will do.
    pub order: Vec<Ident>,
    /// `--columns`: those that come first, in this order; empty where each stays in its place.
    pub columns: Vec<Ident>,
    /// `--strategy`.
    pub strategy: Strategy,
}

impl Change {
    /// Whether it takes a copy whatever its statements are.
    #[must_use]
    pub fn needs_copy(&self) -> bool {
        self.filter.is_some() || !self.order.is_empty() || !self.columns.is_empty()
    }
}

/// Which way the user wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// The cheapest that destroys no values.
    #[default]
    Auto,
    /// A shadow, even where the table itself could be changed.
    Copy,
    /// The table itself, or not at all.
    InPlace,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Strategy; 3] = [Strategy::Auto, Strategy::Copy, Strategy::InPlace];

    /// As `--strategy` takes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::Auto => "auto",
            Strategy::Copy => "copy",
            Strategy::InPlace => "in-place",
        }
    }
}
