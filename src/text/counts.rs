//! Numbers of things.

/// The word for so many.
pub fn plural<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

/// So many of them, as in `1 file` and `3 files`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", plural(count, one, many))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        let files = [0, 1, 2].map(|count| counted(count, "file", "files"));
        assert_eq!(files, ["0 files", "1 file", "2 files"]);
    }
}
