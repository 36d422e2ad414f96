//! The reference itself: it objects to what must not be, and to nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem::http::Method;
use serde_json::{Value, json};

use super::History;

/// The superuser of these histories.
const ADMIN: &str = "admin";

/// A token as far as the reference looks into one.
fn token(sid: &str, issue: u32) -> String {
    let claims = json!({ "sid": sid, "preferred_username": ADMIN });
    format!("h.{}.{issue}", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// A history in which `ADMIN` is in a session, and its first token.
fn entered() -> (History, String) {
    let mut history = History::with(ADMIN, "1", "old");
    let first = token("session-1", 1);
    let log_in = json!({ "username": ADMIN, "password": "old" });
    call(&mut history, "POST /v1/login", log_in, None, 200, json!({ "user": { "username": ADMIN } }), Some(&first));
    (history, first)
}

fn begin(history: &mut History, what: &str, body: Value, token: Option<&str>) -> usize {
    let (method, path) = what.split_once(' ').unwrap();
    history.begins(&method.parse::<Method>().unwrap(), path, body, token)
}

fn call(
    history: &mut History,
    what: &str,
    body: Value,
    token: Option<&str>,
    status: u16,
    reply: Value,
    set: Option<&str>,
) {
    let number = begin(history, what, body, token);
    history.answered(number, status, reply, set);
}

fn log_out(history: &mut History, token: &str) {
    call(history, "POST /v1/logout", Value::Null, Some(token), 204, Value::Null, None);
}

fn verify(history: &mut History, token: &str, status: u16) {
    call(history, "GET /v1/verify", Value::Null, Some(token), status, Value::Null, None);
}

#[track_caller]
fn objects(mut history: History, to: &str) {
    let faults = history.faults();
    assert!(faults.len() == 1 && faults[0].contains(to), "{to}: {faults:?}");
}

#[test]
fn a_token_lives_until_its_session_is_ended_and_not_longer() {
    let (mut history, first) = entered();
    verify(&mut history, &first, 204);
    log_out(&mut history, &first);
    verify(&mut history, &first, 401);
    assert!(history.faults().is_empty());

    let (mut history, first) = entered();
    log_out(&mut history, &first);
    verify(&mut history, &first, 204);
    objects(history, "accepted, after it was ended");

    let (mut history, first) = entered();
    verify(&mut history, &first, 401);
    objects(history, "nothing had ended it");

    // The renewed one is of the same session, also when it arrives after the end.
    let (mut history, first) = entered();
    let renewal = begin(&mut history, "POST /v1/session/renew", Value::Null, Some(&first));
    log_out(&mut history, &first);
    let second = token("session-1", 2);
    history.answered(renewal, 200, Value::Null, Some(&second));
    verify(&mut history, &second, 204);
    objects(history, "accepted, after it was ended");
}

#[test]
fn what_goes_on_meanwhile_may_come_out_either_way_and_stays_as_it_came_out() {
    for (first_answer, then, objection) in [(204, 204, None), (401, 401, None), (401, 204, None), (204, 401, None)] {
        let (mut history, first) = entered();
        let everywhere = begin(&mut history, "DELETE /v1/users/1/sessions", Value::Null, None);
        verify(&mut history, &first, first_answer);
        verify(&mut history, &first, then);
        history.answered(everywhere, 204, Value::Null, None);
        match objection {
            Some(objection) => objects(history, objection),
            None => assert_eq!(history.faults(), [""; 0]),
        }
    }
    // A refusal was none.
    let (mut history, first) = entered();
    call(&mut history, "DELETE /v1/users/1/sessions", Value::Null, None, 403, Value::Null, None);
    verify(&mut history, &first, 401);
    objects(history, "nothing had ended it");
}

#[test]
fn an_old_password_opens_nothing_that_lasts() {
    let change = json!({ "old_password": "old", "new_password": "new" });
    for (password, lives) in [("old", false), ("new", true)] {
        for status in [204, 401] {
            let (mut history, first) = entered();
            let changing = begin(&mut history, "POST /v1/password", change.clone(), Some(&first));
            let entering = json!({ "username": ADMIN, "password": password });
            let entering = begin(&mut history, "POST /v1/login", entering, None);
            history.answered(changing, 200, Value::Null, Some(&token("session-1", 2)));
            let second = token("session-2", 1);
            history.answered(entering, 200, json!({ "user": { "username": ADMIN } }), Some(&second));
            verify(&mut history, &second, status);
            match (lives, status) {
                (true, 401) => objects(history, "nothing had ended it"),
                (false, 204) => objects(history, "accepted, after it was ended"),
                _ => assert_eq!(history.faults(), [""; 0]),
            }
        }
    }
    let (mut history, first) = entered();
    call(&mut history, "POST /v1/password", change, Some(&first), 200, Value::Null, None);
    let late = json!({ "username": ADMIN, "password": "old" });
    call(&mut history, "POST /v1/login", late, None, 200, json!({ "user": { "username": ADMIN } }), None);
    objects(history, "nobody could come in so");
}

#[test]
fn a_right_is_shown_while_it_may_be_granted_and_at_no_other_time() {
    let user = |rights: Value| json!({ "is_superuser": false, "user_permissions": rights });
    for (before, meanwhile, has, objection) in [
        (json!(["a.b"]), None, true, None),
        (json!(["a.b"]), None, false, Some("nobody took it")),
        (json!([]), None, true, Some("nobody granted it")),
        (json!([]), Some(json!(["a.b"])), true, None),
        (json!([]), Some(json!(["a.b"])), false, None),
        (json!([]), Some(json!(["a.c"])), true, Some("nobody granted it")),
    ] {
        let (mut history, first) = entered();
        call(&mut history, "PATCH /v1/users/1", user(before), None, 200, Value::Null, None);
        if let Some(meanwhile) = meanwhile {
            begin(&mut history, "PATCH /v1/users/1", user(meanwhile), None);
        }
        let asked = json!({ "permissions": ["a.b"] });
        let told = json!({ "results": { "a.b": has } });
        call(&mut history, "POST /v1/permissions/check", asked, Some(&first), 200, told, None);
        match objection {
            Some(objection) => objects(history, objection),
            None => assert_eq!(history.faults(), [""; 0]),
        }
    }
}

#[test]
fn a_call_without_an_answer_may_have_happened_until_its_server_died() {
    // Whether it happened is open, and then settled by what is seen.
    for (seen, then, objection) in
        [(204, 204, None), (401, 401, None), (401, 204, Some("after it was refused")), (204, 401, Some("nothing had"))]
    {
        let (mut history, first) = entered();
        begin(&mut history, "POST /v1/logout", Value::Null, Some(&first));
        history.died();
        verify(&mut history, &first, seen);
        verify(&mut history, &first, then);
        match objection {
            Some(objection) => objects(history, objection),
            None => assert_eq!(history.faults(), [""; 0]),
        }
    }
    // While the server lives, it may still happen.
    let (mut history, first) = entered();
    begin(&mut history, "POST /v1/logout", Value::Null, Some(&first));
    verify(&mut history, &first, 204);
    verify(&mut history, &first, 401);
    assert_eq!(history.faults(), [""; 0]);
    // What never arrived never happens.
    let (mut history, first) = entered();
    let call = begin(&mut history, "POST /v1/logout", Value::Null, Some(&first));
    history.void(call);
    verify(&mut history, &first, 401);
    objects(history, "nothing had ended it");
    // Nor does a death undo what was acknowledged.
    let (mut history, first) = entered();
    log_out(&mut history, &first);
    history.died();
    verify(&mut history, &first, 204);
    objects(history, "accepted, after it was ended");
}

#[test]
fn nobody_who_was_acknowledged_is_lost_or_there_twice() {
    let account = |name: &str| json!({ "username": name, "password": "theirs" });
    let made = |history: &mut History, name: &str, status: u16| {
        let reply = json!({ "id": "2", "username": name });
        call(history, "POST /v1/users", account(name), None, status, reply, None);
    };
    let read = |history: &mut History, status: u16| {
        let record = json!({ "is_active": true, "is_superuser": false, "user_permissions": [], "groups": [] });
        call(history, "GET /v1/users/2", Value::Null, None, status, record, None);
    };
    let mut history = History::with(ADMIN, "1", "old");
    made(&mut history, "somebody", 201);
    read(&mut history, 200);
    assert_eq!(history.faults(), [""; 0]);

    let mut history = History::with(ADMIN, "1", "old");
    made(&mut history, "somebody", 201);
    read(&mut history, 404);
    objects(history, "somebody is lost");

    let mut history = History::with(ADMIN, "1", "old");
    made(&mut history, "somebody", 201);
    call(&mut history, "POST /v1/login", account("somebody"), None, 401, Value::Null, None);
    objects(history, "all was right");

    let mut history = History::with(ADMIN, "1", "old");
    made(&mut history, "somebody", 201);
    made(&mut history, "Somebody", 201);
    objects(history, "there already");

    // After a deletion, also one without an answer, a name is free.
    let mut history = History::with(ADMIN, "1", "old");
    made(&mut history, "somebody", 201);
    begin(&mut history, "DELETE /v1/users/2", Value::Null, None);
    read(&mut history, 404);
    made(&mut history, "somebody", 201);
    assert_eq!(history.faults(), [""; 0]);

    // Whoever may be there may log in, or not.
    for status in [200, 401] {
        let mut history = History::with(ADMIN, "1", "old");
        begin(&mut history, "POST /v1/register", account("somebody"), None);
        history.died();
        let reply = json!({ "user": { "username": "somebody" } });
        call(&mut history, "POST /v1/login", account("somebody"), None, status, reply, None);
        assert_eq!(history.faults(), [""; 0]);
    }
}

#[test]
fn a_group_that_was_acknowledged_is_there_and_grants_what_it_was_given() {
    let (mut history, first) = entered();
    let group = json!({ "name": "readers", "permissions": ["a.b"] });
    call(&mut history, "POST /v1/groups", group, None, 201, json!({ "id": "g", "name": "readers" }), None);
    let change = json!({ "is_superuser": false, "groups": ["readers"] });
    call(&mut history, "PATCH /v1/users/1", change, None, 200, Value::Null, None);
    let asked = json!({ "permissions": ["a.b"] });
    let told = json!({ "results": { "a.b": false } });
    call(&mut history, "POST /v1/permissions/check", asked, Some(&first), 200, told, None);
    call(&mut history, "GET /v1/groups/g", Value::Null, None, 404, Value::Null, None);
    let faults = history.faults();
    assert!(faults.len() == 2 && faults[0].contains("nobody took it") && faults[1].contains("g is lost"), "{faults:?}");
}

#[test]
fn another_node_may_take_its_time_but_not_longer_than_the_bound() {
    const BOUND: u64 = 1_000;
    let entered = || {
        let (mut history, first) = entered();
        history.bound(BOUND);
        history.passes(10);
        (history, first)
    };
    let ask = |history: &mut History, node: usize, at: u64, token: &str, status: u16| {
        history.passes(at);
        let call = history.begins_at(node, &Method::GET, "/v1/verify", Value::Null, Some(token));
        history.answered(call, status, Value::Null, None);
    };
    // Where it was ended it is dead at once; elsewhere when the bound is over, or somebody was refused there already.
    let (now, soon, late) = (11, 10 + BOUND / 2, 10 + BOUND);
    let accepted = "accepted, after it was";
    for (asked, objection) in [
        (&[(0, now, 204)][..], Some(accepted)),
        (&[(1, now, 204), (1, soon, 401), (0, soon, 401), (1, late, 401)], None),
        (&[(1, late, 204)], Some(accepted)),
        (&[(1, now, 401), (1, soon, 204)], Some("after it was refused")),
        (&[(1, now, 401), (2, soon, 204), (2, late, 401)], None),
        (&[(2, now, 401), (1, now, 401), (1, soon, 204)], Some("after it was refused")),
    ] {
        let (mut history, first) = entered();
        log_out(&mut history, &first);
        for (node, at, status) in asked {
            ask(&mut history, *node, *at, &first, *status);
        }
        match objection {
            Some(objection) => objects(history, objection),
            None => assert_eq!(history.faults(), [""; 0]),
        }
    }
    // Nobody has longer to refuse what nobody ended.
    let (mut history, first) = entered();
    ask(&mut history, 1, now, &first, 401);
    objects(history, "nothing had ended it");
    // Rights are the former ones or the present ones until then, and the record is never an old one.
    for (node, at, has, objection) in [
        (0, now, false, Some("nobody took it")),
        (1, now, false, None),
        (1, now, true, None),
        (1, late, false, Some("nobody took it")),
    ] {
        let (mut history, first) = entered();
        let before = json!({ "is_superuser": false, "user_permissions": [] });
        call(&mut history, "PATCH /v1/users/1", before, None, 200, Value::Null, None);
        history.passes(10 + 2 * BOUND);
        let granted = json!({ "user_permissions": ["a.b"] });
        call(&mut history, "PATCH /v1/users/1", granted, None, 200, Value::Null, None);
        history.passes(at + 2 * BOUND);
        let check = "/v1/permissions/check";
        let asked = history.begins_at(node, &Method::POST, check, json!({ "permissions": ["a.b"] }), Some(&first));
        history.answered(asked, 200, json!({ "results": { "a.b": has } }), None);
        match objection {
            Some(objection) => objects(history, objection),
            None => assert_eq!(history.faults(), [""; 0]),
        }
    }
    // A node that dies takes nothing with it that went to another.
    let (mut history, first) = entered();
    history.begins_at(1, &Method::POST, "/v1/logout", Value::Null, Some(&first));
    history.died_at(0);
    ask(&mut history, 0, now, &first, 204);
    ask(&mut history, 0, late + BOUND, &first, 401);
    assert_eq!(history.faults(), [""; 0]);
}

#[test]
fn what_is_read_of_a_record_was_written_and_is_no_witness_of_itself() {
    let read = |history: &mut History, token: &str, permissions: Value| {
        let record = json!({ "is_active": true, "is_superuser": true, "user_permissions": permissions, "groups": [] });
        call(history, "GET /v1/users/1", Value::Null, Some(token), 200, record, None);
    };
    let granted = || {
        let (mut history, first) = entered();
        let change = json!({ "user_permissions": ["a.b", "c.d"] });
        call(&mut history, "PATCH /v1/users/1", change, None, 200, Value::Null, None);
        (history, first)
    };
    let (mut history, first) = granted();
    read(&mut history, &first, json!(["c.d", "a.b"]));
    assert_eq!(history.faults(), [""; 0]);

    let (mut history, first) = granted();
    read(&mut history, &first, json!([]));
    objects(history, "user_permissions on record");

    // A change without an answer is there or not; what was read once stays.
    for (then, objection) in [(json!(["e.f"]), None), (json!(["a.b", "c.d"]), Some("user_permissions on record"))] {
        let (mut history, first) = granted();
        begin(&mut history, "PATCH /v1/users/1", json!({ "user_permissions": ["e.f"] }), None);
        history.died();
        read(&mut history, &first, json!(["a.b", "c.d"]));
        read(&mut history, &first, json!(["a.b", "c.d"]));
        assert_eq!(history.faults(), [""; 0]);

        let (mut history, first) = granted();
        begin(&mut history, "PATCH /v1/users/1", json!({ "user_permissions": ["e.f"] }), None);
        history.died();
        read(&mut history, &first, json!(["e.f"]));
        read(&mut history, &first, then);
        match objection {
            Some(objection) => objects(history, objection),
            None => assert_eq!(history.faults(), [""; 0]),
        }
    }

    let (mut history, first) = entered();
    let group = json!({ "name": "readers", "permissions": ["a.b"] });
    call(&mut history, "POST /v1/groups", group, None, 201, json!({ "id": "g", "name": "readers" }), None);
    call(&mut history, "GET /v1/groups/g", Value::Null, Some(&first), 200, json!({ "permissions": [] }), None);
    objects(history, "permissions on record");
}

#[test]
fn whoever_came_in_tells_what_the_password_was() {
    let change = json!({ "old_password": "old", "new_password": "new" });
    let log_in = |history: &mut History, password: &str, status: u16| {
        let entering = json!({ "username": ADMIN, "password": password });
        call(history, "POST /v1/login", entering, None, status, json!({ "user": { "username": ADMIN } }), None);
    };
    // A change without an answer was made or not, and is not made later.
    for (first, then, then_answered, objection) in [
        ("new", "new", 200, None),
        ("new", "old", 401, None),
        ("new", "old", 200, Some("nobody could come in so")),
        ("new", "new", 401, Some("all was right")),
        ("old", "old", 200, None),
        ("old", "new", 200, Some("nobody could come in so")),
    ] {
        let (mut history, token) = entered();
        begin(&mut history, "POST /v1/password", change.clone(), Some(&token));
        history.died();
        log_in(&mut history, first, 200);
        log_in(&mut history, then, then_answered);
        match objection {
            Some(objection) => objects(history, objection),
            None => assert_eq!(history.faults(), [""; 0]),
        }
    }
}
