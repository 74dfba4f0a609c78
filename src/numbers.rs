//! Numbers as people read them.

/// `1234567` as `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in the nearest decimal unit.
pub fn bytes(n: u64) -> String {
    scaled(n as f64, &["B", "kB", "MB", "GB", "TB", "PB"])
}

/// A count in the nearest decimal unit.
pub fn short(n: u64) -> String {
    scaled(n as f64, &["", "K", "M", "B", "T"]).trim_end().to_owned()
}

fn scaled(mut value: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{value:.0} {}", units[0]),
        _ if value < 10.0 => format!("{value:.2} {}", units[unit]),
        _ if value < 100.0 => format!("{value:.1} {}", units[unit]),
        _ => format!("{value:.0} {}", units[unit]),
    }
}

/// A length in tokens, powers of two as they are called: `131072` as `128K`.
pub fn length(len: u64) -> String {
    match len {
        0..1024 => len.to_string(),
        _ if len.is_multiple_of(1 << 20) => format!("{}M", len >> 20),
        _ if len.is_multiple_of(1024) => format!("{}K", len / 1024),
        _ => count(len),
    }
}

/// Seconds as `1 h 02 min`, `3 min 04 s` or `5.6 s`.
pub fn duration(secs: f64) -> String {
    let whole = secs.round() as u64;
    match whole {
        0..=59 => format!("{secs:.1} s"),
        60..=3599 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

/// A share as a percentage with two decimals.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(bytes(1_500_000), "1.50 MB");
        assert_eq!(short(999), "999");
        assert_eq!(
            [length(131_072), length(1000), length(3 << 20)],
            ["128K", "1000", "3M"]
        );
        assert_eq!(duration(3723.0), "1 h 02 min");
        assert_eq!(duration(5.61), "5.6 s");
    }
}
