//! Tokens for the REST API.

use std::sync::Arc;

use strongroom_seal::{Context, Label, MacKey, SecretKey, derive_from_secret};
use strongroom_store::GroupId;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::access_keys::{description, owner_of, target_of};
use crate::credentials::{ACCESS_KEY_CHARS, SECRET_CHARS, generate};
use crate::draft::Draft;
use crate::rows::{self, ID_LEN, Owner, Token, key_of};
use crate::users::{room, shown};
use crate::{ChangeKind, Iam, IamError, Identity, Secret, Thing, TokenInfo, TokenSpec};

const TOKENS_MAX: usize = 10_000;
/// Of one owner, so that nobody who may make its own takes the room of all others.
const TOKENS_OF_OWNER_MAX: usize = 256;
/// What tokens start with, so that scanners for leaked secrets find them.
const PREFIX: &str = "srt_";
/// 62^43 is more than 2^256.
const SECRET_LEN: usize = 43;
const TOKEN_LEN: usize = PREFIX.len() + ID_LEN + 1 + SECRET_LEN;

/// Changes are durable when these return. `by` is who is told of in the change; whether `by` may do it is for the caller to ask
/// with [`Iam::decide`].
impl Iam {
    /// Makes a token that acts for the root or a user, as far as its scopes go. The second value is the whole token, `srt_…`, shown this
    /// once: only a salted hash is kept.
    ///
    /// # Errors
    /// [`IamError::NotAParent`], [`IamError::NoSuch`], [`IamError::ExpiryPassed`], [`IamError::NoScope`], [`IamError::TooMany`], among others.
    pub async fn create_token(
        &self,
        by: &Identity,
        owner: &Identity,
        spec: TokenSpec<'_>,
    ) -> Result<(TokenInfo, Secret), IamError> {
        let owner = owner_of(owner)?;
        let description = description(spec.description)?;
        let TokenSpec { mut scopes, expires_at, .. } = spec;
        scopes.sort();
        scopes.dedup();
        if scopes.is_empty() {
            return Err(IamError::NoScope);
        }
        self.change(by, move |draft| {
            draft.check_owner(&owner, expires_at)?;
            draft.make_room_for_token(&owner)?;
            let random = &*draft.inner.options.random;
            let id = generate(ACCESS_KEY_CHARS, ID_LEN, random).to_string();
            let secret = generate(SECRET_CHARS, SECRET_LEN, random);
            // Reserved in full, because a text that grows leaves copies of the secret behind.
            let mut text = Zeroizing::new(String::with_capacity(TOKEN_LEN));
            text.push_str(PREFIX);
            text.push_str(&id);
            text.push('_');
            text.push_str(&secret);
            let mut salt = [0; 16];
            random.fill(&mut salt);
            let token = Token {
                salt,
                verifier: verifier(&text, &id, &salt),
                owner: owner.clone(),
                scopes: scopes.clone(),
                created_at: draft.now,
                expires_at,
                description: description.clone(),
            };
            let info = token.info(&id);
            draft.put(key_of(rows::TOKEN, &id), token.encode());
            Arc::make_mut(&mut draft.state.tokens).insert(id.clone(), Arc::new(token));
            draft.tell(ChangeKind::TokenCreated, id, Some(target_of(&owner)));
            let secret = Secret::parse(std::mem::take(&mut *text)).expect("a token is 64 letters and digits");
            Ok((info, secret))
        })
        .await
    }

    /// Ends a token, by its public name.
    ///
    /// # Errors
    /// [`IamError::NoSuch`], among others.
    pub async fn revoke_token(&self, by: &Identity, id: &str) -> Result<(), IamError> {
        let id = id.to_owned();
        self.change(by, move |draft| match draft.remove_token(&id) {
            true => Ok(()),
            false => Err(IamError::NoSuch { thing: Thing::Token, name: shown(&id) }),
        })
        .await
    }

    /// All tokens, in the order of their public names; those past their end as well.
    pub fn tokens(&self) -> Vec<TokenInfo> {
        self.0.state().tokens.iter().map(|(id, token)| token.info(id)).collect()
    }

    /// Whom a token acts for, and what it is good for. `None` if it is none, was revoked, is past its end, or its owner is gone or
    /// disabled.
    pub fn authenticate_token(&self, token: &str) -> Option<(Identity, TokenInfo)> {
        let (id, _) = token.strip_prefix(PREFIX).filter(|_| token.len() == TOKEN_LEN)?.split_once('_')?;
        let state = self.0.state();
        let stored = state.tokens.get(id)?;
        let right: bool = verifier(token, id, &stored.salt).ct_eq(&stored.verifier).into();
        let ended = stored.expires_at.is_some_and(|end| end <= self.0.now());
        let good = right && !ended && state.stands(&stored.owner);
        good.then(|| (stored.owner.identity(), stored.info(id)))
    }
}

impl Draft<'_> {
    /// Refuses one more token than there may be. Before that those that have ended go: of its owner, or of everybody.
    fn make_room_for_token(&mut self, owner: &Owner) -> Result<(), IamError> {
        let now = self.now;
        let of = |draft: &Self| draft.state.tokens.values().filter(|token| token.owner == *owner).count();
        let full = self.state.tokens.len() >= TOKENS_MAX;
        if full || of(self) >= TOKENS_OF_OWNER_MAX {
            let ended = |token: &Token| token.expires_at.is_some_and(|end| end <= now);
            let ended =
                self.state.tokens.iter().filter(|(_, token)| ended(token) && (full || token.owner == *owner));
            // As many as one owner can have: the command has a bound, and the next token makes more room.
            let ended: Vec<String> = ended.map(|(id, _)| id.clone()).take(TOKENS_OF_OWNER_MAX).collect();
            for id in ended {
                self.remove_token(&id);
            }
        }
        room("tokens", self.state.tokens.len(), TOKENS_MAX)?;
        room("tokens of one owner", of(self), TOKENS_OF_OWNER_MAX)
    }

    /// Removes a token; whether it was there.
    pub(crate) fn remove_token(&mut self, id: &str) -> bool {
        let Some(token) = Arc::make_mut(&mut self.state.tokens).remove(id) else { return false };
        self.delete(key_of(rows::TOKEN, id));
        self.tell(ChangeKind::TokenRevoked, id, Some(target_of(&token.owner)));
        true
    }
}

impl Token {
    fn info(&self, id: &str) -> TokenInfo {
        TokenInfo {
            id: id.to_owned(),
            owner: self.owner.identity(),
            scopes: self.scopes.clone(),
            description: self.description.clone(),
            created_at: self.created_at,
            expires_at: self.expires_at,
        }
    }
}

/// What is kept of a token (`docs/spec/iam.md` §2).
fn verifier(token: &str, id: &str, salt: &[u8; 16]) -> [u8; 32] {
    let context = Context::new(Label::TokenVerifier, GroupId::SYSTEM.0).and(&*key_of(rows::TOKEN, id));
    let key: SecretKey = derive_from_secret(token.as_bytes(), salt, &context);
    MacKey::new(&key).hash(b"verifier")
}
