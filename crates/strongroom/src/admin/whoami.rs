//! `admin whoami`.

use strongroom_api::rest::WhoAmI;

use super::answer::{Output, facts};
use super::connection::Connection;
use super::error::AdminFailure;
use super::{expires, tokens};

pub(super) async fn run(door: &Connection, output: Output) -> Result<(), AdminFailure> {
    let found: WhoAmI = door.get(&["whoami"]).await?;
    output.show(&found, |found| {
        let mut of = vec![("identity", found.identity.clone())];
        match &found.token {
            None => of.push(("by", "the server's own socket, where no token is needed".to_owned())),
            Some(token) => of.extend([
                ("token", token.id.clone()),
                ("scopes", tokens::scopes(token)),
                ("expires", expires::shown(token.expires.as_ref())),
            ]),
        }
        facts(&of)
    })
}
