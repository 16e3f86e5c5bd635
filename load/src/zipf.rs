//! Ranks by Zipf's law, one table look-up a draw (the alias method: Vose, IEEE TSE 17(9), 1991).

use crate::draws::Draws;

/// Draws ranks from 0 on; rank k is drawn in proportion to 1 / (k + 1)^exponent.
#[derive(Debug)]
pub(crate) struct Zipf {
    /// For each column: the share of 2^32 that stays, and the rank that gets the rest.
    columns: Vec<(u32, u32)>,
}

impl Zipf {
    /// Of at least one rank.
    pub(crate) fn new(ranks: usize, exponent: f64) -> Self {
        let ranks = ranks.max(1);
        let weights: Vec<f64> = (1..=ranks).map(|rank| (rank as f64).powf(-exponent)).collect();
        let scale = ranks as f64 / weights.iter().sum::<f64>();
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..ranks).partition(|rank| shares[*rank] < 1.0);
        let mut columns: Vec<(u32, u32)> = (0..ranks as u32).map(|rank| (u32::MAX, rank)).collect();
        while let (Some(less), Some(more)) = (small.pop(), large.last().copied()) {
            columns[less] = ((shares[less] * f64::from(u32::MAX)) as u32, more as u32);
            shares[more] -= 1.0 - shares[less];
            if shares[more] < 1.0 {
                large.pop();
                small.push(more);
            }
        }
        Self { columns }
    }

    pub(crate) fn draw(&self, draws: &mut Draws) -> usize {
        let drawn = draws.next();
        let column = (((drawn >> 32) * self.columns.len() as u64) >> 32) as usize;
        let (share, other) = self.columns[column];
        if (drawn as u32) <= share { column } else { other as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_come_as_often_as_the_law_says() {
        let (zipf, mut draws) = (Zipf::new(11_000, 1.05), Draws::of(7, 7));
        let mut seen = vec![0u32; 11_000];
        (0..1_000_000).for_each(|_| seen[zipf.draw(&mut draws)] += 1);
        let sum: f64 = (1..=11_000).map(|rank| f64::from(rank).powf(-1.05)).sum();
        for rank in [1, 2, 10, 100] {
            let wanted = 1e6 * f64::from(rank).powf(-1.05) / sum;
            let ratio = f64::from(seen[rank as usize - 1]) / wanted;
            assert!((ratio - 1.0).abs() < 0.15, "rank {rank}: {ratio}");
        }
        assert_eq!(Zipf::new(0, 1.0).draw(&mut draws), 0);
    }
}
