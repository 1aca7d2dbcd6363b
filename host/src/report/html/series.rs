//! Curves before they are drawn: fewer points, smoother ones.

use super::axis::drawable;

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

/// A line through the noise: at each point the value of the straight line that fits best to a thirtieth of the curve
/// around it. Unlike a moving average it does not lag behind a steep fall. Points that are not finite are left out.
#[must_use]
pub(super) fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> = points.iter().copied().filter(|(_, y)| drawable(*y)).collect();
    let half = finite.len() / 60;
    // Running sums of y and of index times y give every window's fit at once.
    let mut sums = vec![(0.0, 0.0)];
    for (i, &(_, y)) in finite.iter().enumerate() {
        let (sum, moment) = sums[i];
        sums.push((sum + y, moment + i as f64 * y));
    }
    let fit = |(i, &(x, _)): (usize, &(f64, f64))| {
        let (from, to) = (i.saturating_sub(half), (i + half + 1).min(finite.len()));
        let n = (to - from) as f64;
        let middle = (from + to - 1) as f64 / 2.0;
        let mean = (sums[to].0 - sums[from].0) / n;
        let spread = n * (n * n - 1.0) / 12.0;
        let moment = sums[to].1 - sums[from].1 - middle * mean * n;
        let slope = if spread > 0.0 { moment / spread } else { 0.0 };
        (x, mean + slope * (i as f64 - middle))
    };
    finite.iter().enumerate().map(fit).collect()
}

/// Mean of the finite values at the end of a curve: its last fortieth, 50 values at most.
#[must_use]
pub(super) fn recent_mean(points: &[(f64, f64)]) -> Option<f64> {
    let finite = points.iter().rev().map(|p| p.1).filter(|&y| drawable(y));
    let recent: Vec<f64> = finite.take((points.len() / 40).clamp(1, 50)).collect();
    (!recent.is_empty()).then(|| recent.iter().sum::<f64>() / recent.len() as f64)
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
    fn smoothing_follows_a_line_to_both_ends_and_quietens_noise() {
        let line = |i: usize| 5.0 - 0.01 * i as f64;
        let worst = |noise: f64| {
            let points: Vec<_> = (0..600).map(|i| (i as f64, line(i) + noise * ((i * i * 7919 % 1009) as f64 / 504.0 - 1.0))).collect();
            let smoothed = smooth(&points);
            assert_eq!(smoothed.len(), 600);
            smoothed.iter().enumerate().map(|(i, p)| (p.1 - line(i)).abs()).fold(0.0, f64::max)
        };
        assert!(worst(0.0) < 1e-9, "{}", worst(0.0));
        assert!(worst(0.2) < 0.16, "{}", worst(0.2));
    }

    #[test]
    fn recent_mean_passes_over_what_is_not_finite() {
        assert_eq!(recent_mean(&[]), None);
        assert_eq!(recent_mean(&[(1.0, f64::NAN)]), None);
        assert_eq!(recent_mean(&[(1.0, 2.0), (2.0, 3.0), (3.0, f64::NAN)]), Some(3.0));
        let curve: Vec<_> = (0..80).map(|i| (f64::from(i), f64::from(i))).collect();
        assert_eq!(recent_mean(&curve), Some(78.5));
    }
}
