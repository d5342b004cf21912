//! Numbers of things in a sentence.

/// `1 job`, `3 jobs`; `one` without its `s`.
#[must_use]
pub fn plural(count: usize, one: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {one}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one() {
        assert_eq!([0, 1, 2].map(|n| plural(n, "job")), ["0 jobs", "1 job", "2 jobs"]);
    }
}
