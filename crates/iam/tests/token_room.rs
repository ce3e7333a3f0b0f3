//! How many tokens and service accounts there may be.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use strongroom_iam::{CredentialFault, IamError, Identity, ServiceAccountSpec, TokenSpec};
use support::{NOW, open, token_spec, user};

const BY: &Identity = &Identity::Root;

#[tokio::test]
async fn nobody_takes_the_room_of_others_tokens_and_ended_ones_make_room() {
    let (_dir, _store, iam, clock) = open();
    for name in ["bob", "eve"] {
        iam.create_user(BY, name).await.unwrap();
    }
    let (bob, eve) = (user("bob"), user("eve"));
    let until = |end| TokenSpec { expires_at: Some(end), ..token_spec() };
    let (_, others) = iam.create_token(BY, &eve, until(NOW + 10)).await.unwrap();
    for number in 0..256 {
        let spec = if number < 3 { until(NOW + 10) } else { token_spec() };
        iam.create_token(BY, &bob, spec).await.unwrap();
    }
    let one_more = iam.create_token(BY, &bob, token_spec()).await;
    assert!(matches!(one_more, Err(IamError::TooMany { most: 256, .. })), "{one_more:?}");
    iam.create_token(BY, &eve, token_spec()).await.unwrap();
    assert!(iam.authenticate_token(others.dangerous_expose()).is_some());

    clock.advance(10);
    iam.create_token(BY, &bob, token_spec()).await.unwrap();
    let of = |owner: &Identity| iam.tokens().iter().filter(|token| token.owner == *owner).count();
    assert_eq!((of(&bob), of(&eve)), (254, 2), "what ended went, of its owner alone");
}

#[tokio::test]
async fn service_accounts_that_have_ended_are_shown_until_their_room_is_needed() {
    let (_dir, _store, iam, clock) = open();
    for name in ["bob", "eve"] {
        iam.create_user(BY, name).await.unwrap();
    }
    let (bob, eve) = (user("bob"), user("eve"));
    let until = |end| ServiceAccountSpec { expires_at: end, ..ServiceAccountSpec::default() };
    let others = iam.create_service_account(BY, &eve, until(Some(NOW + 10))).await.unwrap();
    iam.create_access_key(BY, "bob").await.unwrap();
    let mut made = Vec::new();
    for number in 0..99 {
        let spec = until(Some(NOW + 10).filter(|_| number < 3));
        made.push(iam.create_service_account(BY, &bob, spec).await.unwrap());
    }
    let one_more = iam.create_service_account(BY, &bob, until(None)).await;
    assert!(matches!(one_more, Err(IamError::TooMany { most: 100, .. })), "{one_more:?}");

    clock.advance(10);
    let of = |owner: &Identity| iam.access_keys(Some(owner)).len();
    assert_eq!((of(&bob), of(&eve)), (100, 1), "what ended is still shown");
    let ended = made[0].access_key.as_str();
    assert_eq!(iam.look_up(ended, None).unwrap_err(), CredentialFault::Expired);
    iam.create_access_key(BY, "bob").await.unwrap();
    assert_eq!((of(&bob), of(&eve)), (98, 1), "it went when its room was needed, of its owner alone");
    assert_eq!(iam.look_up(ended, None).unwrap_err(), CredentialFault::Unknown);
    assert_eq!(iam.look_up(others.access_key.as_str(), None).unwrap_err(), CredentialFault::Expired);
    assert!(iam.look_up(made[98].access_key.as_str(), None).is_ok());
}
