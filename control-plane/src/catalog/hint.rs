//! "Did you mean": the known word nearest to an unknown one.

/// The nearest of `known`, if it is near enough to be what was meant.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = |candidate: &&str| distance(word, candidate) <= (word.len() / 3).max(1);
    known.filter(near).min_by_key(|candidate| distance(word, candidate))
}

/// Levenshtein distance, one row at a time. Words are short: longer ones are never near.
fn distance(a: &str, b: &str) -> usize {
    const LEN_MAX: usize = 64;
    if a.len() > LEN_MAX || b.len() > LEN_MAX {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_only() {
        let known = ["command", "args", "working_dir"];
        for (word, want) in
            [("comand", Some("command")), ("arg", Some("args")), ("workdir", None), ("zzz", None)]
        {
            assert_eq!(nearest(word, known.into_iter()), want, "{word}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
