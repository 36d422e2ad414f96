//! Rights that are given and taken at the same time, and who may give them.

use poem::http::StatusCode;
use serde_json::{Value, json};

use super::{Caller, PERMISSIONS, ROUNDS, Ring, done, log_in, race, runner};
use crate::harness::{PASSWORD, at_once};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_grant_and_a_withdrawal_at_the_same_time_every_token_has_the_rights_of_the_record() {
    let ring = Ring::open().await;
    ring.run(|ring, lane, rounds| {
        Box::pin(async move {
            let (name, admin) = (format!("user{lane}"), ring.admin().await);
            let user = admin.make("/v1/users", log_in(&name, PASSWORD)).await;
            let group_name = format!("group{lane}");
            let group = admin.make("/v1/groups", json!({ "name": group_name, "permissions": [] })).await;
            for round in 0..rounds {
                // Tokens of some rounds ago are as good as those of now.
                let caller = ring.log_in(&name, PASSWORD).await;
                let direct =
                    |names: Value| runner(&admin, format!("PATCH {user}"), json!({ "user_permissions": names }));
                let member = |names: Value| runner(&admin, format!("PATCH {user}"), json!({ "groups": names }));
                let grants = |names: Value| runner(&admin, format!("PATCH {group}"), json!({ "permissions": names }));
                let mut runners = match round % 3 {
                    0 => vec![direct(json!(["polls.vote"])), direct(json!([])), direct(json!(["polls.close"]))],
                    1 => vec![member(json!([group_name])), grants(json!(["polls.vote"])), member(json!([]))],
                    _ => vec![
                        grants(json!(["polls.vote"])),
                        grants(json!([])),
                        direct(json!([])),
                        member(json!([group_name])),
                    ],
                };
                let ask = json!({ "permissions": PERMISSIONS });
                runners.extend([
                    runner(&caller, "POST /v1/session/renew", Value::Null),
                    runner(&caller, "POST /v1/permissions/check", ask.clone()),
                    runner(&caller, "PATCH /v1/session", json!({ "a": round })),
                    runner(&caller.anew(), "POST /v1/login", log_in(&name, PASSWORD)),
                    runner(&caller, "POST /v1/permissions/check", ask),
                ]);
                for answer in race(round, runners).await {
                    answer.one_of(&[200, 409]);
                }
                admin.get(&user).await;
                admin.get(&group).await;
                caller.ask_for_all().await;
            }
        })
    })
    .await;
    ring.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_token_is_left_with_the_former_name_of_a_group() {
    let ring = Ring::open().await;
    ring.run(|ring, lane, rounds| {
        Box::pin(async move {
            let (name, admin) = (format!("user{lane}"), ring.admin().await);
            let called = |round: usize| format!("group{lane}-{round}");
            let group = admin.make("/v1/groups", json!({ "name": called(0), "permissions": ["polls.vote"] })).await;
            let mut new = log_in(&name, PASSWORD);
            new["groups"] = json!([called(0)]);
            let user = admin.make("/v1/users", new).await;
            for round in 0..rounds {
                let caller = ring.log_in(&name, PASSWORD).await;
                let extra = if round % 2 == 0 { json!(true) } else { json!(false) };
                let mut runners = vec![
                    // Makes tokens stale, so that claims are read again just while the name changes.
                    runner(&admin, format!("PATCH {user}"), json!({ "is_staff": extra })),
                    runner(&admin, format!("PATCH {group}"), json!({ "name": called(round + 1) })),
                    runner(&caller.anew(), "POST /v1/login", log_in(&name, PASSWORD)),
                ];
                runners.extend((0..4).map(|_| runner(&caller, "GET /v1/session", Value::Null)));
                for answer in race(round, runners).await {
                    answer.is(StatusCode::OK);
                }
                // What another group of the former name grants is nobody's.
                let other = json!({ "name": called(round), "permissions": ["polls.close"] });
                let other = admin.make("/v1/groups", other).await;
                caller.ask_for_all().await;
                admin.call(&format!("DELETE {other}"), Value::Null).await.is(StatusCode::NO_CONTENT);
            }
        })
    })
    .await;
    ring.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_left_in_a_group_that_is_deleted_while_they_are_let_in() {
    let ring = Ring::open().await;
    ring.run(|ring, lane, rounds| {
        Box::pin(async move {
            let (name, admin) = (format!("user{lane}"), ring.admin().await);
            let user = admin.make("/v1/users", log_in(&name, PASSWORD)).await;
            let group_name = format!("group{lane}");
            for round in 0..rounds {
                let group =
                    admin.make("/v1/groups", json!({ "name": group_name, "permissions": ["polls.vote"] })).await;
                let caller = ring.log_in(&name, PASSWORD).await;
                let join = || runner(&admin, format!("PATCH {user}"), json!({ "groups": [group_name] }));
                let mut runners = vec![
                    join(),
                    runner(&admin, format!("DELETE {group}"), Value::Null),
                    runner(&caller, "POST /v1/permissions/check", json!({ "permissions": PERMISSIONS })),
                    runner(&caller.anew(), "POST /v1/login", log_in(&name, PASSWORD)),
                ];
                if round % 2 == 0 {
                    runners.push(join());
                    runners.push(runner(&admin, format!("PATCH {group}"), json!({ "permissions": PERMISSIONS })));
                }
                let answers = race(round, runners).await;
                assert!(answers[1].is_done() || answers[1].status == StatusCode::CONFLICT, "{}", answers[1].status);
                for answer in answers {
                    answer.one_of(&[200, 204, 404, 409, 422]);
                }
                admin.call(&format!("DELETE {group}"), Value::Null).await.one_of(&[204, 404]);
                assert_eq!(admin.get(&user).await["groups"], json!([]));
                caller.ask_for_all().await;
                let next =
                    admin.make("/v1/groups", json!({ "name": group_name, "permissions": ["polls.close"] })).await;
                assert_eq!(admin.get(&user).await["groups"], json!([]), "another group of the name");
                caller.ask_for_all().await;
                admin.call(&format!("DELETE {next}"), Value::Null).await.is(StatusCode::NO_CONTENT);
            }
        })
    })
    .await;
    ring.judge().await;
}

/// Servers that race side by side: each has two superusers only.
const SIDES: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_superusers_who_demote_each_other_one_remains() {
    at_once(SIDES, |side| {
        Box::pin(async move {
            let ring = Ring::open().await;
            let mut first = ring.admin().await;
            let mut new = log_in("second", PASSWORD);
            (new["is_staff"], new["is_superuser"]) = (json!(true), json!(true));
            let second_path = first.make("/v1/users", new).await;
            let first_path = format!("/v1/users/{}", first.get("/v1/me").await["id"].as_str().unwrap());
            let mut second = ring.log_in("second", PASSWORD).await;
            let mut rounds = *ROUNDS / SIDES + usize::from(side < *ROUNDS % SIDES);
            while rounds > 0 {
                rounds -= 1;
                let way = match rounds % 4 {
                    0 => json!({ "is_superuser": false }),
                    1 => json!({ "is_superuser": false, "is_staff": false }),
                    2 => json!({ "is_superuser": false, "first_name": "Demoted" }),
                    _ => json!({ "is_active": false }),
                };
                // Each the other; or each itself, which nobody's rights stand against.
                let is_mutual = rounds % 8 < 4;
                let targets = if is_mutual { [&second_path, &first_path] } else { [&first_path, &second_path] };
                let demote = |caller: &Caller, path: &String| runner(caller, format!("PATCH {path}"), way.clone());
                let answers = race(rounds, vec![demote(&first, targets[0]), demote(&second, targets[1])]).await;
                assert_eq!(done(&answers), 1, "{} {}", answers[0].status, answers[1].status);
                let back = json!({ "is_superuser": true, "is_staff": true, "is_active": true });
                let (left, lost, name, path) = if answers[0].is_done() == is_mutual {
                    (&first, &mut second, "second", &second_path)
                } else {
                    (&second, &mut first, "admin", &first_path)
                };
                for answer in answers {
                    answer.one_of(&[200, 401, 403, 409]);
                }
                left.call(&format!("PATCH {path}"), back).await.is(StatusCode::OK);
                *lost = ring.log_in(name, PASSWORD).await;
            }
            ring.judge().await;
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_changes_made_from_the_same_state_one_is_made() {
    let ring = Ring::open().await;
    ring.run(|ring, lane, rounds| {
        Box::pin(async move {
            let admin = ring.admin().await;
            let user = admin.make("/v1/users", log_in(&format!("user{lane}"), PASSWORD)).await;
            let group = admin.make("/v1/groups", json!({ "name": format!("group{lane}") })).await;
            let permission = json!({ "name": format!("polls.lane{lane}") });
            admin.call("POST /v1/permissions", permission).await.is(StatusCode::CREATED);
            let permission = format!("/v1/permissions/polls.lane{lane}");
            let things = [(user, "first_name"), (group, "name"), (permission, "description")];
            for round in 0..rounds {
                let (path, member) = &things[round % 3];
                let tag = admin.call(&format!("GET {path}"), Value::Null).await.is(StatusCode::OK).tag;
                let admin = Caller { if_match: tag, ..admin.clone() };
                let change =
                    |n| runner(&admin, format!("PATCH {path}"), json!({ *member: format!("{lane} {round} {n}") }));
                let answers = race(round, (0..4).map(change).collect()).await;
                assert_eq!(done(&answers), 1, "{path}: changes of one state");
                let won = answers.iter().position(super::Reply::is_done).unwrap();
                for answer in answers {
                    answer.one_of(&[200, 409, 412]);
                }
                assert_eq!(admin.get(path).await[*member], format!("{lane} {round} {won}"));
            }
        })
    })
    .await;
    ring.judge().await;
}
