//! Durations in PostgreSQL's notation.

use std::time::Duration;

/// `500ms`, `2s`, `1.5min`, `3h`, `7d`. A number without a unit is refused: it is ambiguous.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = &text[..text.len() - digits.len()];
    let unit = match digits.trim() {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        "" => return Err("the unit is missing: write 500ms, 2s, 1min or 1h".into()),
        other => return Err(format!("unknown unit {other:?}: use ms, s, min, h or d")),
    };
    let number: f64 = number.parse().map_err(|_| format!("{text:?} is not a duration such as 500ms"))?;
    Duration::try_from_secs_f64(number * unit).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_postgresql_and_none_is_not_one() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse("1.5min"), Ok(Duration::from_secs(90)));
        assert!(parse("300").unwrap_err().contains("unit"));
        assert!(parse("3 fortnights").is_err());
        assert!(parse("-1s").is_err());
    }
}
