//! The scenario, with the client by progenitor.
#![deny(warnings)]

use std::env::var;
use std::error::Error as StdError;
use std::fmt::Debug;

use futures_util::TryStreamExt;
use progenitor_client::{ByteStream, Error};
use readme_progenitor::{Client, types};
use reqwest::Certificate;
use serde_json::json;
use types::{Credentials, Device, NewAccount, NewPermission, NewValue, Problem, ProblemCode, User};

/// A caller with a jar of its own.
fn caller() -> Result<Client, Box<dyn StdError>> {
    let authority = Certificate::from_pem(&std::fs::read(var("AUTHORITY")?)?)?;
    let client = reqwest::Client::builder().cookie_store(true).tls_certs_merge([authority]).build()?;
    Ok(Client::new_with_client(&var("BASE")?, client))
}

/// The problem that an operation was refused with.
async fn problem<T: Debug>(answer: Result<T, Error<ByteStream>>) -> Result<Problem, Box<dyn StdError>> {
    let Err(Error::ErrorResponse(refusal)) = answer else { return Err(format!("{answer:?}").into()) };
    let status = refusal.status();
    let body: Vec<_> = refusal.into_inner_stream().try_collect().await?;
    let problem: Problem = serde_json::from_slice(&body.concat())?;
    assert_eq!(i64::from(status.as_u16()), i64::from(problem.status));
    Ok(problem)
}

fn main() -> Result<(), Box<dyn StdError>> {
    scenario()?;
    readme_progenitor::main()
}

#[tokio::main(flavor = "current_thread")]
async fn scenario() -> Result<(), Box<dyn StdError>> {
    let (admin, user) = (caller()?, caller()?);
    let password = || "seven wooden boats".to_owned();
    admin.login_account(&Credentials { username: "admin".into(), password: var("PASSWORD")? }).await?;

    let account = NewAccount { username: "bob".into(), password: password(), email: None };
    let registered = user.register_account(&account).await?.into_inner().user;
    let answer = user.login_account(&Credentials { username: "bob".into(), password: password() }).await?;
    let User { id, username, is_staff, .. } = answer.into_inner().user;
    assert_eq!((id.as_str(), username.as_str(), is_staff), (registered.id.as_str(), "bob", false));

    let cart = || json!([7, { "size": "L" }, null]);
    let written = user.set_session_data("cart", &NewValue { value: cart() }).await?;
    assert_eq!((&written.value, written.found), (&cart(), true));
    assert_eq!(user.get_session_data("cart", None).await?.value, cart());
    let missing = user.get_session_data("theme", Some("light")).await?;
    assert_eq!((&missing.value, missing.found), (&json!("light"), false));
    let session = user.get_session().await?.into_inner();
    assert_eq!(session.data["cart"], cart());
    assert!(session.issued_at < session.expires_at && session.expires_at < session.ends_at, "{session:?}");

    let question = types::PermissionQuestion { permissions: vec!["polls.vote".into()], modules: Vec::new() };
    let refused = problem(user.get_user(&id).await).await?;
    assert_eq!((refused.code, refused.status), (ProblemCode::Forbidden, 403));
    let refused = problem(user.verify_request(None, None, None, Some("polls.vote"), None, None).await).await?;
    assert_eq!(refused.code, ProblemCode::Forbidden);
    assert!(!user.check_permissions(&question).await?.all);

    admin.create_permission(&NewPermission { name: "polls.vote".parse()?, description: None }).await?;
    let patch = types::UserPatch { user_permissions: vec!["polls.vote".parse()?], ..Default::default() };
    let granted = admin.update_user(&id, None, &patch).await?;
    assert_eq!(granted.user_permissions, ["polls.vote"]);

    let answer = user.check_permissions(&question).await?;
    assert!(answer.all && answer.results["polls.vote"], "{answer:?}");
    user.verify_request(None, None, None, Some("polls.vote"), None, None).await?;

    let devices = user.list_sessions(None, None).await?.into_inner().items;
    let current: Vec<&Device> = devices.iter().filter(|device| device.current).collect();
    let [device] = current[..] else { return Err(format!("{devices:?}").into()) };
    assert_eq!(Some(&device.id), session.id.as_ref());
    assert!(device.created_at < device.ends_at, "{device:?}");

    user.logout_account().await?;
    let refused = problem(user.get_me().await).await?;
    assert_eq!((refused.code, refused.status), (ProblemCode::NotAuthenticated, 401));
    assert!(!refused.request_id.is_empty());

    Ok(())
}
