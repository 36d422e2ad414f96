//! What went wrong, in domain words.
//!
//! Owns the one error type below HTTP. Knows no status code and no caller: `api/problem.rs` holds the one
//! table that turns each of these facts into an answer.

/// Why a token was not accepted. For the log only: every caller gets the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// The request carries more than one cookie of the session's name.
    #[error("more than one session cookie")]
    DuplicateCookie,
    /// Longer than any token that is issued.
    #[error("longer than any token")]
    TooLong,
    /// Not three parts, or a header that none of the keys issues.
    #[error("not a header of a known key")]
    UnknownHeader,
    /// The signature does not match, or the claims are not of the expected shape.
    #[error("signature or claims do not verify")]
    Unverified,
    /// Its data was sealed by a key that is not there, or for another token.
    #[error("data that none of the keys opens")]
    Sealed,
    /// Issued by or for somebody else.
    #[error("another issuer or audience")]
    WrongAudience,
    /// Outside the time in which it is valid, or with times that are never issued together.
    #[error("outside its time")]
    OutsideItsTime,
    /// The session, the generation or the epoch was ended.
    #[error("revoked")]
    Revoked,
    /// The user was deleted or disabled.
    #[error("user gone or disabled")]
    UserGone,
    /// A session is there, but nobody is logged in to it; or there is none.
    #[error("nobody is logged in")]
    Anonymous,
}

/// One member of a request that cannot be accepted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The member, as a name or a path such as `permissions/0`.
    pub field: String,
    /// A code that a program can rely on.
    pub code: &'static str,
    /// What is wrong and how to mend it, for a person. Never quotes the input.
    pub message: String,
}

impl Fault {
    /// A fault of `field`.
    pub fn new(field: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), code, message: message.into() }
    }
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody, or nobody any more.
    #[error("not authenticated: {0}")]
    NotAuthenticated(TokenFault),
    /// A log-in that failed, for whatever reason.
    #[error("invalid credentials")]
    InvalidCredentials,
    /// The old password that a change of password asks for is not the right one.
    #[error("wrong old password")]
    WrongPassword,
    /// The token of a link that was sent by mail is faulty, over, used, or stands for what has changed.
    #[error("not the token of an open challenge")]
    InvalidToken,
    /// The caller is known and lacks a right. The text names what is lacking.
    #[error("forbidden: needs {0}")]
    Forbidden(String),
    /// The act would reach beyond the caller's own rights. The text says which.
    #[error("beyond the caller's own rights: {0}")]
    BeyondOwnRights(String),
    /// New accounts are made by an administrator only.
    #[error("registration is closed")]
    RegistrationClosed,
    /// There is no such thing, or not for this caller.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The name is in use. Says of what kind of thing.
    #[error("the name of the {0} is taken")]
    Taken(&'static str),
    /// Somebody else changed the thing in between.
    #[error("changed in between")]
    Changed,
    /// The caller's own rights were changed while the request was on its way.
    #[error("the caller's rights were changed meanwhile")]
    Outdated,
    /// `If-Match` names another state than the present one.
    #[error("precondition failed")]
    PreconditionFailed,
    /// The change would leave no active superuser.
    #[error("no active superuser would be left")]
    LastSuperuser,
    /// The session's cookie would be larger than a browser keeps.
    #[error("the cookie would take {used} of {allowed} bytes")]
    CookieTooLarge {
        /// Bytes that the `Set-Cookie` line would take.
        used: usize,
        /// Bytes that it may take.
        allowed: usize,
    },
    /// The rights would leave a user's session no room for data.
    #[error("the rights of the user would take {used} of {allowed} bytes")]
    RightsTooLarge {
        /// Bytes that the `Set-Cookie` line would take before any data.
        used: usize,
        /// Bytes that it may take.
        allowed: usize,
    },
    /// The API token would be longer than any that is looked at.
    #[error("the API token would take {used} of {allowed} bytes")]
    TokenTooLarge {
        /// Bytes that it would take.
        used: usize,
        /// Bytes that it may take.
        allowed: usize,
    },
    /// The user has as many API tokens as there may be, or ended as many as may be listed.
    #[error("too many API tokens")]
    TooManyTokens,
    /// Members of the request that cannot be accepted.
    #[error("invalid: {}", .0.iter().map(|f| f.code).collect::<Vec<_>>().join(", "))]
    Invalid(Vec<Fault>),
    /// It was tried too often.
    #[error("throttled for {retry_after} s")]
    Throttled {
        /// Seconds after which it may be tried again.
        retry_after: u64,
    },
    /// Too much work is waiting already.
    #[error("the queue for passwords is full")]
    Busy,
    /// The store cannot be relied on at the moment. The text is for the log.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// A fault of the server itself. The text is for the log.
    #[error("internal: {0}")]
    Internal(String),
}

impl Error {
    /// One faulty member.
    pub fn invalid(field: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Fault::new(field, code, message)])
    }
}
