//! One statement: what it says, and whether it says so of a request.

use super::actions::{self, Level};
use super::arn::ArnPattern;
use super::condition::Condition;
use super::error::{PolicyFault, cut};
use super::json::Json;
use super::pattern::{Pattern, Piece, Syntax, Truth};
use super::principal::Principals;
use super::request::Request;
use super::spelling;

/// What a statement that applies comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

impl Effect {
    /// What a comparison with something unknown comes to: in a `Deny` the unknown is like nothing, and in an `Allow` it stays unknown,
    /// and the statement does not apply.
    pub(super) fn settled(self, truth: Truth) -> Truth {
        match (self, truth) {
            (Self::Deny, Truth::Unknown) => Truth::No,
            _ => truth,
        }
    }
}

/// What kind of policy a statement is in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    Identity,
    Bucket(&'a str),
}

/// A statement, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    effect: Effect,
    /// `None` in a policy of an identity.
    principals: Option<(bool, Principals)>,
    not_actions: bool,
    /// In lower case.
    actions: Box<[Pattern]>,
    not_resources: bool,
    resources: Box<[ArnPattern]>,
    conditions: Box<[Condition]>,
}

/// Where in a statement something is wrong.
pub(super) type Fault = (&'static str, PolicyFault);

impl Statement {
    /// Reads a statement's members. `variables`: whether the policy's version knows them.
    pub(super) fn parse(
        members: &[(String, Json)],
        place: Place<'_>,
        variables: bool,
    ) -> Result<Self, Fault> {
        let bucket = matches!(place, Place::Bucket(_));
        for (name, _) in members {
            let known = match name.as_str() {
                "Sid" | "Effect" | "Action" | "NotAction" | "Resource" | "NotResource" | "Condition" => true,
                "Principal" | "NotPrincipal" => bucket,
                _ => false,
            };
            if !known {
                return Err(("", PolicyFault::Unknown { name: cut(name) }));
            }
        }
        let effect = match member(members, "Effect") {
            None => return Err(("Effect", PolicyFault::Missing { name: "Effect" })),
            Some(Json::Text(text)) if text == "Allow" => Effect::Allow,
            Some(Json::Text(text)) if text == "Deny" => Effect::Deny,
            Some(Json::Text(text)) => return Err(("Effect", PolicyFault::Effect { value: cut(text) })),
            Some(_) => return Err(("Effect", PolicyFault::Shape { name: "Effect" })),
        };
        let principals = match bucket {
            false => None,
            true => {
                let (negated, element, json) = either(members, "Principal", "NotPrincipal")?;
                if negated && effect == Effect::Allow {
                    return Err((element, PolicyFault::AllowNotPrincipal));
                }
                Some((negated, Principals::parse(json, element).map_err(|fault| (element, fault))?))
            }
        };
        let (not_actions, element, json) = either(members, "Action", "NotAction")?;
        let actions =
            texts(json, element).and_then(|texts| texts.iter().map(|text| action(text, bucket)).collect());
        let actions: Box<[Pattern]> = actions.map_err(|fault| (element, fault))?;
        let (not_resources, element, json) = either(members, "Resource", "NotResource")?;
        let syntax = Syntax { wildcards: true, variables };
        let resources = texts(json, element).and_then(|texts| {
            texts.iter().map(|text| resource(text, syntax, place)).collect::<Result<Vec<_>, _>>()
        });
        let resources = resources.map_err(|fault| (element, fault))?;
        if let Place::Bucket(_) = place
            && !not_actions
            && !not_resources
        {
            let levels: Vec<Level> =
                resources.iter().flat_map(|(_, levels)| levels.iter().copied()).collect();
            every_action_has_a_resource(&actions, &levels).map_err(|fault| ("Action", fault))?;
        }
        let conditions = match member(members, "Condition") {
            None => Vec::new(),
            Some(json) => conditions(json, variables).map_err(|fault| ("Condition", fault))?,
        };
        Ok(Self {
            effect,
            principals,
            not_actions,
            actions,
            not_resources,
            resources: resources.into_iter().map(|(pattern, _)| pattern).collect(),
            conditions: conditions.into(),
        })
    }

    pub(super) fn effect(&self) -> Effect {
        self.effect
    }

    /// Whether it applies to the request.
    pub(super) fn applies(&self, request: &Request<'_>) -> bool {
        // The cheapest first: most statements of a policy are about other actions.
        let action = self.actions.iter().any(|pattern| pattern.matches_lower(request.action));
        action != self.not_actions
            && self.includes(request)
            && self.is_about(request)
            && self.conditions.iter().all(|condition| condition.holds(request, self.effect) == Truth::Yes)
    }

    fn includes(&self, request: &Request<'_>) -> bool {
        match &self.principals {
            None => true,
            Some((false, principals)) => principals.include(request.identity, self.effect),
            Some((true, principals)) => !principals.spare(request.identity),
        }
    }

    fn is_about(&self, request: &Request<'_>) -> bool {
        let named = self.resources.iter().map(|pattern| pattern.matches(request.resource, request));
        let named = self.effect.settled(Truth::any(named));
        (if self.not_resources { named.not() } else { named }) == Truth::Yes
    }

    /// Whether it allows something to everybody.
    pub(super) fn is_public(&self) -> bool {
        let everybody = matches!(&self.principals, Some((false, principals)) if principals.are_everybody());
        self.effect == Effect::Allow && everybody && !self.conditions.iter().any(Condition::limits_who)
    }
}

pub(super) fn member<'a>(members: &'a [(String, Json)], name: &str) -> Option<&'a Json> {
    members.iter().find(|(other, _)| other == name).map(|(_, json)| json)
}

/// An element or its opposite, one of which has to be there.
fn either<'a>(
    members: &'a [(String, Json)],
    one: &'static str,
    opposite: &'static str,
) -> Result<(bool, &'static str, &'a Json), Fault> {
    match (member(members, one), member(members, opposite)) {
        (Some(json), None) => Ok((false, one, json)),
        (None, Some(json)) => Ok((true, opposite, json)),
        (Some(_), Some(_)) => Err((one, PolicyFault::Both { one, other: opposite })),
        (None, None) => Err((one, PolicyFault::Missing { name: one })),
    }
}

/// A text, or a list of at least one.
pub(super) fn texts(json: &Json, element: &'static str) -> Result<Vec<String>, PolicyFault> {
    let shape = || PolicyFault::Shape { name: element };
    match json {
        Json::Text(text) => Ok(vec![text.clone()]),
        Json::List(items) if !items.is_empty() => items
            .iter()
            .map(|item| match item {
                Json::Text(text) => Ok(text.clone()),
                _ => Err(shape()),
            })
            .collect(),
        _ => Err(shape()),
    }
}

fn action(text: &str, bucket: bool) -> Result<Pattern, PolicyFault> {
    let invalid = || PolicyFault::Action { value: cut(text) };
    if !actions::is_action(text) {
        return Err(invalid());
    }
    let pattern = Pattern::parse(&text.to_ascii_lowercase(), Syntax { wildcards: true, variables: false })?;
    if bucket && actions::levels(&pattern).is_empty() {
        return Err(invalid());
    }
    Ok(pattern)
}

/// A resource, and what it stands for in a bucket policy.
fn resource(text: &str, syntax: Syntax, place: Place<'_>) -> Result<(ArnPattern, Vec<Level>), PolicyFault> {
    let invalid = || PolicyFault::Resource { value: cut(text) };
    let pattern = Pattern::parse(&spelling::of_arn(text), syntax)?;
    let levels = match place {
        Place::Identity => Vec::new(),
        Place::Bucket(bucket) => levels(&pattern, bucket).ok_or_else(invalid)?,
    };
    Ok((ArnPattern::of(pattern).ok_or_else(invalid)?, levels))
}

/// `arn:aws:s3:::`, the bucket's name or a pattern that starts with a piece of it, and perhaps a slash and a pattern of keys.
fn levels(pattern: &Pattern, bucket: &str) -> Option<Vec<Level>> {
    let parts = pattern.split(':', 6)?;
    let fixed = ["arn", "aws", "s3", "", ""];
    if !parts.iter().zip(fixed).all(|(part, fixed)| part.as_fixed() == Some(fixed)) {
        return None;
    }
    let Some(Piece::Text(start)) = parts[5].pieces().first() else { return None };
    let named = start.split_once('/').map_or(&**start, |(named, _)| named);
    if start.contains('/') {
        return (named == bucket).then(|| vec![Level::Object]);
    }
    // Without a slash in the first piece, what follows may bring one.
    let more = parts[5].pieces().len() > 1;
    match more {
        false => (named == bucket).then(|| vec![Level::Bucket]),
        true => bucket.starts_with(named).then(|| vec![Level::Bucket, Level::Object]),
    }
}

fn every_action_has_a_resource(actions: &[Pattern], resources: &[Level]) -> Result<(), PolicyFault> {
    let orphan =
        actions.iter().find(|action| !actions::levels(action).iter().any(|level| resources.contains(level)));
    match orphan {
        None => Ok(()),
        Some(action) => {
            let text = action.pieces().iter().map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::One => "?",
                Piece::Many | Piece::Variable { .. } => "*",
            });
            Err(PolicyFault::ActionWithoutResource { action: cut(&text.collect::<String>()) })
        }
    }
}

fn conditions(json: &Json, variables: bool) -> Result<Vec<Condition>, PolicyFault> {
    let shape = || PolicyFault::Shape { name: "Condition" };
    let Json::Object(operators) = json else { return Err(shape()) };
    let mut conditions = Vec::new();
    for (operator, keys) in operators {
        let Json::Object(keys) = keys else { return Err(shape()) };
        for (key, values) in keys {
            let values = match values {
                Json::List(items) if items.is_empty() => return Err(shape()),
                Json::List(items) => items.as_slice(),
                one => std::slice::from_ref(one),
            };
            let text = |value: &Json| match value {
                Json::Text(text) | Json::Number(text) => Ok(text.clone()),
                Json::Bool(value) => Ok(value.to_string()),
                Json::Null | Json::List(_) | Json::Object(_) => Err(shape()),
            };
            let values = values.iter().map(text).collect::<Result<Vec<_>, _>>()?;
            conditions.push(Condition::parse(operator, key, &values, variables)?);
        }
    }
    Ok(conditions)
}
