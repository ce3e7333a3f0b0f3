//! One operator on one key, with the values it compares with.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::arn::ArnPattern;
use super::cidr::Cidr;
use super::dates;
use super::error::{PolicyFault, cut};
use super::keys::Key;
use super::pattern::{Pattern, Piece, Syntax, Truth};
use super::request::Request;
use super::spelling;
use super::statement::Effect;

/// A condition: it holds or not for a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    key: Key,
    set: Option<Set>,
    if_exists: bool,
    negated: bool,
    test: Test,
}

/// For keys with several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    All,
    Any,
}

/// What a request's value is compared with.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    Text(Box<[Pattern]>),
    TextInAnyCase(Box<[Pattern]>),
    Like(Box<[Pattern]>),
    Arn(Box<[ArnPattern]>),
    Number(Order, Box<[f64]>),
    /// Milliseconds since 1970.
    Date(Order, Box<[i64]>),
    Bool(Box<[bool]>),
    Binary(Box<[Box<[u8]>]>),
    Address(Box<[Cidr]>),
    /// Whether the key shall be absent.
    Absent(Box<[bool]>),
}

/// How the request's value stands to the policy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds<T: PartialOrd>(self, value: &T, other: &T) -> bool {
        match self {
            Self::Equal => value == other,
            Self::Less => value < other,
            Self::LessOrEqual => value <= other,
            Self::Greater => value > other,
            Self::GreaterOrEqual => value >= other,
        }
    }
}

impl Condition {
    /// From an operator's name, a key's name and values. `variables`: whether the policy's version knows them.
    pub(super) fn parse(
        operator: &str,
        key: &str,
        values: &[String],
        variables: bool,
    ) -> Result<Self, PolicyFault> {
        let unknown = || PolicyFault::Operator { name: cut(operator) };
        let (set, name) = match operator.split_once(':') {
            None => (None, operator),
            Some(("ForAllValues", name)) => (Some(Set::All), name),
            Some(("ForAnyValue", name)) => (Some(Set::Any), name),
            Some(_) => return Err(unknown()),
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let key = Key::parse(key).ok_or_else(|| PolicyFault::ConditionKey { name: cut(key) })?;
        let (kind, negated) = operator_named(name).ok_or_else(unknown)?;
        if kind == Kind::Absent && (if_exists || set.is_some()) {
            return Err(unknown());
        }
        let is_text = matches!(kind, Kind::Text | Kind::TextInAnyCase | Kind::Like | Kind::Arn);
        let spelled = |value: &String| match is_text {
            true => spelling::of_value(&key, value).into_owned(),
            false => value.clone(),
        };
        let values: Vec<String> = values.iter().map(spelled).collect();
        Ok(Self { key, set, if_exists, negated, test: Test::parse(kind, &values, variables)? })
    }

    /// Whether it holds. A variable without a value stands for nothing in a `Deny`; in an `Allow` it leaves open whether the
    /// condition holds, so that it never opens anything.
    pub(super) fn holds(&self, request: &Request<'_>, effect: Effect) -> Truth {
        if let Test::Absent(wanted) = &self.test {
            let absent = request.values(&self.key).next().is_none();
            return wanted.contains(&absent).into();
        }
        let test = |value: &str| {
            let truth = effect.settled(self.test.matches(value, request));
            if self.negated { truth.not() } else { truth }
        };
        if let Test::Date(order, dates) = &self.test
            && [Key::CURRENT_TIME, Key::EPOCH_TIME].contains(&self.key)
        {
            // Without a detour over text.
            let now = i64::try_from(request.now).unwrap_or(i64::MAX).saturating_mul(1000);
            let holds = dates.iter().any(|date| order.holds(&now, date));
            return (holds != self.negated).into();
        }
        let mut values = request.values(&self.key).peekable();
        if values.peek().is_none() {
            return (self.if_exists
                || match self.set {
                    None => self.negated,
                    Some(Set::All) => true,
                    Some(Set::Any) => false,
                })
            .into();
        }
        match self.set {
            Some(Set::Any) => Truth::any(values.map(|value| test(&value))),
            Some(Set::All) => Truth::any(values.map(|value| test(&value).not())).not(),
            // A key with several values and an operator for one: what is named is enough, what is excluded is too much.
            None if self.negated => Truth::any(values.map(|value| test(&value).not())).not(),
            None => Truth::any(values.map(|value| test(&value))),
        }
    }

    /// Whether it limits a request to fixed values of something that a client cannot choose (see [`super::Policy::is_public`]).
    pub(super) fn limits_who(&self) -> bool {
        if self.negated || self.if_exists || self.set == Some(Set::All) {
            return false;
        }
        let fixed = match &self.test {
            Test::Text(values) | Test::TextInAnyCase(values) | Test::Like(values) => {
                values.iter().all(Pattern::is_fixed)
            }
            Test::Arn(values) => values.iter().all(ArnPattern::is_fixed),
            Test::Address(ranges) => return self.key == Key::SOURCE_IP && !ranges.iter().any(Cidr::is_wide),
            _ => false,
        };
        let names = [Key::USER_ID, Key::USER_NAME, Key::PRINCIPAL_ARN, Key::SSE_KMS_KEY_ID];
        fixed && names.contains(&self.key)
    }
}

impl Test {
    fn parse(kind: Kind, values: &[String], variables: bool) -> Result<Self, PolicyFault> {
        let pattern =
            |wildcards: bool| move |text: &String| Pattern::parse(text, Syntax { wildcards, variables });
        let invalid = |text: &String| PolicyFault::ConditionValue { value: cut(text) };
        Ok(match kind {
            Kind::Text => Self::Text(values.iter().map(pattern(false)).collect::<Result<_, _>>()?),
            Kind::TextInAnyCase => {
                Self::TextInAnyCase(values.iter().map(pattern(false)).collect::<Result<_, _>>()?)
            }
            Kind::Like => Self::Like(values.iter().map(pattern(true)).collect::<Result<_, _>>()?),
            Kind::Arn => {
                let arn = |text: &String| ArnPattern::of(pattern(true)(text)?).ok_or_else(|| invalid(text));
                Self::Arn(values.iter().map(arn).collect::<Result<_, _>>()?)
            }
            Kind::Number(order) => Self::Number(order, parsed(values, number)?),
            Kind::Date(order) => Self::Date(order, parsed(values, dates::parse)?),
            Kind::Bool => Self::Bool(parsed(values, boolean)?),
            Kind::Binary => Self::Binary(parsed(values, binary)?),
            Kind::Address => {
                let range = |text: &String| {
                    Cidr::parse(text).ok_or_else(|| PolicyFault::Address { value: cut(text) })
                };
                Self::Address(values.iter().map(range).collect::<Result<_, _>>()?)
            }
            Kind::Absent => Self::Absent(parsed(values, boolean)?),
        })
    }

    /// Whether one of the policy's values fits, whatever the operator makes of it. A value of another type fits none.
    fn matches(&self, value: &str, request: &Request<'_>) -> Truth {
        match self {
            Self::Text(wanted) => Truth::any(wanted.iter().map(|wanted| match wanted.pieces() {
                [] => value.is_empty().into(),
                [Piece::Text(text)] => (**text == *value).into(),
                _ => wanted.text(request).map_or(Truth::Unknown, |text| (text == value).into()),
            })),
            Self::TextInAnyCase(wanted) => Truth::any(wanted.iter().map(|wanted| {
                wanted.text(request).map_or(Truth::Unknown, |text| same_in_any_case(&text, value).into())
            })),
            Self::Like(wanted) => Truth::any(wanted.iter().map(|wanted| wanted.matches(value, request))),
            Self::Arn(wanted) => Truth::any(wanted.iter().map(|wanted| wanted.matches(value, request))),
            Self::Number(order, wanted) => {
                one_of(number(value), wanted, |value, one| order.holds(value, one))
            }
            Self::Date(order, wanted) => {
                one_of(dates::parse(value), wanted, |value, one| order.holds(value, one))
            }
            Self::Bool(wanted) => one_of(boolean(value), wanted, PartialEq::eq),
            Self::Binary(wanted) => one_of(binary(value), wanted, PartialEq::eq),
            Self::Address(wanted) => {
                one_of(value.parse::<IpAddr>().ok(), wanted, |address, range| range.contains(*address))
            }
            Self::Absent(_) => Truth::No,
        }
    }
}

fn one_of<A, B>(value: Option<A>, wanted: &[B], fits: impl Fn(&A, &B) -> bool) -> Truth {
    value.is_some_and(|value| wanted.iter().any(|one| fits(&value, one))).into()
}

fn same_in_any_case(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
        || one.chars().flat_map(char::to_lowercase).eq(other.chars().flat_map(char::to_lowercase))
}

fn parsed<T>(values: &[String], parse: impl Fn(&str) -> Option<T>) -> Result<Box<[T]>, PolicyFault> {
    let one = |text: &String| parse(text).ok_or_else(|| PolicyFault::ConditionValue { value: cut(text) });
    values.iter().map(one).collect()
}

/// A decimal number without exponent.
fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let bounded = digits.starts_with(|first: char| first.is_ascii_digit()) && text.len() <= 64;
    if plain && bounded { text.parse().ok() } else { None }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn binary(text: &str) -> Option<Box<[u8]>> {
    STANDARD.decode(text).ok().map(Into::into)
}

/// What an operator compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    TextInAnyCase,
    Like,
    Arn,
    Number(Order),
    Date(Order),
    Bool,
    Binary,
    Address,
    Absent,
}

/// An operator by its name, and whether it asks for the opposite.
fn operator_named(name: &str) -> Option<(Kind, bool)> {
    Some(match name {
        "StringEquals" => (Kind::Text, false),
        "StringNotEquals" => (Kind::Text, true),
        "StringEqualsIgnoreCase" => (Kind::TextInAnyCase, false),
        "StringNotEqualsIgnoreCase" => (Kind::TextInAnyCase, true),
        "StringLike" => (Kind::Like, false),
        "StringNotLike" => (Kind::Like, true),
        "ArnEquals" | "ArnLike" => (Kind::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Kind::Arn, true),
        "NumericEquals" => (Kind::Number(Order::Equal), false),
        "NumericNotEquals" => (Kind::Number(Order::Equal), true),
        "NumericLessThan" => (Kind::Number(Order::Less), false),
        "NumericLessThanEquals" => (Kind::Number(Order::LessOrEqual), false),
        "NumericGreaterThan" => (Kind::Number(Order::Greater), false),
        "NumericGreaterThanEquals" => (Kind::Number(Order::GreaterOrEqual), false),
        "DateEquals" => (Kind::Date(Order::Equal), false),
        "DateNotEquals" => (Kind::Date(Order::Equal), true),
        "DateLessThan" => (Kind::Date(Order::Less), false),
        "DateLessThanEquals" => (Kind::Date(Order::LessOrEqual), false),
        "DateGreaterThan" => (Kind::Date(Order::Greater), false),
        "DateGreaterThanEquals" => (Kind::Date(Order::GreaterOrEqual), false),
        "Bool" => (Kind::Bool, false),
        "BinaryEquals" => (Kind::Binary, false),
        "IpAddress" => (Kind::Address, false),
        "NotIpAddress" => (Kind::Address, true),
        "Null" => (Kind::Absent, false),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
