//! The scenario, with the client by openapi-generator.
#![deny(warnings)]

use std::env::var;
use std::error::Error as StdError;
use std::fmt::Debug;

use reqwest::{Certificate, Client, StatusCode};
use serde_json::json;
use signet_client::apis::configuration::Configuration;
use signet_client::apis::{Error, account_api, devices_api, permissions_api, rights_api, session_api, users_api};
use signet_client::models::{
    Credentials, DataValue, Device, LoggedIn, NewAccount, NewPermission, NewValue, PermissionQuestion, Problem,
    ProblemCode, User, UserPatch,
};

/// A caller with a jar of its own.
fn caller() -> Result<Configuration, Box<dyn StdError>> {
    let authority = Certificate::from_pem(&std::fs::read(var("AUTHORITY")?)?)?;
    let client = Client::builder().cookie_store(true).tls_certs_merge([authority]).build()?;
    Ok(Configuration { base_path: var("BASE")?, client, ..Configuration::new() })
}

/// The problem that an operation was refused with.
fn problem<T: Debug, E: Debug>(answer: Result<T, Error<E>>) -> Result<Problem, Box<dyn StdError>> {
    let Err(Error::ResponseError(refusal)) = answer else { return Err(format!("{answer:?}").into()) };
    assert!(refusal.entity.is_some(), "{refusal:?}");
    let problem: Problem = serde_json::from_str(&refusal.content)?;
    assert_eq!(refusal.status, StatusCode::from_u16(problem.status.try_into()?)?);
    Ok(problem)
}

fn main() -> Result<(), Box<dyn StdError>> {
    scenario()?;
    readme_openapi_generator::main()
}

#[tokio::main(flavor = "current_thread")]
async fn scenario() -> Result<(), Box<dyn StdError>> {
    let (admin, user) = (caller()?, caller()?);
    let password = || "seven wooden boats".to_owned();
    let credentials = Credentials::new("admin".into(), var("PASSWORD")?);
    account_api::login_account(&admin, credentials).await?;

    let LoggedIn { user: registered, .. } =
        account_api::register_account(&user, NewAccount::new("bob".into(), password())).await?;
    let answer = account_api::login_account(&user, Credentials::new("bob".into(), password())).await?;
    let User { id, username, is_staff, .. } = *answer.user;
    assert_eq!((id.as_str(), username.as_str(), is_staff), (registered.id.as_str(), "bob", false));

    let cart = || Some(json!([7, { "size": "L" }, null]));
    let DataValue { value, found, .. } = session_api::set_session_data(&user, "cart", NewValue::new(cart())).await?;
    assert_eq!((value, found), (cart(), true));
    assert_eq!(session_api::get_session_data(&user, "cart", None).await?.value, cart());
    let missing = session_api::get_session_data(&user, "theme", Some("light")).await?;
    assert_eq!((missing.value, missing.found), (Some(json!("light")), false));
    let session = session_api::get_session(&user).await?;
    assert_eq!(session.data["cart"], cart().unwrap_or_default());
    assert!(session.issued_at < session.expires_at && session.expires_at < session.ends_at, "{session:?}");

    let vote = || Some("polls.vote");
    let question = || PermissionQuestion::new(vec!["polls.vote".into()]);
    let refused = problem(users_api::get_user(&user, &id).await)?;
    assert_eq!((refused.code, refused.status), (ProblemCode::Forbidden, 403));
    let refused = problem(rights_api::verify_request(&user, vote(), None, None, None, None, None).await)?;
    assert_eq!(refused.code, ProblemCode::Forbidden);
    assert!(!rights_api::check_permissions(&user, question()).await?.all);

    permissions_api::create_permission(&admin, NewPermission::new("polls.vote".into())).await?;
    let patch = UserPatch { user_permissions: Some(vec!["polls.vote".into()]), ..UserPatch::new() };
    let granted = users_api::update_user(&admin, &id, patch, None).await?;
    assert_eq!(granted.user_permissions, ["polls.vote"]);

    let answer = rights_api::check_permissions(&user, question()).await?;
    assert!(answer.all && answer.results["polls.vote"], "{answer:?}");
    rights_api::verify_request(&user, vote(), None, None, None, None, None).await?;

    let devices = devices_api::list_sessions(&user, None, None).await?.items;
    let current: Vec<&Device> = devices.iter().filter(|device| device.current).collect();
    let [device] = current[..] else { return Err(format!("{devices:?}").into()) };
    assert_eq!(Some(&device.id), session.id.as_ref());
    assert!(device.created_at < device.ends_at, "{device:?}");

    account_api::logout_account(&user).await?;
    let refused = problem(account_api::get_me(&user).await)?;
    assert_eq!((refused.code, refused.status), (ProblemCode::NotAuthenticated, 401));
    assert!(!refused.request_id.is_empty());

    Ok(())
}
