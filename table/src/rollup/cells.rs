//! Which cell each row is in, found out column by column.

use std::collections::HashMap;

use ahash::RandomState;

/// Gives each combination of key values a number. After the first column, a row's cell is its value; each further column
/// splits the cells: (cell so far, value) becomes the new cell. So no row is ever in memory as a whole.
pub(super) struct Cells {
    levels: Vec<Level>,
}

#[derive(Default)]
struct Level {
    numbers: HashMap<u64, u32, RandomState>,
    /// The cell before the split, and the value, of each cell.
    origins: Vec<(u32, u32)>,
    last: Option<(u64, u32)>,
}

impl Cells {
    /// For so many key columns.
    pub(super) fn new(columns: usize) -> Self {
        Self { levels: (0..columns).map(|_| Level::default()).collect() }
    }

    /// Splits the cells of some rows by their values in the column at this place.
    pub(super) fn split(&mut self, column: usize, cells: &mut [u32], values: &[u32]) {
        let Level { numbers, origins, last } = &mut self.levels[column];
        for (cell, value) in cells.iter_mut().zip(values) {
            let pair = u64::from(*cell) << 32 | u64::from(*value);
            *cell = match *last {
                Some((same, number)) if same == pair => number,
                _ => {
                    let next = origins.len() as u32;
                    let number = *numbers.entry(pair).or_insert(next);
                    if number == next {
                        origins.push((*cell, *value));
                    }
                    *last = Some((pair, number));
                    number
                }
            };
        }
    }

    /// Number of cells after any of the columns, at most.
    pub(super) fn most(&self) -> usize {
        self.levels.iter().map(|level| level.origins.len()).max().unwrap_or(0)
    }

    /// Number of cells.
    pub(super) fn len(&self) -> usize {
        self.levels.last().map_or(0, |level| level.origins.len())
    }

    /// The value numbers of every cell, by column.
    pub(super) fn values(&self) -> Vec<Vec<u32>> {
        let mut at: Vec<u32> = (0..self.len() as u32).collect();
        let mut columns: Vec<Vec<u32>> = self
            .levels
            .iter()
            .rev()
            .map(|level| {
                let origins = || at.iter().map(|cell| level.origins[*cell as usize]);
                let values = origins().map(|(_, value)| value).collect();
                let before = origins().map(|(before, _)| before).collect();
                at = before;
                values
            })
            .collect();
        columns.reverse();
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_the_distinct_combinations() {
        let mut cells = Cells::new(2);
        let mut rows = vec![0; 6];
        cells.split(0, &mut rows[..4], &[1, 2, 1, 1]);
        cells.split(0, &mut rows[4..], &[2, 2]);
        cells.split(1, &mut rows, &[7, 7, 7, 8, 7, 9]);
        assert_eq!(rows, [0, 1, 0, 2, 1, 3]);
        assert_eq!(cells.values(), [vec![1, 2, 1, 2], vec![7, 7, 8, 9]]);
    }
}
