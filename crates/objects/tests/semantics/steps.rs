//! The steps of a sequence. They name keys, versions and uploads by number, so that a sequence still makes sense when
//! steps are taken out of it.

use proptest::prelude::*;

pub(crate) const KEYS: [&str; 6] = ["a", "a/b", "a/b/c", "a//", "é", "b"];
pub(crate) const PREFIXES: [&str; 4] = ["", "a", "a/", "é"];
pub(crate) const DELIMITERS: [Option<&str>; 3] = [None, Some("/"), Some("b")];
/// Around the limit up to which content lies in the entry, and one of several chunks.
pub(crate) const SIZES: [usize; 7] = [0, 1, 100, 16_384, 16_385, 70_000, 200_000];
pub(crate) const PART_MIN: usize = 5 << 20;

/// Which version a step means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    Current,
    /// One of those that are or were there.
    Known(u8),
    Null,
    Unknown,
}

/// What must hold of the current object, or of what is read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Condition {
    None,
    MatchAny,
    MatchCurrent,
    MatchOther,
    NoneMatchAny,
    NoneMatchCurrent,
    NoneMatchOther,
    /// Of deletes alone.
    SizeIsCurrent,
    SizeIsOther,
}

/// One operation.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Put {
        key: u8,
        size: u8,
        tags: u8,
        condition: Condition,
    },
    Get {
        key: u8,
        which: Which,
        condition: Condition,
    },
    Range {
        key: u8,
        which: Which,
        first: u32,
        last: Option<u32>,
    },
    Delete {
        key: u8,
        which: Which,
        condition: Condition,
    },
    DeleteMany(Vec<(u8, Which)>),
    Copy {
        from: u8,
        which: Which,
        to: u8,
        replace_meta: bool,
        replace_tags: bool,
        condition: Condition,
    },
    ReadTags {
        key: u8,
        which: Which,
    },
    WriteTags {
        key: u8,
        which: Which,
        tags: u8,
    },
    StartUpload {
        key: u8,
        tags: u8,
    },
    PutPart {
        upload: u8,
        part: u8,
        size: u8,
    },
    CopyPart {
        upload: u8,
        part: u8,
        from: u8,
        which: Which,
    },
    /// The parts that are named, each with its entity tag, or a wrong one.
    Complete {
        upload: u8,
        parts: Vec<u8>,
        wrong_tag: bool,
        condition: Condition,
    },
    /// Two parts of which the first is long enough.
    CompleteLarge {
        key: u8,
        size: u8,
    },
    Abort {
        upload: u8,
    },
    ListParts {
        upload: u8,
        max: u8,
    },
    ListUploads {
        prefix: u8,
    },
    List {
        prefix: u8,
        delimiter: u8,
        max: u8,
    },
    ListVersions {
        prefix: u8,
        delimiter: u8,
        max: u8,
    },
    SetVersions {
        enabled: bool,
    },
    Reopen {
        closed: bool,
    },
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        4 => Just(Which::Current),
        4 => any::<u8>().prop_map(Which::Known),
        1 => Just(Which::Null),
        1 => Just(Which::Unknown),
    ]
}

fn of_read() -> impl Strategy<Value = Condition> {
    prop_oneof![
        8 => Just(Condition::None),
        1 => Just(Condition::MatchAny),
        1 => Just(Condition::MatchCurrent),
        1 => Just(Condition::MatchOther),
        1 => Just(Condition::NoneMatchAny),
        1 => Just(Condition::NoneMatchCurrent),
        1 => Just(Condition::NoneMatchOther),
    ]
}

fn of_delete() -> impl Strategy<Value = Condition> {
    prop_oneof![
        8 => Just(Condition::None),
        1 => Just(Condition::MatchAny),
        1 => Just(Condition::MatchCurrent),
        1 => Just(Condition::MatchOther),
        1 => Just(Condition::SizeIsCurrent),
        1 => Just(Condition::SizeIsOther),
    ]
}

fn numbers() -> impl Strategy<Value = (u8, u8, u8)> {
    (any::<u8>(), any::<u8>(), any::<u8>())
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let target = || (any::<u8>(), which());
    prop_oneof![
        12 => (numbers(), of_read()).prop_map(|((key, size, tags), condition)| Step::Put { key, size, tags, condition }),
        6 => (target(), of_read()).prop_map(|((key, which), condition)| Step::Get { key, which, condition }),
        3 => (target(), 0..220_000_u32, proptest::option::of(0..220_000_u32))
            .prop_map(|((key, which), first, last)| Step::Range { key, which, first, last }),
        8 => (target(), of_delete()).prop_map(|((key, which), condition)| Step::Delete { key, which, condition }),
        2 => proptest::collection::vec(target(), 1..5).prop_map(Step::DeleteMany),
        5 => (target(), any::<u8>(), any::<bool>(), any::<bool>(), of_read()).prop_map(
            |((from, which), to, replace_meta, replace_tags, condition)| {
                Step::Copy { from, which, to, replace_meta, replace_tags, condition }
            }
        ),
        2 => target().prop_map(|(key, which)| Step::ReadTags { key, which }),
        3 => (target(), any::<u8>()).prop_map(|((key, which), tags)| Step::WriteTags { key, which, tags }),
        4 => (any::<u8>(), any::<u8>()).prop_map(|(key, tags)| Step::StartUpload { key, tags }),
        6 => numbers().prop_map(|(upload, part, size)| Step::PutPart { upload, part, size }),
        2 => (any::<u8>(), any::<u8>(), target())
            .prop_map(|(upload, part, (from, which))| Step::CopyPart { upload, part, from, which }),
        5 => (any::<u8>(), proptest::collection::vec(0..4_u8, 0..4), proptest::bool::weighted(0.1), of_read())
            .prop_map(|(upload, parts, wrong_tag, condition)| Step::Complete { upload, parts, wrong_tag, condition }),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(key, size)| Step::CompleteLarge { key, size }),
        1 => any::<u8>().prop_map(|upload| Step::Abort { upload }),
        1 => (any::<u8>(), 1..4_u8).prop_map(|(upload, max)| Step::ListParts { upload, max }),
        1 => any::<u8>().prop_map(|prefix| Step::ListUploads { prefix }),
        3 => numbers().prop_map(|(prefix, delimiter, max)| Step::List { prefix, delimiter, max }),
        4 => numbers().prop_map(|(prefix, delimiter, max)| Step::ListVersions { prefix, delimiter, max }),
        4 => proptest::bool::weighted(0.7).prop_map(|enabled| Step::SetVersions { enabled }),
        2 => any::<bool>().prop_map(|closed| Step::Reopen { closed }),
    ]
}
