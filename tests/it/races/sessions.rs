//! Whatever ends a session, among what keeps it going.

use poem::http::StatusCode;
use serde_json::{Value, json};

use super::{Caller, LANES, ROUNDS, Ring, done, log_in, race, runner};
use crate::harness::{PASSWORD, at_once};

/// What any holder of the session's cookie does meanwhile.
fn life(caller: &Caller, round: usize) -> Vec<super::Runner> {
    vec![
        runner(caller, "POST /v1/session/renew", Value::Null),
        runner(caller, "PATCH /v1/session", json!({ "a": round })),
        runner(caller, "PUT /v1/session/data/b", json!({ "value": round })),
        runner(caller, "GET /v1/session", Value::Null),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_of_a_session_lives_on_after_a_log_out_among_renewals_and_writes() {
    let ring = Ring::open().await;
    ring.run(|ring, lane, rounds| {
        Box::pin(async move {
            let name = format!("user{lane}");
            ring.admin().await.make("/v1/users", log_in(&name, PASSWORD)).await;
            for round in 0..rounds {
                let mut caller = ring.nobody();
                let is_somebody = (lane + round) % 3 != 0;
                if is_somebody {
                    caller.go_on("POST /v1/login", log_in(&name, PASSWORD)).await.is(StatusCode::OK);
                }
                let first = caller.go_on("PATCH /v1/session", json!({ "round": round })).await.is(StatusCode::OK);
                let own = format!("DELETE /v1/sessions/{}", first.body["id"].as_str().unwrap());
                let ways = [("POST /v1/logout", Value::Null), ("DELETE /v1/session", Value::Null)];
                let enter = ("POST /v1/login", log_in(&name, PASSWORD));
                let device = (own.as_str(), Value::Null);
                let ends = match round % 5 {
                    0 => vec![ways[0].clone()],
                    1 => vec![ways[1].clone()],
                    // A visitor's basket is flushed while the visitor logs in.
                    2 => vec![ways[1].clone(), enter],
                    3 if is_somebody => vec![device],
                    _ => vec![enter],
                };
                let mut runners = life(&caller, round);
                runners.extend(ends.into_iter().map(|(what, body)| runner(&caller, what, body)));
                for answer in race(round, runners).await {
                    answer.one_of(&[200, 204, 401]);
                }
                caller.ask_for_all().await;
            }
        })
    })
    .await;
    ring.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_of_a_session_lives_on_after_a_log_out_while_it_slides_on() {
    let ring = Ring::open().await;
    let rounds = ROUNDS.div_ceil(LANES);
    let sessions = at_once(LANES, |lane| {
        let ring = ring.clone();
        Box::pin(async move {
            let mut sessions = Vec::new();
            let name = format!("user{lane}");
            ring.admin().await.make("/v1/users", log_in(&name, PASSWORD)).await;
            for round in 0..rounds {
                let mut caller = ring.nobody();
                let (what, body) = match round % 2 {
                    0 => ("PATCH /v1/session", json!({ "a": 1 })),
                    _ => ("POST /v1/login", log_in(&name, PASSWORD)),
                };
                caller.go_on(what, body).await.is(StatusCode::OK);
                sessions.push(caller);
            }
            sessions
        })
    })
    .await;
    // Beyond half of its time: whoever uses a token now is given the next one.
    ring.server.pass(1900);
    let slid = at_once(LANES, |lane| {
        let sessions = sessions[lane].clone();
        Box::pin(async move {
            let mut slid = 0;
            for (round, caller) in sessions.iter().enumerate() {
                let read = || runner(caller, "GET /v1/session", Value::Null);
                let end = runner(caller, "POST /v1/logout", Value::Null);
                let check = runner(caller, "POST /v1/permissions/check", json!({ "permissions": [] }));
                for answer in race(round, vec![read(), check, end, read(), read()]).await {
                    answer.one_of(&[200, 204, 401]);
                }
                slid += caller.seen.lock().unwrap().len() - 1;
                caller.ask_for_all().await;
            }
            slid
        })
    })
    .await;
    assert!(slid.iter().sum::<usize>() > 0, "no token was issued in a race: the test judges nothing");
    ring.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_devices_that_throw_each_other_out_one_is_left() {
    let ring = Ring::open().await;
    ring.run(|ring, lane, rounds| {
        Box::pin(async move {
            let name = format!("user{lane}");
            let admin = ring.admin().await;
            let user = admin.make("/v1/users", log_in(&name, PASSWORD)).await;
            for round in 0..rounds {
                let first = ring.log_in(&name, PASSWORD).await;
                let mut second = first.anew();
                let opened = second.go_on("POST /v1/login", log_in(&name, PASSWORD)).await.is(StatusCode::OK);
                let second_id = opened.body["session"]["id"].as_str().unwrap().to_owned();
                let keep = |caller: &Caller| runner(caller, "DELETE /v1/sessions?keep=current", Value::Null);
                let mut runners = vec![keep(&first), keep(&second), keep(&first)];
                runners.push(runner(&second, "POST /v1/session/renew", Value::Null));
                runners.push(runner(&first, "PATCH /v1/session", json!({ "a": round })));
                runners.push(runner(&first.anew(), "POST /v1/login", log_in(&name, PASSWORD)));
                match round % 3 {
                    0 => runners.push(runner(&first, format!("DELETE /v1/sessions/{second_id}"), Value::Null)),
                    1 => runners.push(runner(&admin, format!("DELETE {user}/sessions"), Value::Null)),
                    // With the cookies of before, whichever session is kept.
                    _ => {
                        let log_outs = [&first, &second, &first, &second, &first, &second];
                        runners.extend(log_outs.map(|caller| runner(caller, "POST /v1/logout", Value::Null)));
                    }
                }
                let answers = race(round, runners).await;
                let kept = done(&answers[..3]);
                // Somebody may have ended the two of them before either.
                assert!(kept == 1 || (kept == 0 && round % 3 != 0), "{kept} have thrown out all others");
                for answer in answers {
                    answer.one_of(&[200, 204, 401, 404]);
                }
                first.ask_for_all().await;
            }
        })
    })
    .await;
    ring.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_log_in_among_new_epochs_is_of_the_newest_or_dead() {
    let ring = Ring::open().await;
    ring.run(|ring, lane, rounds| {
        Box::pin(async move {
            let name = format!("user{lane}");
            // What the other lanes end is ended here too.
            let new = log_in(&name, PASSWORD);
            while !ring.admin().await.call("POST /v1/users", new.clone()).await.one_of(&[201, 401]).is_done() {}
            for round in 0..rounds {
                let admin = ring.admin().await;
                let caller = ring.log_in(&name, PASSWORD).await;
                let enter = || runner(&caller.anew(), "POST /v1/login", log_in(&name, PASSWORD));
                let mut runners = life(&caller, round);
                runners.extend([runner(&admin, "POST /v1/epoch", Value::Null), enter(), enter()]);
                for answer in race(round, runners).await {
                    answer.one_of(&[200, 204, 401]);
                }
                caller.ask_for_all().await;
            }
        })
    })
    .await;
    ring.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_api_token_that_is_ended_while_it_is_used_is_dead_and_all_that_live_are_listed() {
    let ring = Ring::open().await;
    ring.run(|ring, lane, rounds| {
        Box::pin(async move {
            let name = format!("user{lane}");
            let admin = ring.admin().await;
            let mut new = log_in(&name, PASSWORD);
            new["user_permissions"] = json!(["polls.vote"]);
            let user = admin.make("/v1/users", new).await;
            for round in 0..rounds {
                let owner = ring.log_in(&name, PASSWORD).await;
                let wish = json!({ "name": "report", "permissions": ["polls.vote"] });
                let made = owner.call("POST /v1/tokens", wish.clone()).await.is(StatusCode::CREATED).body;
                let text = |made: &Value| Some(made["token"].as_str().unwrap().into());
                let machine = Caller { token: text(&made), is_machine: true, ..ring.nobody() };
                let end = match round % 5 {
                    0 | 1 => runner(&owner, format!("DELETE /v1/tokens/{}", made["id"].as_str().unwrap()), Value::Null),
                    2 => runner(&admin, format!("DELETE {user}/tokens"), Value::Null),
                    3 => runner(&owner, "DELETE /v1/sessions?keep=current", Value::Null),
                    _ => runner(&admin, format!("DELETE {user}/sessions"), Value::Null),
                };
                let ask = || runner(&machine, "POST /v1/permissions/check", json!({ "permissions": ["polls.vote"] }));
                let renewed = if round % 2 == 0 { json!(["polls.vote"]) } else { json!(["polls.close", "polls.vote"]) };
                let answers = race(
                    round,
                    vec![
                        ask(),
                        end,
                        runner(&owner, "POST /v1/tokens", wish),
                        ask(),
                        // Its owner's rights are read again just then.
                        runner(&admin, format!("PATCH {user}"), json!({ "user_permissions": renewed })),
                        runner(&machine, "GET /v1/verify?permission=polls.vote", Value::Null),
                    ],
                )
                .await;
                let mut texts = vec![(made["id"].clone(), machine)];
                if answers[2].is_done() {
                    let made = &answers[2].body;
                    let machine = Caller { token: text(made), is_machine: true, ..ring.nobody() };
                    texts.push((made["id"].clone(), machine));
                }
                for answer in answers {
                    answer.one_of(&[200, 201, 204, 401, 403, 409]);
                }
                let listed = admin.get(&format!("{user}/tokens")).await;
                for (id, machine) in texts {
                    let answer = machine.call("GET /v1/verify?permission=polls.vote", Value::Null).await;
                    let is_listed = listed["items"].as_array().unwrap().iter().any(|item| item["id"] == id);
                    assert_eq!(answer.is_done(), is_listed, "round {round}: {} and {listed}", answer.status);
                }
                admin.call(&format!("DELETE {user}/tokens"), Value::Null).await.is(StatusCode::NO_CONTENT);
            }
        })
    })
    .await;
    ring.judge().await;
}
