//! What may hold a password, and so is not repeated in messages.

/// Whether a word may be a connection string, or a piece of one, with a password in it: messages do not repeat it.
#[must_use]
pub fn may_hold_password(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.contains("://") || lower.contains('@') || (lower.contains("passw") && lower.contains('='))
}

/// Whether a value is a URI, or a URI without its scheme: it stands where a name belongs, and holds a password.
pub(super) fn is_like_uri(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let has_login = value.split_once(':').is_some_and(|(_, rest)| rest.contains('@'));
    has_login || lower.contains("://") || lower.starts_with("postgres:") || lower.starts_with("postgresql:")
}
