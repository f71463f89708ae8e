//! A change in text form, for the state and for the comparison with the change of a later command.

use super::{Change, Strategy};
use crate::alter::{Alter, read_assignment};
use crate::error::{Error, Result};
use crate::name::{Fragment, Ident};

/// A change in text form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The actions of one ALTER TABLE, or a whole statement each.
    pub statements: Vec<String>,
    /// `--reverse`, as `column=expression`.
    pub reverse: Vec<String>,
    /// `--where`.
    pub filter: Option<String>,
    /// `--order-by`.
    pub order: Vec<String>,
    /// `--columns`.
    pub columns: Vec<String>,
    /// `--strategy`.
    pub strategy: String,
}

impl From<&Change> for Record {
    fn from(change: &Change) -> Self {
        let names = |names: &[Ident]| names.iter().map(|name| name.as_str().to_owned()).collect();
        Record {
            statements: change
                .alter
                .statements
                .iter()
                .map(|statement| {
                    let texts: Vec<&str> =
                        statement.actions.iter().map(|action| action.text.as_str()).collect();
                    texts.join(", ")
                })
                .collect(),
            reverse: change
                .reverse
                .iter()
                .map(|(column, expression)| format!("{column}={expression}"))
                .collect(),
            filter: change.filter.as_ref().map(ToString::to_string),
            order: names(&change.order),
            columns: names(&change.columns),
            strategy: change.strategy.as_str().to_owned(),
        }
    }
}

impl Record {
    /// The recorded change.
    ///
    /// # Errors
    /// If the text in the state is not valid.
    pub fn change(&self) -> Result<Change> {
        let names = |names: &[String]| names.iter().map(Ident::new).collect();
        Ok(Change {
            alter: if self.statements.is_empty() {
                Alter::rebuild()
            } else {
                Alter::from_texts(&self.statements)?
            },
            reverse: self
                .reverse
                .iter()
                .map(|text| read_assignment("--reverse", text))
                .collect::<Result<_>>()?,
            filter: self.filter.clone().map(Fragment::trusted),
            order: names(&self.order),
            columns: names(&self.columns),
            strategy: Strategy::ALL
                .into_iter()
                .find(|strategy| strategy.as_str() == self.strategy)
                .ok_or_else(|| {
                    Error::failed(format!("the state has an unknown strategy {:?}", self.strategy))
                })?,
        })
    }

    /// As options, on one line.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut out =
            if self.statements.is_empty() { "--rebuild".to_owned() } else { self.statements.join("; ") };
        if let Some(filter) = &self.filter {
            out.push_str(&format!(" --where {filter}"));
        }
        for (option, names) in [("--order-by", &self.order), ("--columns", &self.columns)] {
            let names: Vec<String> = names.iter().map(|name| Ident::new(name).shown()).collect();
            if !names.is_empty() {
                out.push_str(&format!(" {option} {}", names.join(", ")));
            }
        }
        if self.strategy != Strategy::Auto.as_str() {
            out.push_str(&format!(" --strategy {}", self.strategy));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reads_back_as_itself() {
        let alter = Alter::from_actions(&["alter column a type bigint, drop column b".to_owned()]).unwrap();
        let change = Change {
            alter,
            reverse: vec![read_assignment("--reverse", "a=a::integer").unwrap()],
            filter: Some(Fragment::trusted("a > 0")),
            order: vec![Ident::new("A b")],
            columns: vec![Ident::new("c")],
            strategy: Strategy::Copy,
        };
        let record = Record::from(&change);
        assert_eq!(Record::from(&record.change().unwrap()), record);
        assert_eq!(
            record.shown(),
            "alter column a type bigint, drop column b --where a > 0 --order-by \"A b\" --columns c --strategy copy"
        );
    }
}
