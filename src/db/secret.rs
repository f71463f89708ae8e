//! Text that may contain a password, and so is not repeated in messages.

/// Whether a word may be a connection string, or a part of one, with a password: messages do not repeat it.
#[must_use]
pub fn may_hold_password(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.contains("://") || lower.contains('@') || (lower.contains("passw") && lower.contains('='))
}

/// Whether a value in the place of a name is a URI, or a URI without its scheme, and may contain a password.
pub(super) fn is_like_uri(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let has_login = value.split_once(':').is_some_and(|(_, rest)| rest.contains('@'));
    has_login || lower.contains("://") || lower.starts_with("postgres:") || lower.starts_with("postgresql:")
}
