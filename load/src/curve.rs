//! When record n happens: evenly, or along the curve of a day.

/// Minutes of a day.
const MINUTES: usize = 1440;
/// Microseconds of a day.
const DAY_US: f64 = 86_400e6;
/// The busiest hour, UTC.
const PEAK_HOUR: f64 = 13.0;
/// How far the curve leaves its mean, up at the peak and down at night.
const SWING: f64 = 0.7;

/// Turns numbers of records into times.
#[derive(Debug)]
pub(crate) struct Curve {
    start_us: i64,
    rate: f64,
    /// The share of a day's records that lies before each minute; empty if time is even.
    before: Vec<f64>,
}

impl Curve {
    /// `rate`: records a second, on the mean of a day.
    pub(crate) fn new(start_us: i64, rate: f64, diurnal: bool) -> Self {
        let height = |minute: usize| {
            let hour = minute as f64 / 60.0;
            1.0 + SWING * ((hour - PEAK_HOUR) / 24.0 * std::f64::consts::TAU).cos()
        };
        let mut before = Vec::new();
        if diurnal {
            let all: f64 = (0..MINUTES).map(height).sum();
            let mut sum = 0.0;
            for minute in 0..=MINUTES {
                before.push(sum / all);
                sum += height(minute);
            }
        }
        Self { start_us, rate, before }
    }

    /// When record n happens.
    pub(crate) fn time_us(&self, number: u64) -> i64 {
        if self.before.is_empty() {
            return self.start_us.saturating_add((number as f64 / self.rate * 1e6) as i64);
        }
        let midnight = self.start_us.div_euclid(DAY_US as i64) * DAY_US as i64;
        let minutes = (self.start_us - midnight) as f64 / 60e6;
        let passed = self.before[minutes as usize] + (minutes.fract()) * self.width(minutes as usize);
        let days = passed + number as f64 / self.rate / 86_400.0;
        let share = days.fract();
        let minute = self.before.partition_point(|before| *before <= share).clamp(1, MINUTES) - 1;
        let within = (share - self.before[minute]) / self.width(minute);
        midnight + (days.floor() * DAY_US + (minute as f64 + within) * 60e6) as i64
    }

    fn width(&self, minute: usize) -> f64 {
        self.before[minute + 1] - self.before[minute]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_holds_what_the_rate_says_and_its_peak_holds_more_than_its_night() {
        let start_us = 1_790_000_000_000_000;
        let curve = Curve::new(start_us, 10.0, true);
        let day = (curve.time_us(864_000) - start_us) as f64 / DAY_US;
        assert!((day - 1.0).abs() < 1e-6, "{day}");
        let mut hours = [0u32; 24];
        let mut last = start_us - 1;
        for number in (0..864_000).step_by(10) {
            let time_us = curve.time_us(number);
            assert!(time_us > last, "time goes on");
            last = time_us;
            hours[(time_us / 3_600_000_000 % 24) as usize] += 1;
        }
        assert!(hours[13] > 4 * hours[1], "{hours:?}");
        assert_eq!(Curve::new(5, 1000.0, false).time_us(1000), 1_000_005);
    }
}
