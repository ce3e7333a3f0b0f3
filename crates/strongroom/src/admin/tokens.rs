//! `admin token`.

use clap::{Args, Subcommand};
use reqwest::Method;
use strongroom_api::rest::{NewToken, Token, TokenList, TokenScope, TokenWithSecret};

use super::answer::{Done, Output};
use super::connection::Connection;
use super::error::AdminFailure;
use super::expires::{self, Expires};
use super::table::{Side, Table};

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token; it is shown this once
    Create(CreateArgs),
    /// Show all tokens
    List,
    /// Do not take a token any more
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// What it may be used for; may be given several times: buckets:read, buckets:write, objects:read, objects:write,
    /// identities:read, identities:write, or all
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = scope, value_delimiter = ',')]
    scopes: Vec<Scopes>,
    /// The user whose permissions it has [default: you; at the server's own socket, root]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// How long it is taken: 30d, 12h, or never
    #[arg(long, value_name = "TIME", value_parser = expires::parse, default_value = "90d")]
    expires: Expires,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
}

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// Its id, as `list` shows it
    #[arg(value_name = "ID")]
    id: String,
}

/// One scope, or all.
#[derive(Debug, Clone)]
struct Scopes(Vec<TokenScope>);

fn scope(text: &str) -> Result<Scopes, String> {
    if text == "all" {
        return Ok(Scopes(TokenScope::ALL.to_vec()));
    }
    let found = TokenScope::ALL.into_iter().find(|scope| scope.as_str() == text);
    found.map(|scope| Scopes(vec![scope])).ok_or_else(|| {
        let names: Vec<_> = TokenScope::ALL.iter().map(|scope| scope.as_str()).collect();
        format!("write one of {} or all", names.join(", "))
    })
}

pub(super) async fn run(
    door: &Connection,
    output: Output,
    command: TokenCommand,
) -> Result<(), AdminFailure> {
    match command {
        TokenCommand::Create(args) => {
            let new = NewToken {
                user: args.user,
                scopes: args.scopes.into_iter().flat_map(|scopes| scopes.0).collect(),
                description: args.description,
                // The server takes nothing for its default, which is not never.
                expires_in_seconds: Some(args.expires.0.unwrap_or(0)),
            };
            let made: TokenWithSecret = door.call(Method::POST, &["tokens"], Some(&new)).await?;
            output.show(&made, |made| {
                format!(
                    "export STRONGROOM_TOKEN={}\n# The token is shown this once; it cannot be read again. To revoke it: strongroom \
                     admin token revoke {}\n",
                    made.token, made.info.id
                )
            })
        }
        TokenCommand::List => {
            let list: TokenList = door.get_all(&["tokens"]).await?;
            output.show(&list, |list| table(&list.tokens))
        }
        TokenCommand::Revoke(RevokeArgs { id }) => {
            door.carry_out(Method::DELETE, &["tokens", &id]).await?;
            output.show(&Done { done: "revoked", what: "token", name: &id }, Done::words)
        }
    }
}

/// A token's scopes in a cell.
pub(super) fn scopes(token: &Token) -> String {
    let names: Vec<_> = token.scopes.iter().map(|scope| scope.as_str()).collect();
    names.join(", ")
}

fn table(tokens: &[Token]) -> String {
    let mut table = Table::new([
        ("TOKEN", Side::Left),
        ("OF", Side::Left),
        ("SCOPES", Side::Left),
        ("EXPIRES", Side::Left),
        ("DESCRIPTION", Side::Left),
    ]);
    for token in tokens {
        table.row([
            token.id.clone(),
            token.owner.clone(),
            scopes(token),
            expires::shown(token.expires.as_ref()),
            token.description.clone(),
        ]);
    }
    table.render()
}
