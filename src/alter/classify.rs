//! Classifies an action: from a syntax node to an [`ActionKind`].

use squawk_syntax::ast::{self, AlterColumnOption, AlterTableAction as A, AstNode};

use super::{Action, ActionKind, lock_mode, parse, refuse, table_ref::ident};
use crate::{
    error::{Error, Result},
    name::Ident,
};

/// The action with its text and kind, or why it is refused.
pub(super) fn classify(action: &A) -> Result<Action> {
    if let Some(refusal) = refuse::refusal(action) {
        return Err(refusal);
    }
    // Without a syntax error no name is missing. If the parser ever omits one, stop.
    let kind = kind(action)
        .ok_or_else(|| Error::usage(format!("this action cannot be parsed: {}", parse::shown(action))))?;
    Ok(Action { text: parse::text_of(action.syntax()), kind, lock: lock_mode::of(action) })
}

fn kind(action: &A) -> Option<ActionKind> {
    if let Some(why) = refuse::in_place_only(action) {
        let is_name = matches!(action, A::TableRenameTo(_) | A::SetSchema(_));
        return Some(ActionKind::InPlaceOnly { why, is_name });
    }
    Some(match action {
        A::AddColumn(_) => ActionKind::AddColumn { name: name::<ast::ColumnName>(action)? },
        A::DropColumn(_) => ActionKind::DropColumn { name: name::<ast::ColumnNameRef>(action)? },
        A::AlterColumn(alter) => {
            let column = ident(alter.column_name_ref()?.syntax());
            match alter.option()? {
                AlterColumnOption::SetType(set) => {
                    let using = match set.using_expr() {
                        Some(using) => Some(parse::text_of(using.expr()?.syntax())),
                        None => None,
                    };
                    ActionKind::SetType { column, using }
                }
                _ => ActionKind::AlterColumn { column },
            }
        }
        A::RenameColumn(_) => ActionKind::RenameColumn {
            from: name::<ast::ColumnNameRef>(action)?,
            to: name::<ast::ColumnName>(action)?,
        },
        A::RenameConstraint(_) => ActionKind::RenameConstraint {
            from: name::<ast::ConstraintNameRef>(action)?,
            to: name::<ast::ConstraintName>(action)?,
        },
        A::AddConstraint(_) => ActionKind::AddConstraint {
            name: name::<ast::ConstraintName>(action),
            using_index: action
                .syntax()
                .descendants()
                .find_map(ast::UsingIndexName::cast)
                .and_then(|using| using.index_ref())
                .map(|index| ident(index.syntax())),
        },
        A::DropConstraint(_) => ActionKind::DropConstraint { name: name::<ast::ConstraintNameRef>(action)? },
        A::AlterConstraint(_) | A::ValidateConstraint(_) => {
            ActionKind::AlterConstraint { name: name::<ast::ConstraintNameRef>(action)? }
        }
        A::EnableRls(_) => ActionKind::RowSecurity { enabled: true },
        A::DisableRls(_) => ActionKind::RowSecurity { enabled: false },
        A::NoForceRls(_) => ActionKind::NoForceRowSecurity,
        A::EnableTrigger(_)
        | A::DisableTrigger(_)
        | A::EnableAlwaysTrigger(_)
        | A::EnableReplicaTrigger(_) => ActionKind::Trigger,
        A::ClusterOn(_) => ActionKind::UseIndex { index: name::<ast::IndexRef>(action)? },
        A::ReplicaIdentity(_) => match name::<ast::IndexRef>(action) {
            Some(index) => ActionKind::UseIndex { index },
            None => ActionKind::Other,
        },
        _ => ActionKind::Other,
    })
}

/// The first name of this kind in the action: its own name, which comes before those in expressions.
fn name<N: AstNode>(action: &A) -> Option<Ident> {
    action.syntax().descendants().find_map(N::cast).map(|node| ident(node.syntax()))
}
