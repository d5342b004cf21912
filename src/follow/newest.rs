//! The newest jobs that are wanted, page by page: no more are looked at than it takes to fill a list.

use crate::job::JobId;
use crate::ledger::index::Page;

/// The newest first, and whether there are more. `page` gives the ids of a page, `now` what is shown of them, and
/// `wanted` chooses: the index knows a job as it was recorded, and its engine may say more.
///
/// # Errors
/// As the first of these.
pub fn newest<R, E>(
    most: usize,
    mut page: impl FnMut(Page) -> Result<Vec<JobId>, E>,
    mut now: impl FnMut(&[JobId]) -> Result<Vec<R>, E>,
    wanted: impl Fn(&R) -> bool,
) -> Result<(Vec<R>, bool), E> {
    let mut rows = Vec::new();
    // one more than is shown says whether there are more, and is not asked for
    let mut next = Page::newest(most.saturating_add(1));
    loop {
        let ids = page(next)?;
        let (shown, rest) = ids.split_at(ids.len().min(most.max(1)));
        let Some(last) = shown.last() else { return Ok((rows, false)) };
        if rows.len() >= most {
            return Ok((rows, true));
        }
        let mut some = now(shown)?;
        some.retain(&wanted);
        rows.append(&mut some);
        if rows.len() > most {
            rows.truncate(most);
            return Ok((rows, true));
        }
        if rest.is_empty() {
            return Ok((rows, false));
        }
        next = next.behind(*last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_filled_and_nobody_is_asked_for_more() {
        let ids: Vec<JobId> = (0..100).rev().map(|n| JobId::from_parts(n, 0)).collect();
        let asked = std::cell::Cell::new(0);
        let newest = |most: usize, wanted: fn(&u64) -> bool| {
            asked.set(0);
            newest::<u64, ()>(
                most,
                |page| {
                    let older = |id: &&JobId| page.before.is_none_or(|before| **id < before);
                    Ok(ids.iter().filter(older).take(page.most).copied().collect())
                },
                |ids| {
                    asked.set(asked.get() + ids.len());
                    Ok(ids.iter().map(|id| id.milliseconds()).collect())
                },
                wanted,
            )
            .unwrap()
        };
        assert_eq!(newest(3, |_| true), (vec![99, 98, 97], true));
        assert_eq!(asked.get(), 3, "only those that are shown");
        assert!(!newest(100, |_| true).1);
        assert_eq!(newest(2, |n| n % 40 == 0), (vec![80, 40], true));
        assert_eq!(newest(3, |n| n % 40 == 0), (vec![80, 40, 0], false));
        assert_eq!(newest(5, |_| false), (Vec::new(), false));
        assert_eq!(newest(0, |_| true), (Vec::new(), true));
    }
}
