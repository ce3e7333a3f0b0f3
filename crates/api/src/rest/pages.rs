//! Lists in pages.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::refusal::Refusal;

/// How many entries a page has, unless fewer are asked for.
pub(super) const PAGE_MAX: u32 = 1000;

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct Pages {
    /// Only entries after this one: `next` of the page before.
    after: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000)]
    max: Option<u32>,
}

/// The size of a page.
pub(super) fn page_size(asked: Option<u32>) -> Result<u32, Refusal> {
    match asked {
        None => Ok(PAGE_MAX),
        Some(max @ 1..=PAGE_MAX) => Ok(max),
        Some(_) => Err(Refusal::bad_request("InvalidQuery", "A page has 1 to 1000 entries.")),
    }
}

impl Pages {
    /// The page that is asked for of all that there is, by name, and `after` of the next one. An entry that is made or deleted
    /// meanwhile moves no other to another page.
    pub(super) fn cut<T>(
        self,
        mut all: Vec<T>,
        name: impl Fn(&T) -> &str,
    ) -> Result<(Vec<T>, Option<String>), Refusal> {
        let size = page_size(self.max)? as usize;
        all.sort_by(|a, b| name(a).cmp(name(b)));
        if let Some(after) = &self.after {
            let first = all.partition_point(|entry| name(entry) <= after.as_str());
            all.drain(..first);
        }
        let next = (all.len() > size).then(|| name(&all[size - 1]).to_owned());
        all.truncate(size);
        Ok((all, next))
    }
}

/// A list that comes in pages.
pub trait Paged {
    /// What is listed.
    type Entry;

    /// The entries of this page, and `after` of the next one.
    fn page(&mut self) -> (&mut Vec<Self::Entry>, &mut Option<String>);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(after: Option<&str>, max: Option<u32>) -> Result<(Vec<&'static str>, Option<String>), Refusal> {
        let pages = Pages { after: after.map(str::to_owned), max };
        pages.cut(vec!["d", "a", "c", "b", "e"], |name| name)
    }

    #[test]
    fn pages_follow_each_other_by_name_and_the_last_one_says_so() {
        assert_eq!(cut(None, None).unwrap(), (vec!["a", "b", "c", "d", "e"], None));
        assert_eq!(cut(None, Some(2)).unwrap(), (vec!["a", "b"], Some("b".into())));
        assert_eq!(cut(Some("b"), Some(2)).unwrap(), (vec!["c", "d"], Some("d".into())));
        assert_eq!(cut(Some("d"), Some(2)).unwrap(), (vec!["e"], None));
        // The last entry of a full page may be the last of all.
        assert_eq!(cut(Some("c"), Some(2)).unwrap(), (vec!["d", "e"], None));
        // What was the last entry of a page is gone since.
        assert_eq!(cut(Some("bb"), Some(1)).unwrap(), (vec!["c"], Some("c".into())));
        assert_eq!(cut(Some("z"), Some(1)).unwrap(), (vec![], None));
    }

    #[test]
    fn a_page_has_at_least_one_entry_and_at_most_a_thousand() {
        assert!(cut(None, Some(0)).is_err());
        assert!(cut(None, Some(PAGE_MAX)).is_ok());
        assert!(cut(None, Some(PAGE_MAX + 1)).is_err());
    }
}
