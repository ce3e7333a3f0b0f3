//! What may be done (`docs/spec/iam.md` §4).

use std::borrow::Cow;

use crate::policy::Verdict;
use crate::policy::request::{Request, id_of};
use crate::state::State;
use crate::{Ask, Decision, Denial, Iam, Identity, Policy, PolicyKind};

impl Iam {
    /// Decides, by what is known at this moment of users, groups and policies. `bucket_policy` is that of the bucket that the
    /// resource is or is in.
    pub fn decide(&self, ask: &Ask<'_>, bucket_policy: Option<&Policy>) -> Decision {
        match self.permit(ask, bucket_policy) {
            Ok(()) => Decision::Allow,
            Err(Denial { explicit: true, .. }) => Decision::ExplicitDeny,
            Err(Denial { explicit: false, .. }) => Decision::ImplicitDeny,
        }
    }

    /// [`Self::decide`] for who tells why not.
    ///
    /// # Errors
    /// [`Denial`], if it may not be done.
    pub fn permit(&self, ask: &Ask<'_>, bucket_policy: Option<&Policy>) -> Result<(), Denial> {
        self.0.state().permit(ask, bucket_policy, self.0.now())
    }

    /// What conditions know as `aws:userid`: no other user has or had it. Nothing for an identity whose user is gone.
    pub fn user_id(&self, identity: &Identity) -> Option<String> {
        let state = self.0.state();
        let user = identity.user().and_then(|name| state.users.get(name));
        id_of(identity, user.map(|user| user.id.as_str())).map(Cow::into_owned)
    }

    /// Whether what an identity's own policies say may depend on the tags of the object that is there.
    pub fn asks_for_tags(&self, identity: &Identity) -> bool {
        self.0.state().asks_for_tags(identity)
    }
}

/// What an identity's own policies come to.
struct Own {
    denied: Option<PolicyKind>,
    /// Whether each of the policies that only bound it allows what is asked.
    within_bounds: bool,
    /// Whether a policy of its owner allows it, or the owner is the root.
    granted: bool,
}

impl State {
    fn permit(&self, ask: &Ask<'_>, bucket_policy: Option<&Policy>, now: u64) -> Result<(), Denial> {
        let action = ask.action.to_ascii_lowercase();
        let user = ask.identity.user().and_then(|name| self.users.get(name));
        let resource = match ask.resource.as_str() {
            // What policies of S3 say for it.
            "*" if action.starts_with("s3:") => "arn:aws:s3:::*",
            resource => resource,
        };
        let request = Request {
            action: &action,
            resource,
            identity: ask.identity,
            user_id: user.map(|user| user.id.as_str()),
            facts: ask.facts,
            now,
        };
        let implicit = |by| Err(Denial { explicit: false, by });
        let Some(own) = self.own(ask.identity, &request) else { return implicit(PolicyKind::Identity) };
        let of_bucket = match (ask.identity, bucket_policy) {
            // Who has to be able to repair a bucket policy is not bound by it.
            (Identity::Root, _) | (_, None) => Verdict::Silent,
            (_, Some(policy)) => policy.evaluate(&request),
        };
        if let Some(by) = own.denied.or((of_bucket == Verdict::Deny).then_some(PolicyKind::Resource)) {
            return Err(Denial { explicit: true, by });
        }
        match own.granted || of_bucket == Verdict::Allow {
            false => implicit(PolicyKind::Identity),
            true if own.within_bounds => Ok(()),
            true => implicit(PolicyKind::Session),
        }
    }

    fn asks_for_tags(&self, identity: &Identity) -> bool {
        match identity {
            Identity::Anonymous | Identity::Root => false,
            Identity::User { name } => {
                let user = self.users.get(name);
                user.is_some_and(|user| self.policies_of(user).any(Policy::asks_for_tags))
            }
            Identity::ServiceAccount { access_key, parent } => {
                let bound = self.keys.get(access_key).and_then(|key| key.body.policy.as_ref());
                bound.is_some_and(Policy::asks_for_tags) || self.asks_for_tags(parent)
            }
            Identity::Session { parent, policy, .. } => {
                policy.as_deref().is_some_and(Policy::asks_for_tags) || self.asks_for_tags(parent)
            }
        }
    }

    /// `None` if the identity, or one that it acts for, is gone, disabled or past its end.
    fn own(&self, identity: &Identity, request: &Request<'_>) -> Option<Own> {
        Some(match identity {
            Identity::Anonymous => Own { denied: None, within_bounds: true, granted: false },
            Identity::Root => Own { denied: None, within_bounds: true, granted: true },
            Identity::User { name } => {
                let user = self.users.get(name).filter(|user| !user.disabled)?;
                let mut own = Own { denied: None, within_bounds: true, granted: false };
                for policy in self.policies_of(user) {
                    match policy.evaluate(request) {
                        Verdict::Deny => own.denied = Some(PolicyKind::Identity),
                        Verdict::Allow => own.granted = true,
                        Verdict::Silent => {}
                    }
                }
                own
            }
            Identity::ServiceAccount { access_key, parent } => {
                let key = self.keys.get(access_key)?;
                self.usable(key, request.now).ok()?;
                let owned = key.body.service_account && key.body.owner.identity() == **parent;
                let own = owned.then(|| self.own(parent, request))??;
                own.bounded(key.body.policy.as_ref(), request)
            }
            Identity::Session { parent, policy, .. } => {
                self.own(parent, request)?.bounded(policy.as_deref(), request)
            }
        })
    }
}

impl Own {
    fn bounded(mut self, policy: Option<&Policy>, request: &Request<'_>) -> Self {
        match policy.map(|policy| policy.evaluate(request)) {
            None | Some(Verdict::Allow) => {}
            Some(Verdict::Deny) => self.denied = self.denied.or(Some(PolicyKind::Session)),
            Some(Verdict::Silent) => self.within_bounds = false,
        }
        self
    }
}
