//! A forgotten password set anew, and an address verified, by a link sent by mail.

use poem::Request;
use poem::web::Data;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};

use crate::api::Group;
use crate::api::body::Body;
use crate::api::caller::{LoginRequired, SentToken, client};
use crate::api::problem::Problem;
use crate::api::visit::Visit;
use crate::recovery::{self, Asked};

/// Where the mail shall go.
#[derive(Object)]
#[oai(example)]
pub struct ResetWish {
    /// The address of the account.
    email: String,
}

impl Example for ResetWish {
    fn example() -> Self {
        Self { email: "alice@example.com".to_owned() }
    }
}

/// A new password, in the name of the link that was sent by mail.
#[derive(Object)]
#[oai(example)]
pub struct NewPassword {
    /// What stands behind `#token=` in the link.
    token: String,
    /// The new password, of at least 8 characters.
    new_password: String,
}

impl Example for NewPassword {
    fn example() -> Self {
        Self { token: TOKEN.to_owned(), new_password: "another short sentence".to_owned() }
    }
}

/// The token of the link that was sent by mail.
#[derive(Object)]
#[oai(example)]
pub struct AddressProof {
    /// What stands behind `#token=` in the link.
    token: String,
}

impl Example for AddressProof {
    fn example() -> Self {
        Self { token: TOKEN.to_owned() }
    }
}

/// The begin of a token, long enough to be known as one.
const TOKEN: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6IjIwMzAtMDMtMTciLCJ0eXAiOiJyZXNldCtqd3QifQ";

/// The wish is taken.
#[derive(ApiResponse)]
pub enum ResetWished {
    /// If there is an account to reset, a mail is on its way.
    #[oai(status = 202)]
    Accepted,
}

/// The mail is on its way, or not needed.
#[derive(ApiResponse)]
pub enum VerificationWished {
    /// A mail is on its way.
    #[oai(status = 202)]
    Accepted,
    /// The address is verified already.
    #[oai(status = 204)]
    Verified,
}

/// The link did what it was for.
#[derive(ApiResponse)]
pub enum Confirmed {
    /// Done, and the link is used up.
    #[oai(status = 204)]
    Done,
}

/// Operations of what is confirmed by mail.
pub struct RecoveryApi;

#[OpenApi(tag = "Group::Account")]
impl RecoveryApi {
    /// Forgot my password
    ///
    /// Sends a link to the address of every active account that has it. The answer is the same for every address,
    /// and does not wait for the mail.
    #[oai(path = "/v1/password/reset", method = "post", operation_id = "request_password_reset")]
    async fn request_password_reset(
        &self,
        visit: Data<&Visit>,
        request: &Request,
        Body(wish): Body<ResetWish>,
    ) -> Result<ResetWished, Problem> {
        recovery::request_reset(visit.app(), &wish.email, &client(request))?;
        Ok(ResetWished::Accepted)
    }

    /// Set a forgotten password
    ///
    /// Takes the token of the newest link, once, within 30 minutes, unless there was a log-in or a change of password
    /// or address since. Ends every session of the account; log in with the new password. A password that is refused
    /// leaves the link as it is.
    #[oai(path = "/v1/password/reset/confirm", method = "post", operation_id = "confirm_password_reset")]
    async fn confirm_password_reset(
        &self,
        visit: Data<&Visit>,
        sent: SentToken,
        request: &Request,
        Body(new): Body<NewPassword>,
    ) -> Result<Confirmed, Problem> {
        let app = visit.app();
        // Whose the browser's cookie is, before that session has ended.
        let before = sent.text.as_deref().and_then(|text| app.tokens().read(text, app.now())?.sub);
        let user = recovery::reset_password(app, &new.token, &new.new_password, &client(request)).await?;
        if before == Some(user) {
            visit.clear();
        }
        Ok(Confirmed::Done)
    }

    /// Verify my address
    ///
    /// Sends a link to the address of the account.
    #[oai(path = "/v1/email/verify", method = "post", operation_id = "request_email_verification")]
    async fn request_email_verification(
        &self,
        visit: Data<&Visit>,
        caller: LoginRequired,
        request: &Request,
    ) -> Result<VerificationWished, Problem> {
        Ok(match recovery::request_verification(visit.app(), &caller, &client(request)).await? {
            Asked::Sent => VerificationWished::Accepted,
            Asked::Verified => VerificationWished::Verified,
        })
    }

    /// Confirm an address
    ///
    /// Takes the token of the newest link, once, within 30 minutes, unless the address was changed since. Needs no
    /// log-in.
    #[oai(path = "/v1/email/verify/confirm", method = "post", operation_id = "confirm_email_verification")]
    async fn confirm_email_verification(
        &self,
        visit: Data<&Visit>,
        request: &Request,
        Body(proof): Body<AddressProof>,
    ) -> Result<Confirmed, Problem> {
        recovery::verify_address(visit.app(), &proof.token, &client(request)).await?;
        Ok(Confirmed::Done)
    }
}
