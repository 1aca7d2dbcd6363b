//! Early stopping: how long a run goes on while its validation loss does not fall.

/// Counts validations since the lowest loss.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    limit: u32,
    lowest: f64,
    since: u32,
}

impl Patience {
    /// Ends after `limit` validations without a new lowest loss; 0 for never.
    pub fn new(limit: u32) -> Self {
        Self { limit, lowest: f64::INFINITY, since: 0 }
    }

    /// Takes a validation loss.
    pub fn add(&mut self, loss: f64) {
        if loss < self.lowest {
            (self.lowest, self.since) = (loss, 0);
        } else {
            self.since += 1;
        }
    }

    /// Whether the run should end.
    pub fn is_over(&self) -> bool {
        self.limit > 0 && self.since >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_after_so_many_losses_that_are_not_lower() {
        let over = |limit, losses: &[f64]| {
            let mut patience = Patience::new(limit);
            losses.iter().for_each(|&loss| patience.add(loss));
            patience.is_over()
        };
        assert!(!over(2, &[3.0, 4.0]));
        assert!(over(2, &[3.0, 4.0, 3.0]));
        assert!(!over(2, &[3.0, 4.0, 2.9, 3.0]));
        assert!(!over(0, &[1.0, 2.0, 3.0, 4.0]));
        assert!(over(1, &[1.0, f64::NAN]));
    }
}
