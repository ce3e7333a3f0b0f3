//! One row of each kind, for the tests of their readers.

use crate::row::RowFault;
use crate::rows::{Group, KeyBody, NamedPolicy, Owner, Token, User};
use crate::{Change, ChangeKind, Name, Policy, Scope};

/// A row's value, and its reader, which encodes again what it read.
pub(crate) struct Sample {
    pub(crate) value: Vec<u8>,
    pub(crate) again: fn(&[u8]) -> Result<Vec<u8>, RowFault>,
}

/// In the order of `docs/spec/iam.md` §2.
pub(crate) fn rows() -> [Sample; 6] {
    let name = |text: &str| Name::parse(text).expect("a name");
    let json = r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
    let policy = || Policy::parse_identity(json).expect("a policy");
    let user = User {
        id: "ABCDEFGHIJKLMNOP".into(),
        disabled: true,
        created_at: 7,
        policies: vec![name("a"), name("b")],
        groups: vec![],
    };
    let group = Group { created_at: 7, policies: vec![name("a")] };
    let named = NamedPolicy { created_at: 7, updated_at: 8, policy: policy() };
    let key = KeyBody {
        service_account: true,
        owner: Owner::Root,
        disabled: false,
        created_at: 7,
        expires_at: Some(9),
        policy: Some(policy()),
        description: "backups".into(),
    };
    let token = Token {
        salt: [1; 16],
        verifier: [2; 32],
        owner: Owner::User(name("bob")),
        scopes: vec![Scope::BucketsRead, Scope::IdentitiesWrite],
        created_at: 7,
        expires_at: None,
        description: String::new(),
    };
    let change = Change {
        seq: 1,
        at: 7,
        by: "root".into(),
        kind: ChangeKind::PolicyAttached,
        subject: "a".into(),
        target: Some("user/bob".into()),
    };
    [
        Sample { value: user.encode(), again: |value| Ok(User::decode(value)?.encode()) },
        Sample { value: group.encode(), again: |value| Ok(Group::decode(value)?.encode()) },
        Sample { value: named.encode(), again: |value| Ok(NamedPolicy::decode(value)?.encode()) },
        Sample { value: key.encode(), again: |value| Ok(KeyBody::decode(value)?.encode()) },
        Sample { value: token.encode(), again: |value| Ok(Token::decode(value)?.encode()) },
        Sample { value: change.encode(), again: |value| Ok(Change::decode(1, value)?.encode()) },
    ]
}
