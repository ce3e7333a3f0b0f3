//! What a server does at once: each face and each worker is a task. One that ends before it was asked to ends the server,
//! because a process that looks alive and serves nothing is worse than one that is started again.

use tokio::task::{JoinError, JoinSet};

use super::Failure;

/// Why a server stops without a signal.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoleEnded {
    #[error("{role} ended with an error: {source}")]
    Failed { role: &'static str, source: Failure },
    #[error("{role} ended by a defect of this program: {source}")]
    Panicked { role: &'static str, source: JoinError },
    #[error("{role} ended without being asked to")]
    Unasked { role: &'static str },
}

/// The tasks, by what they do.
#[derive(Default)]
pub(super) struct Roles(JoinSet<(&'static str, Result<(), RoleEnded>)>);

impl Roles {
    pub(super) fn start<E>(
        &mut self,
        role: &'static str,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) where
        E: Into<Failure> + Send + 'static,
    {
        self.0.spawn(async move {
            // A task inside, so that a panic keeps its name.
            let result = match tokio::spawn(work).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(RoleEnded::Failed { role, source: error.into() }),
                Err(source) => Err(RoleEnded::Panicked { role, source }),
            };
            (role, result)
        });
    }

    /// Waits until one ends that was to go on.
    pub(super) async fn first_to_end(&mut self) -> RoleEnded {
        match self.0.join_next().await {
            Some(Ok((_, Err(ended)))) => ended,
            Some(Ok((role, Ok(())))) => RoleEnded::Unasked { role },
            Some(Err(source)) => RoleEnded::Panicked { role: "a task", source },
            None => RoleEnded::Unasked { role: "everything" },
        }
    }

    /// Waits until all have ended, as they were asked to; answers the first that did not end well.
    pub(super) async fn all_to_end(mut self) -> Result<(), RoleEnded> {
        let mut first = Ok(());
        while let Some(ended) = self.0.join_next().await {
            let result = match ended {
                Ok((_, result)) => result,
                Err(source) => Err(RoleEnded::Panicked { role: "a task", source }),
            };
            first = first.and(result);
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;
    use std::io;

    use super::*;

    async fn defective() -> Result<(), Infallible> {
        panic!("as in a test")
    }

    #[tokio::test]
    async fn the_first_role_to_end_is_named_with_its_reason() {
        let others = || {
            let mut roles = Roles::default();
            roles.start("another", pending::<Result<(), Infallible>>());
            roles
        };
        let mut roles = others();
        roles.start("S3", defective());
        let told = roles.first_to_end().await.to_string();
        assert!(told.starts_with("S3 ended by a defect of this program"), "{told}");
        let mut roles = others();
        roles.start("the API", async { Err(io::Error::other("no more sockets")) });
        assert_eq!(roles.first_to_end().await.to_string(), "the API ended with an error: no more sockets");
        let mut roles = others();
        roles.start("the manager", async { Ok::<_, Infallible>(()) });
        assert_eq!(roles.first_to_end().await.to_string(), "the manager ended without being asked to");
    }

    #[tokio::test]
    async fn an_end_that_was_asked_for_waits_for_all_and_keeps_the_first_trouble() {
        let mut roles = Roles::default();
        roles.start("one", async { Ok::<_, Infallible>(()) });
        assert!(roles.all_to_end().await.is_ok());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut roles = Roles::default();
        roles.start("one", async { Err(io::Error::other("broken")) });
        roles.start("two", async move { sender.send(()).map_err(|()| io::Error::other("nobody waits")) });
        assert_eq!(roles.all_to_end().await.unwrap_err().to_string(), "one ended with an error: broken");
        receiver.await.expect("it waited for the second too");
    }
}
