//! Whatever closes an account to those who were in it, among log-ins; and names, which are given once.

use std::collections::HashSet;

use poem::http::StatusCode;
use serde_json::{Value, json};

use super::{Caller, ROUNDS, Ring, done, log_in, race, runner};
use crate::harness::PASSWORD;

/// A password that is set once.
fn password(round: usize, at: usize) -> String {
    format!("good sentence {round}, number {at}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_change_of_password_only_what_came_by_the_new_one_lives() {
    let ring = Ring::open().await;
    ring.run(|ring, lane, rounds| {
        Box::pin(async move {
            let name = format!("user{lane}");
            let mut present = PASSWORD.to_owned();
            ring.admin().await.make("/v1/users", log_in(&name, PASSWORD)).await;
            for round in 0..rounds {
                let caller = ring.log_in(&name, &present).await;
                let mut other = caller.anew();
                other.go_on("POST /v1/login", log_in(&name, &present)).await.is(StatusCode::OK);
                let nobody = caller.anew();
                let new = [password(round, 0), password(round, 1)];
                let change = |new: &String| json!({ "old_password": present, "new_password": new });
                let answers = race(
                    round,
                    vec![
                        runner(&caller, "POST /v1/password", change(&new[0])),
                        runner(&other, "POST /v1/password", change(&new[1])),
                        runner(&nobody, "POST /v1/login", log_in(&name, &present)),
                        runner(&caller, "POST /v1/session/renew", Value::Null),
                        runner(&nobody, "POST /v1/login", log_in(&name, &new[0])),
                        runner(&nobody, "POST /v1/login", log_in(&name, &present)),
                        runner(&caller, "PATCH /v1/session", json!({ "a": round })),
                        runner(&other, "POST /v1/permissions/check", json!({ "permissions": [] })),
                    ],
                )
                .await;
                // From one password there is one change.
                assert_eq!(done(&answers[..2]), 1, "{} {}", answers[0].status, answers[1].status);
                let [won, lost] = if answers[0].is_done() { [0, 1] } else { [1, 0] };
                for answer in answers {
                    answer.one_of(&[200, 401, 403]);
                }
                // All of it in the same second: it is no time that tells them apart.
                caller.ask_for_all().await;
                for gone in [&present, &new[lost]] {
                    nobody.call("POST /v1/login", log_in(&name, gone)).await.is(StatusCode::UNAUTHORIZED);
                }
                present.clone_from(&new[won]);
                caller.list_the_living(&name, &present).await;
            }
        })
    })
    .await;
    ring.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disabled_user_is_out_whatever_was_renewed_meanwhile_and_stays_out_when_enabled_again() {
    let ring = Ring::open().await;
    ring.run(|ring, lane, rounds| {
        Box::pin(async move {
            let name = format!("user{lane}");
            let admin = ring.admin().await;
            let user = admin.make("/v1/users", log_in(&name, PASSWORD)).await;
            let mut present = PASSWORD.to_owned();
            for round in 0..rounds {
                let caller = ring.log_in(&name, &present).await;
                let enter = || runner(&caller.anew(), "POST /v1/login", log_in(&name, &present));
                let set = |is_active: bool| runner(&admin, format!("PATCH {user}"), json!({ "is_active": is_active }));
                let change = json!({ "old_password": present, "new_password": password(round, 0) });
                let mut runners = vec![
                    runner(&caller, "POST /v1/session/renew", Value::Null),
                    enter(),
                    set(false),
                    runner(&caller, "PATCH /v1/session", json!({ "a": round })),
                    enter(),
                    runner(&caller, "GET /v1/me", Value::Null),
                ];
                let changes = round % 3 == 2;
                if changes {
                    runners.push(runner(&caller, "POST /v1/password", change));
                }
                // Let in again while it lasts.
                if round % 4 == 1 {
                    runners.push(set(true));
                }
                let answers = race(round, runners).await;
                if changes && answers[6].is_done() {
                    present = password(round, 0);
                }
                for answer in answers {
                    answer.one_of(&[200, 401, 403]);
                }
                caller.ask_for_all().await;
                admin.get(&user).await;
                caller.anew().call("POST /v1/login", log_in(&name, &present)).await.one_of(&[200, 401]);
                admin.call(&format!("PATCH {user}"), json!({ "is_active": true })).await.is(StatusCode::OK);
                caller.ask_for_all().await;
                caller.list_the_living(&name, &present).await;
            }
        })
    })
    .await;
    ring.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_of_a_user_who_is_deleted_while_logging_in_lives() {
    let ring = Ring::open().await;
    ring.run(|ring, lane, rounds| {
        Box::pin(async move {
            let admin = ring.admin().await;
            for round in 0..rounds {
                let name = format!("user{lane}.{round}");
                let user = admin.make("/v1/users", log_in(&name, PASSWORD)).await;
                let caller = ring.log_in(&name, PASSWORD).await;
                let enter = || runner(&caller.anew(), "POST /v1/login", log_in(&name, PASSWORD));
                let answers = race(
                    round,
                    vec![
                        enter(),
                        runner(&caller, "POST /v1/session/renew", Value::Null),
                        runner(&admin, format!("DELETE {user}"), Value::Null),
                        enter(),
                        runner(&caller, "PATCH /v1/me", json!({ "first_name": "B" })),
                        runner(&caller, "POST /v1/tokens", json!({ "name": "report", "permissions": [] })),
                    ],
                )
                .await;
                for answer in answers {
                    answer.one_of(&[200, 201, 204, 401]);
                }
                caller.ask_for_all().await;
                // Nobody comes back by the work that was on its way.
                admin.call(&format!("GET {user}"), Value::Null).await.is(StatusCode::NOT_FOUND);
                caller.anew().call("POST /v1/login", log_in(&name, PASSWORD)).await.is(StatusCode::UNAUTHORIZED);
            }
        })
    })
    .await;
    ring.judge().await;
}

/// One name in a hundred spellings that come to the same: by case, by width, by both.
fn spellings(name: &str) -> Vec<String> {
    let wide = |c: char| char::from_u32(u32::from(c) - 0x21 + 0xff01).unwrap();
    let spell = |n: usize| {
        let letter = |(at, c): (usize, char)| match (n >> (at % 7), at % 2) {
            (bits, 0) if bits & 1 == 1 => c.to_ascii_uppercase(),
            (bits, _) if bits & 1 == 1 => wide(c),
            _ => c,
        };
        name.chars().enumerate().map(letter).collect()
    };
    (0..100).map(spell).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_registrations_of_one_name_however_it_is_spelled_one_is_made() {
    let ring = Ring::open().await;
    ring.run(|ring, lane, rounds| {
        Box::pin(async move {
            for round in 0..rounds {
                let spellings = spellings(&format!("heidi{lane}of{round}"));
                assert!(spellings.iter().collect::<HashSet<_>>().len() >= 64);
                let nobody = ring.nobody();
                let register = |name: &String| runner(&nobody, "POST /v1/register", log_in(name, PASSWORD));
                let answers = race(round, spellings.iter().map(register).collect()).await;
                assert_eq!(done(&answers), 1, "accounts of one name");
                for answer in answers {
                    answer.one_of(&[201, 409]);
                }
                nobody.ask_for_all().await;
            }
        })
    })
    .await;
    let admin = ring.admin().await;
    let (mut users, mut path) = (0, "/v1/users?limit=200".to_owned());
    loop {
        let page = admin.get(&path).await;
        users += page["items"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/users?limit=200&cursor={next}");
    }
    assert_eq!(users, *ROUNDS + 1, "one of each name, and the superuser");
    ring.judge().await;
}

/// A user with an address.
async fn addressed(admin: &Caller, name: &str, address: &str) -> String {
    let mut new = log_in(name, PASSWORD);
    new["email"] = json!(address);
    admin.make("/v1/users", new).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_answers_to_a_mail_and_a_change_of_the_password_one_counts() {
    let ring = Ring::open().await;
    ring.run(|ring, lane, rounds| {
        Box::pin(async move {
            let (name, admin) = (format!("user{lane}"), ring.admin().await);
            let mut address = format!("{name}@example.com");
            let mut present = PASSWORD.to_owned();
            let user = addressed(&admin, &name, &address).await;
            for round in 0..rounds {
                let caller = ring.log_in(&name, &present).await;
                let nobody = caller.anew();
                let wish = json!({ "email": address });
                let token = ring.letter(runner(&nobody, "POST /v1/password/reset", wish), &address, &name).await;
                let new = [password(round, 0), password(round, 1), password(round, 2)];
                let reset = |new: &String| json!({ "token": token, "new_password": new });
                let change = json!({ "old_password": present, "new_password": new[2] });
                let other = format!("{name}.{round}@example.com");
                let mut runners = vec![
                    runner(&nobody, "POST /v1/password/reset/confirm", reset(&new[0])),
                    runner(&nobody, "POST /v1/password/reset/confirm", reset(&new[1])),
                ];
                // Each round in other company: whatever takes the ground from a reset.
                match round % 4 {
                    0 => {}
                    1 => runners.push(runner(&nobody, "POST /v1/login", log_in(&name, &present))),
                    2 => runners.push(runner(&caller, "POST /v1/password", change)),
                    _ => {
                        let patch = json!({ "email": other, "old_password": present });
                        runners.push(runner(&caller, "PATCH /v1/me", patch));
                        runners.push(runner(&caller, "POST /v1/session/renew", Value::Null));
                    }
                }
                runners.push(runner(&nobody, "POST /v1/login", log_in(&name, &new[0])));
                let answers = race(round, runners).await;
                let changes = [answers[0].is_done(), answers[1].is_done(), round % 4 == 2 && answers[2].is_done()];
                let won = changes.iter().position(|done| *done);
                let count = changes.iter().filter(|done| **done).count();
                assert!(count == 1 || (count == 0 && round % 2 == 1), "round {round}: {count} changes of a password");
                if round % 4 == 3 && answers[2].is_done() {
                    address = other;
                }
                for answer in answers {
                    answer.one_of(&[200, 204, 401, 403, 409, 422]);
                }
                if let Some(won) = won {
                    present.clone_from(&new[won]);
                }
                caller.ask_for_all().await;
                let on_record = admin.get(&user).await["email"].clone();
                assert_eq!(on_record, address.as_str());
                // Used up, whoever has won.
                if won.is_some() || round % 4 != 1 {
                    let late = json!({ "token": token, "new_password": password(round, 3) });
                    nobody.call("POST /v1/password/reset/confirm", late).await.is(StatusCode::UNPROCESSABLE_ENTITY);
                }
                nobody.call("POST /v1/login", log_in(&name, &present)).await.is(StatusCode::OK);
            }
        })
    })
    .await;
    ring.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_address_that_changes_while_it_is_proven_is_not_proven() {
    let ring = Ring::open().await;
    ring.run(|ring, lane, rounds| {
        Box::pin(async move {
            let (name, admin) = (format!("user{lane}"), ring.admin().await);
            let mut address = format!("{name}@example.com");
            let user = addressed(&admin, &name, &address).await;
            let caller = ring.log_in(&name, PASSWORD).await;
            for round in 0..rounds {
                let asking = runner(&caller, "POST /v1/email/verify", Value::Null);
                let token = ring.letter(asking, &address, &name).await;
                address = format!("{name}.{round}@example.com");
                let prove = || runner(&caller.anew(), "POST /v1/email/verify/confirm", json!({ "token": token }));
                let change = json!({ "email": address, "old_password": PASSWORD });
                let answers = race(round, vec![prove(), runner(&caller, "PATCH /v1/me", change), prove()]).await;
                assert!(
                    answers[1].is_done() && usize::from(answers[0].is_done()) + usize::from(answers[2].is_done()) < 2
                );
                let record = admin.get(&user).await;
                assert_eq!((&record["email"], &record["email_verified"]), (&json!(address), &json!(false)));
            }
        })
    })
    .await;
    ring.judge().await;
}
