//! `--fail-on`: which risks end `plan` with exit code 3.

use std::str::FromStr;

use pgrecast::error::{Code as RefusalCode, Error, Result};
use pgrecast::plan::Plan;
use pgrecast::plan::risk::Code;

/// One item of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailOn {
    /// Any risk, except those that nearly every change has.
    Any,
    /// This one.
    One(Code),
}

impl FromStr for FailOn {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        if word == "any" {
            return Ok(FailOn::Any);
        }
        let known = Code::ALL.iter().find(|code| code.as_str() == word);
        known.map(|code| FailOn::One(*code)).ok_or_else(|| {
            let words: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
            format!("the codes are: any, {}", words.join(", "))
        })
    }
}

impl FailOn {
    fn names(self, risk: Code) -> bool {
        match self {
            FailOn::Any => !risk.is_usual(),
            FailOn::One(code) => code == risk,
        }
    }
}

/// Some risks are only found with `--check-data`.
///
/// # Errors
/// Usage, if the list has one of these and `--check-data` is missing.
pub(crate) fn expect_possible(list: &[FailOn], checks_data: bool) -> Result<()> {
    let needs_data = list.iter().find_map(|word| match word {
        FailOn::One(code) if code.needs_data() => Some(code),
        _ => None,
    });
    match needs_data {
        Some(code) if !checks_data => Err(Error::usage(format!("--fail-on {code} needs --check-data"))
            .because("without --check-data pgrecast does not read the rows")),
        _ => Ok(()),
    }
}

/// # Errors
/// Refused, if the plan has a risk that the list names.
pub(crate) fn expect_none(list: &[FailOn], plan: &Plan) -> Result<()> {
    let mut found: Vec<&str> = Vec::new();
    for risk in &plan.risks {
        let is_named = list.iter().any(|word| word.names(risk.code));
        if is_named && !found.contains(&risk.code.as_str()) {
            found.push(risk.code.as_str());
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::refused(
        RefusalCode::FailOn,
        format!("the plan has risks that --fail-on names: {}", found.join(", ")),
    )
    .state("nothing was changed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_understood_and_an_unknown_one_lists_them_all() {
        for code in Code::ALL {
            assert_eq!(code.as_str().parse(), Ok(FailOn::One(*code)));
        }
        let words = "row-lost".parse::<FailOn>().unwrap_err();
        assert!(
            words.contains("any") && Code::ALL.iter().all(|code| words.contains(code.as_str())),
            "{words}"
        );
    }

    #[test]
    fn any_does_not_mean_what_nearly_every_change_has() {
        assert!(FailOn::Any.names(Code::RowLoss) && !FailOn::Any.names(Code::PreparedStatements));
        assert!(FailOn::One(Code::PreparedStatements).names(Code::PreparedStatements));
    }
}
