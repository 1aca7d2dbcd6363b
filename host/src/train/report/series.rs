//! Curves before they are drawn: fewer points, smoother ones.

/// Points of a curve that the eye can tell apart at the width of a page.
pub(super) const MAX_POINTS: usize = 800;

/// At most about `limit` of `points`, in order: the lowest and the highest of each stretch, so spikes stay visible.
#[must_use]
pub(super) fn thin(points: &[(f64, f64)], limit: usize) -> Vec<(f64, f64)> {
    if points.len() <= limit {
        return points.to_vec();
    }
    let stretches = (limit / 2).max(1);
    let mut kept = Vec::with_capacity(limit);
    for k in 0..stretches {
        let stretch = &points[k * points.len() / stretches..(k + 1) * points.len() / stretches];
        let by_y = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let finite = || stretch.iter().filter(|p| p.1.is_finite());
        if let (Some(low), Some(high)) = (finite().min_by(by_y), finite().max_by(by_y)) {
            let (first, second) = if low.0 <= high.0 { (low, high) } else { (high, low) };
            kept.push(*first);
            if first != second {
                kept.push(*second);
            }
        }
    }
    kept
}

/// Every `n`-th item so that at most `limit` remain, the last one always among them.
#[must_use]
pub(super) fn sample<T>(items: &[T], limit: usize) -> Vec<&T> {
    if items.len() <= limit {
        return items.iter().collect();
    }
    let limit = limit.max(2);
    (0..limit).map(|k| &items[k * (items.len() - 1) / (limit - 1)]).collect()
}

/// Exponential moving average that forgets over about a fortieth of the curve, without the pull of a start value.
/// Points that are not finite are left out.
#[must_use]
pub(super) fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let window = (points.len() as f64 / 40.0).max(1.0);
    let keep = 1.0 - 1.0 / window;
    let (mut sum, mut weight) = (0.0, 0.0);
    let finite = points.iter().filter(|(_, y)| y.is_finite());
    finite
        .map(|&(x, y)| {
            sum = sum * keep + y;
            weight = weight * keep + 1.0;
            (x, sum / weight)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_spikes_order_and_the_limit() {
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        points[54_321].1 = 99.0;
        points[77_777].1 = -99.0;
        points[10].1 = f64::NAN;
        let thinned = thin(&points, MAX_POINTS);
        assert!(thinned.len() <= MAX_POINTS, "{}", thinned.len());
        assert!(thinned.contains(&(54_321.0, 99.0)) && thinned.contains(&(77_777.0, -99.0)));
        assert!(thinned.windows(2).all(|p| p[0].0 < p[1].0));
    }

    #[test]
    fn sampling_keeps_both_ends() {
        let items: Vec<u32> = (0..1000).collect();
        let sampled = sample(&items, 60);
        assert_eq!((sampled.len(), *sampled[0], *sampled[59]), (60, 0, 999));
        assert_eq!(sample(&items[..5], 60).len(), 5);
    }

    #[test]
    fn smoothing_a_constant_changes_nothing() {
        let points: Vec<(f64, f64)> = (0..300).map(|i| (f64::from(i), 2.5)).collect();
        let worst = smooth(&points).iter().map(|p| (p.1 - 2.5).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-12, "{worst}");
    }
}
