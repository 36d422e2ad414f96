//! What staff does to the API tokens of others: end them, within the own rights.

use super::Staff;
use crate::account::persist;
use crate::api_token::{self, ending};
use crate::app::unavailable;
use crate::audit::{Action, Target};
use crate::claims::{SessionId, UserId};
use crate::error::Error;
use crate::store::Write;

impl Staff<'_> {
    /// Ends one API token of the user, on the very next request.
    ///
    /// # Errors
    /// `NotFound`, also when it is not one of the user's; `BeyondOwnRights`; as [`crate::app::App::commit`].
    pub async fn end_token(&self, owner: UserId, id: SessionId) -> Result<(), Error> {
        let act = async {
            let user = self.app.user(owner).await?;
            self.may_touch(&user)?;
            let tokens = api_token::list(self.app, owner).await?;
            let token = tokens.iter().find(|token| token.id == id).ok_or(Error::NotFound("API token"))?;
            let event = self.event(Action::EndToken).to(Target::user(owner, user.username.as_str()));
            let writes = vec![ending(token), Write::DropToken { owner, id }];
            self.commit(event.with(vec![format!("token={id}")]), writes).await
        };
        self.watched(Action::EndToken, Some(Target::user(owner, "")), act).await
    }

    /// Ends every API token of the user. The user's sessions go on.
    ///
    /// # Errors
    /// `NotFound`; `BeyondOwnRights`; as [`crate::app::App::commit`].
    pub async fn end_tokens(&self, id: UserId) -> Result<(), Error> {
        let act = persist(|| async {
            let user = self.app.user(id).await?;
            self.may_touch(&user)?;
            let tokens = self.app.store().api_tokens(id).await.map_err(unavailable)?;
            let mut writes: Vec<Write> = tokens.iter().map(ending).collect();
            writes.push(Write::DropTokens { owner: id, ids: tokens.iter().map(|token| token.id).collect() });
            let event = self.event(Action::EndTokens).to(Target::user(id, user.username.as_str()));
            self.commit(event, writes).await
        });
        self.watched(Action::EndTokens, Some(Target::user(id, "")), act).await
    }
}
