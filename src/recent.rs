//! A cache of bounded size: blocks by key. When it is full, the oldest block goes first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// A block's place and stored size: with another size it is another block.
pub(crate) type Key = (u64, u32);

/// Blocks that are kept; see the module.
pub(crate) struct Recent<T> {
    blocks: HashMap<Key, Arc<T>>,
    /// Key and bytes, oldest first.
    order: VecDeque<(Key, usize)>,
    bytes: usize,
    most: usize,
}

impl<T> Recent<T> {
    /// Keeps `most` bytes, but always the last block.
    pub(crate) fn new(most: usize) -> Self {
        Self { blocks: HashMap::new(), order: VecDeque::new(), bytes: 0, most }
    }

    pub(crate) fn get(&self, key: Key) -> Option<Arc<T>> {
        self.blocks.get(&key).cloned()
    }

    /// Two threads may have made the same block: the first one's stays.
    pub(crate) fn put(&mut self, key: Key, bytes: usize, block: &Arc<T>) {
        if self.blocks.contains_key(&key) {
            return;
        }
        self.bytes += bytes;
        while self.bytes > self.most
            && let Some((oldest, bytes)) = self.order.pop_front()
        {
            self.blocks.remove(&oldest);
            self.bytes -= bytes;
        }
        self.order.push_back((key, bytes));
        self.blocks.insert(key, Arc::clone(block));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded() {
        let mut cache = Recent::new(100);
        for place in 0..50 {
            cache.put((place, 1), 30, &Arc::new(place));
            cache.put((place, 1), 30, &Arc::new(99));
            assert_eq!(cache.get((place, 1)).as_deref(), Some(&place));
            assert!(cache.blocks.len() <= 3 && cache.bytes <= 100);
        }
        assert!(
            cache.get((49, 1)).is_some()
                && cache.get((47, 1)).is_some()
                && cache.get((46, 1)).is_none()
        );
        cache.put((77, 1), 1000, &Arc::new(77));
        assert_eq!((cache.get((77, 1)).as_deref(), cache.blocks.len()), (Some(&77), 1));
    }
}
