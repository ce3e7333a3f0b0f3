//! Where each page lies (`docs/spec/pages.md` §2). Pure arithmetic.

/// The length of a page in bytes.
pub(super) const PAGE_LEN: usize = 4096;
/// [`PAGE_LEN`] for arithmetic with offsets.
pub(super) const PAGE: u64 = PAGE_LEN as u64;
/// Bytes reserved for a root slot.
pub(super) const SLOT_LEN: usize = 256 << 10;
/// Entries in a tag page.
pub(super) const ENTRIES: usize = 141;
/// [`ENTRIES`] for arithmetic with page numbers.
pub(super) const FAN: u64 = ENTRIES as u64;
/// Upper tag pages that fit into a root slot.
pub(super) const UPPERS_MAX: usize = 8192;
/// The longest database, in bytes.
pub(super) const LENGTH_MAX: u64 = UPPERS_MAX as u64 * FAN * FAN * PAGE;

const PAGES_AT: u64 = 2 * SLOT_LEN as u64;
const LEAF: u64 = 2 + FAN;
const SPAN: u64 = 2 + FAN * LEAF;
const _: () = assert!(SPAN == 20165, "the on-disk layout is frozen");

/// One of the two places of a tag page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Twin {
    A,
    B,
}

impl Twin {
    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    pub(super) fn bit(self) -> u8 {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

/// Something that is sealed in a place of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sealed {
    /// A data page.
    Data(u64),
    /// A tag page over data pages.
    Lower(u64, Twin),
    /// A tag page over lower tag pages.
    Upper(u64, Twin),
}

impl Sealed {
    /// Its byte offset in the file.
    pub(super) fn place(self) -> u64 {
        let page = match self {
            Self::Data(page) => leaf(page / FAN) + 2 + page % FAN,
            Self::Lower(lower, twin) => leaf(lower) + u64::from(twin.bit()),
            Self::Upper(upper, twin) => upper * SPAN + u64::from(twin.bit()),
        };
        PAGES_AT + PAGE * page
    }
}

/// The first page, counted from the first span, of the leaf of a lower tag page.
fn leaf(lower: u64) -> u64 {
    (lower / FAN) * SPAN + 2 + (lower % FAN) * LEAF
}

/// Where a root slot starts.
pub(super) fn slot_place(slot: u8) -> u64 {
    u64::from(slot) * SLOT_LEN as u64
}

/// How long the file of a database of `length` bytes is.
pub(super) fn file_len(length: u64) -> u64 {
    match pages(length) {
        0 => PAGES_AT,
        count => Sealed::Data(count - 1).place() + PAGE,
    }
}

/// How many pages a database of `length` bytes has.
pub(super) fn pages(length: u64) -> u64 {
    length.div_ceil(PAGE)
}

/// How many lower tag pages cover `pages`.
/// How many data pages a file of this length has.
pub(crate) fn pages_in(file: u64) -> u64 {
    let (mut least, mut most) = (0, LENGTH_MAX / PAGE);
    while least < most {
        let middle = least + (most - least).div_ceil(2);
        if file_len(middle * PAGE) <= file { least = middle } else { most = middle - 1 }
    }
    least
}

pub(super) fn lowers(pages: u64) -> u64 {
    pages.div_ceil(FAN)
}

/// How many upper tag pages cover `lowers`.
pub(super) fn uppers(lowers: u64) -> u64 {
    lowers.div_ceil(FAN)
}

/// The index of page `child`'s entry in its parent.
pub(super) fn index(child: u64) -> usize {
    usize::try_from(child % FAN).expect("an index is below 141")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_files_length_says_how_many_pages_it_has() {
        for pages in [0, 1, 2, FAN - 1, FAN, FAN + 1, FAN * FAN, FAN * FAN + 1, LENGTH_MAX / PAGE] {
            let len = file_len(pages * PAGE);
            assert_eq!(pages_in(len), pages);
            assert_eq!(pages_in(len + PAGE - 1), pages, "and part of another");
        }
        assert_eq!((pages_in(0), pages_in(u64::MAX)), (0, LENGTH_MAX / PAGE));
    }

    #[test]
    fn places_are_those_of_the_worked_example() {
        assert_eq!(Sealed::Data(30_000).place(), 125_165_568);
        assert_eq!(Sealed::Lower(212, Twin::B).place(), 124_719_104);
        assert_eq!(LENGTH_MAX, 667_095_662_592);
    }

    #[test]
    fn no_two_pages_share_a_place_and_all_lie_within_the_file() {
        let count = 2 * FAN * FAN + 300;
        let mut places = BTreeSet::new();
        let mut take = |sealed: Sealed| assert!(places.insert(sealed.place()), "{sealed:?}");
        (0..count).for_each(|page| take(Sealed::Data(page)));
        for twin in [Twin::A, Twin::B] {
            (0..lowers(count)).for_each(|lower| take(Sealed::Lower(lower, twin)));
            (0..uppers(lowers(count))).for_each(|upper| take(Sealed::Upper(upper, twin)));
        }
        assert_eq!(places.first(), Some(&PAGES_AT));
        assert!(places.iter().all(|place| place.is_multiple_of(PAGE)));
        assert_eq!(places.last(), Some(&(file_len(count * PAGE) - PAGE)));
    }

    #[test]
    fn consecutive_pages_of_a_leaf_are_contiguous() {
        for page in 0..3 * FAN * FAN {
            let next = Sealed::Data(page + 1).place();
            if !(page + 1).is_multiple_of(FAN) {
                assert_eq!(next, Sealed::Data(page).place() + PAGE);
            }
        }
    }
}
