//! The filters of a concatenation: those of its inputs, byte for byte, one after the other.

use std::io::{self, Write};

use super::{Directory, GROUPS_MAX};

/// Puts parts together. `inputs` answers the bytes of one part after the other, of which one is in memory at a time.
///
/// # Errors
/// If one of them cannot be read. Of kind `InvalidData` if it is no such part, or if there are more than [`GROUPS_MAX`] row groups.
pub(crate) fn merge(inputs: impl Iterator<Item = io::Result<Vec<u8>>>, out: &mut impl Write) -> io::Result<()> {
    merge_within(GROUPS_MAX, inputs, out)
}

fn merge_within(
    groups_max: usize,
    inputs: impl Iterator<Item = io::Result<Vec<u8>>>,
    out: &mut impl Write,
) -> io::Result<()> {
    let broken = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut directory = Directory::default();
    let mut written = 0;
    for input in inputs {
        let bytes = input?;
        let Some(its) = Directory::of(&bytes) else {
            return Err(broken("the directory of an id filter is damaged"));
        };
        let filters = bytes.len() - its.to_bytes().len();
        out.write_all(&bytes[..filters])?;
        for mut group in its.groups {
            group.filters = group.filters.map(|filter| filter.moved_to(written + filter.offset()));
            directory.groups.push(group);
        }
        written += filters as u64;
    }
    if directory.groups.len() > groups_max {
        return Err(broken("there are too many row groups for one part"));
    }
    out.write_all(&directory.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::IdsBuilder;
    use super::*;

    #[test]
    fn there_is_a_bound_on_row_groups() {
        let mut part = Vec::new();
        IdsBuilder::new(&[1, 1]).write_to(&mut part).unwrap();
        let inputs = || [Ok(part.clone()), Ok(part.clone())].into_iter();
        assert!(merge_within(4, inputs(), &mut Vec::new()).is_ok());
        let refused = merge_within(3, inputs(), &mut Vec::new()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }
}
