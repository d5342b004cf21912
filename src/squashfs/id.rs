//! The id table: inodes hold 16-bit indexes of it instead of uids and gids.
//!
//! ```text
//! u32 id 0, u32 id 1, ...      in the order in which inodes first use them
//! ```

use foldhash::HashMap;

use super::SquashfsError;

/// The superblock counts ids in 16 bits.
const MAX: u64 = 65_535;

#[derive(Default)]
pub(super) struct Ids {
    all: Vec<u32>,
    indexes: HashMap<u32, u16>,
}

impl Ids {
    /// The index of an id.
    pub(super) fn index(&mut self, id: u32) -> Result<u16, SquashfsError> {
        if let Some(index) = self.indexes.get(&id) {
            return Ok(*index);
        }
        let index = u16::try_from(self.all.len())
            .ok()
            .filter(|index| u64::from(*index) < MAX)
            .ok_or(SquashfsError::TooMany { what: "different user and group ids", limit: MAX })?;
        self.all.push(id);
        self.indexes.insert(id, index);
        Ok(index)
    }

    pub(super) fn count(&self) -> u16 {
        u16::try_from(self.all.len()).unwrap_or(u16::MAX)
    }

    pub(super) fn records(&self) -> Vec<u8> {
        self.all.iter().flat_map(|id| id.to_le_bytes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_superblock_can_count_is_refused() {
        let mut ids = Ids::default();
        for id in 0..65_535 {
            assert_eq!(u32::from(ids.index(id).unwrap()), id);
        }
        assert_eq!(ids.count(), 65_535);
        assert_eq!(ids.index(7).unwrap(), 7);
        assert!(matches!(ids.index(65_535), Err(SquashfsError::TooMany { .. })));
    }
}
