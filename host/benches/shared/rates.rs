//! Which learning rates an arm tries, and which is its best.

/// Rates of an arm at most.
pub const MOST: usize = 7;

/// The rates of an arm in the order in which they are tried, as far as the losses say: the first, and then, as long as the lowest or the highest is best,
/// the next beyond it, as far away as its neighbour. An arm of a single rate has no other.
pub fn wanted(first: &[f32], loss: impl Fn(f32) -> Option<f64>) -> Vec<f32> {
    let mut rates = first.to_vec();
    while (2..MOST).contains(&rates.len()) {
        let tried: Option<Vec<_>> = rates.iter().map(|&rate| Some((rate, loss(rate)?))).collect();
        let Some(mut tried) = tried else { break };
        tried.sort_by(|a, b| a.0.total_cmp(&b.0));
        let best = (0..tried.len()).min_by(|&a, &b| tried[a].1.total_cmp(&tried[b].1)).expect("rates");
        let inner = match best {
            0 => 1,
            _ if best + 1 == tried.len() => best - 1,
            _ => break,
        };
        rates.push(rounded(tried[best].0 * tried[best].0 / tried[inner].0));
    }
    rates
}

/// The rate with the lowest loss, once all that are wanted have one.
pub fn best(wanted: &[f32], loss: impl Fn(f32) -> Option<f64>) -> Option<f32> {
    let tried: Option<Vec<_>> = wanted.iter().map(|&rate| Some((rate, loss(rate)?))).collect();
    tried?.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(rate, _)| rate)
}

/// To three digits.
fn rounded(rate: f32) -> f32 {
    format!("{rate:.2e}").parse().expect("a number")
}
