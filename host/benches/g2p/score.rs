//! Error rates.

/// Errors so far.
#[derive(Default)]
pub struct Score {
    errors: usize,
    phones: usize,
    wrong: usize,
    words: usize,
}

impl Score {
    /// Counts a word by the nearest of its pronunciations.
    pub fn add<T: PartialEq>(&mut self, found: &[T], expected: impl Iterator<Item = Vec<T>>) {
        let distances = expected.map(|expected| (distance(found, &expected), expected.len()));
        if let Some((errors, phones)) = distances.min() {
            self.errors += errors;
            self.phones += phones;
            self.wrong += usize::from(errors > 0);
            self.words += 1;
        }
    }

    /// Wrong, missing and extra phones in parts of those expected.
    pub fn phones(&self) -> f64 {
        self.errors as f64 / self.phones as f64
    }

    /// Words with any error.
    pub fn words(&self) -> f64 {
        self.wrong as f64 / self.words as f64
    }
}

/// Levenshtein's distance.
fn distance<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let best = (diagonal + usize::from(a != b)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[b.len()]
}
