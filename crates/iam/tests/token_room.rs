//! How many tokens there may be.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use strongroom_iam::{IamError, Identity, TokenSpec};
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
