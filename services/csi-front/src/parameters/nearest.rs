//! Which known word was probably meant.

/// Most letters that may differ.
const MAX_DISTANCE: usize = 3;
/// A longer word is no misspelling of ours, and comparing it would cost its caller nothing and us time.
const MAX_BYTES: usize = 64;

/// The known word nearest to `word`, ignoring case; `None` when none is near.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.len() > MAX_BYTES {
        return None;
    }
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let (distance, best) = known
        .iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase().chars().collect::<Vec<_>>()), *candidate))
        .min_by_key(|(distance, _)| *distance)?;
    // A short word is within three letters of anything.
    (distance <= MAX_DISTANCE.min(word.len() / 2)).then_some(best)
}

/// Levenshtein's distance: letters to insert, remove or replace.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
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
    fn a_slip_of_the_pen_finds_the_word_that_was_meant() {
        let known = ["mkfsOptions", "ctrlLossTmo", "appliance"];
        assert_eq!(nearest("mkfsoptions", &known), Some("mkfsOptions"));
        assert_eq!(nearest("ctrlLosTmo", &known), Some("ctrlLossTmo"));
        assert_eq!(nearest("aplience", &known), Some("appliance"));
        assert_eq!(nearest("replicas", &known), None);
        assert_eq!(nearest("x", &known), None);
        assert_eq!(nearest(&"a".repeat(1 << 20), &known), None);
    }
}
