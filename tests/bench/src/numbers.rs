//! Medians and percentiles.

/// A median with the quartiles around it (half of all repetitions lie between `low` and `high`) or with the extremes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub value: f64,
    /// The lower quartile, or the least.
    pub low: f64,
    /// The upper quartile, or the most.
    pub high: f64,
}

impl Spread {
    /// A figure without repetitions.
    pub fn exact(value: f64) -> Self {
        Self { value, low: value, high: value }
    }

    /// Of all `samples`, of which there must be some.
    pub fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |share| percentile(&samples, share);
        Self { value: at(0.5), low: at(0.25), high: at(0.75) }
    }

    /// Of all `samples`, of which there must be some, with the least and the most of them.
    pub fn extremes(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |share| percentile(&samples, share);
        Self { value: at(0.5), low: at(0.0), high: at(1.0) }
    }

    /// All three less `amount`.
    pub fn less(self, amount: f64) -> Self {
        Self { value: self.value - amount, low: self.low - amount, high: self.high - amount }
    }
}

/// The sample below which `share` of the sorted samples lie.
pub fn percentile<T: Copy>(sorted: &[T], share: f64) -> T {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_median_and_its_quartiles() {
        let spread = Spread::of(vec![5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(spread, Spread { value: 3.0, low: 2.0, high: 4.0 });
        assert_eq!(spread.less(1.0), Spread { value: 2.0, low: 1.0, high: 3.0 });
        assert_eq!(Spread::extremes(vec![5.0, 1.0, 4.0]), Spread { value: 4.0, low: 1.0, high: 5.0 });
    }
}
