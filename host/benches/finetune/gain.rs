//! How much of the floats' gain an arm has.

/// Which part of the floats' gain an arm has, over the seeds that both have: seeds and losses.
pub fn share(before: f64, tests: &[(u64, f64)], floats: &[(u64, f64)]) -> Option<f64> {
    let pairs =
        tests.iter().filter_map(|(seed, test)| floats.iter().find(|float| float.0 == *seed).map(|float| (before - test, before - float.1)));
    let (own, of) = pairs.reduce(|one, other| (one.0 + other.0, one.1 + other.1))?;
    Some(own / of)
}
