//! Administration of users, groups and permissions, and the bounds of everybody's reach.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use signet::administration::Staff;
use signet::error::Error;
use signet::session;

use crate::harness::{Client, PASSWORD, Server, at_once};

#[tokio::test]
async fn a_password_that_is_taken_away_lets_nobody_in_and_ends_what_it_opened() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let (mut bob, id) = server.user("bob", json!({})).await;
    let path = format!("/v1/users/{id}/password");
    assert_eq!(bob.get("/v1/me").await.json()["has_usable_password"], true);
    bob.delete(&path).await.is(StatusCode::FORBIDDEN);
    // Staff within their bounds, and not beyond.
    let (mut staff, _) = server.user("staff", json!({ "is_staff": true })).await;
    let own = admin.get("/v1/users?search=admin").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    staff.delete(&format!("/v1/users/{own}/password")).await.is_problem("forbidden");
    staff.delete(&path).await.is(StatusCode::NO_CONTENT);
    bob.get("/v1/me").await.is(StatusCode::UNAUTHORIZED);
    let credentials = json!({ "username": "bob", "password": PASSWORD });
    server.anonymous().post("/v1/login", credentials).await.is_problem("invalid_credentials");
    assert_eq!(admin.get(&format!("/v1/users/{id}")).await.json()["has_usable_password"], false);
}

/// The names on all pages of a list of users.
async fn names(admin: &mut Client, query: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = admin.get(&format!("/v1/users?limit=2&{query}{cursor}")).await.is(StatusCode::OK).json();
        let items = page["items"].as_array().unwrap();
        names.extend(items.iter().map(|user| user["username"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return names,
        }
    }
}

#[tokio::test]
async fn users_are_found_by_who_holds_what_and_in_any_order() {
    let server = Server::start().await;
    server.permissions(&["polls.vote", "polls.close"]).await;
    server.group("voters", &["polls.vote"]).await;
    server.group("empty", &[]).await;
    let mut admin = server.admin().await;
    let people = [
        ("alice", json!({ "user_permissions": ["polls.vote"] })),
        ("bob", json!({ "groups": ["voters"] })),
        ("carol", json!({ "groups": ["voters", "empty"], "is_staff": true })),
        ("dave", json!({ "groups": ["voters"], "is_active": false })),
        ("erin", json!({ "is_superuser": true, "is_staff": true })),
        ("frank", json!({})),
    ];
    for (name, mut new) in people {
        server.pass(10);
        new["username"] = json!(name);
        new["password"] = json!(PASSWORD);
        new["email"] = json!(format!("{name}@example.com"));
        admin.post("/v1/users", new).await.is(StatusCode::CREATED);
    }
    for name in ["carol", "alice"] {
        server.pass(10);
        server.log_in(name).await;
    }
    for (query, expected) in [
        ("permission=polls.vote", "admin alice bob carol erin"),
        ("permission=polls.close", "admin erin"),
        ("permission=no.such", "admin erin"),
        ("permission=polls.vote&is_active=false", "dave"),
        ("permission=polls.vote&is_superuser=false&order=-username", "carol bob alice"),
        ("group=voters", "bob carol dave"),
        ("group=voters&order=-date_joined", "dave carol bob"),
        ("group=voters&permission=polls.vote", "bob carol"),
        ("group=empty", "carol"),
        ("group=none", ""),
        ("is_staff=true", "admin carol erin"),
        ("is_active=false", "dave"),
        ("is_superuser=true&order=-username", "erin admin"),
        ("search=EXAMPLE&is_staff=false&is_active=true", "alice bob frank"),
        ("order=date_joined", "admin alice bob carol dave erin frank"),
        ("order=-date_joined", "frank erin dave carol bob alice admin"),
        ("order=-username", "frank erin dave carol bob alice admin"),
        ("order=-last_login&is_active=true&is_superuser=false", "alice carol"),
    ] {
        let mut found = names(&mut admin, query).await;
        if query.starts_with("order=-last_login") {
            // Who never logged in comes last, in no order that means anything.
            let mut never = found.split_off(2);
            never.sort();
            assert_eq!(never, ["bob", "frank"]);
        }
        assert_eq!(found.join(" "), expected, "{query}");
    }
    for wrong in ["permission=polls", "is_staff=perhaps", "order=email", "group=a&group=b"] {
        admin.get(&format!("/v1/users?{wrong}")).await.is_problem("invalid_parameter");
    }
    // Nothing of a user who is gone, or was changed, is left behind.
    let bob = admin.get("/v1/users?search=bob").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    admin.patch(&format!("/v1/users/{bob}"), json!({ "groups": [] })).await.is(StatusCode::OK);
    assert_eq!(names(&mut admin, "group=voters").await, ["carol", "dave"]);
    admin.delete(&format!("/v1/users/{bob}")).await.is(StatusCode::NO_CONTENT);
    for order in ["username", "date_joined", "last_login"] {
        assert_eq!(names(&mut admin, &format!("order={order}")).await.len(), 6, "{order}");
    }
}

#[tokio::test]
async fn users_are_made_read_changed_and_deleted() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let new = json!({ "username": "alice", "password": PASSWORD, "email": "a@b.c", "first_name": "Al" });
    let made = admin.post("/v1/users", new).await.is(StatusCode::CREATED);
    let path = format!("/v1/users/{}", made.text("id"));
    let shown = admin.get(&path).await.is(StatusCode::OK);
    assert_eq!(shown.json(), made.json());
    assert_eq!(shown.header("etag"), made.header("etag"));
    let changed = admin.patch(&path, json!({ "last_name": "Archer", "email": "" })).await.is(StatusCode::OK);
    assert_eq!(
        (changed.text("first_name"), changed.text("last_name"), changed.text("email")),
        ("Al".into(), "Archer".into(), String::new())
    );
    assert_ne!(changed.header("etag"), shown.header("etag"));
    admin.delete(&path).await.is(StatusCode::NO_CONTENT);
    for method in [Method::GET, Method::DELETE] {
        admin.call(method, &path, None, &[]).await.is(StatusCode::NOT_FOUND);
    }
    for id in ["1", "me", "%2e%2e", "AAAAAAAAAAAAAAAAAAAAAA"] {
        admin.get(&format!("/v1/users/{id}")).await.is(StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn lists_go_page_by_page_and_can_be_searched() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let mut expected = vec!["admin".to_owned()];
    for n in 0..23 {
        let name = format!("user{n:02}");
        let new = json!({ "username": name, "email": format!("{n}@example.com"), "last_name": if n % 2 == 0 { "Even" } else { "Odd" } });
        admin.post("/v1/users", new).await.is(StatusCode::CREATED);
        expected.push(name);
    }
    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = admin.get(&format!("/v1/users?limit=5{cursor}")).await.is(StatusCode::OK).json();
        names
            .extend(page["items"].as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, expected);
    for (search, count) in
        [("USER1", 10), ("17@example", 1), ("odd", 11), ("%25", 0), ("'%20OR%201=1--", 0), ("nobody", 0), ("", 24)]
    {
        let page = admin.get(&format!("/v1/users?search={search}")).await.is(StatusCode::OK).json();
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{search}");
    }
    for query in ["limit=0", "limit=201", "limit=x", "cursor=%20", "limit=5&limit=6"] {
        admin.get(&format!("/v1/users?{query}")).await.is(StatusCode::BAD_REQUEST).is_problem("invalid_parameter");
    }
    for n in 0..7 {
        server.group(&format!("group {n}"), &[]).await;
    }
    let page = admin.get("/v1/groups?limit=4&search=group").await.json();
    let next = page["next"].as_str().unwrap();
    let rest = admin.get(&format!("/v1/groups?limit=4&cursor={next}")).await.json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 3);
    assert_eq!(rest["next"], Value::Null);
    server.permissions(&["polls.vote", "polls.close", "blog.write"]).await;
    let page = admin.get("/v1/permissions?search=polls").await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn two_administrators_do_not_overwrite_each_other() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let (_, id) = server.user("bob", json!({})).await;
    let group = server.group("g", &[]).await;
    server.permissions(&["a.b"]).await;
    for (path, patch) in [
        (format!("/v1/users/{id}"), json!({ "first_name": "B" })),
        (format!("/v1/groups/{group}"), json!({ "name": "h" })),
        ("/v1/permissions/a.b".to_owned(), json!({ "description": "d" })),
    ] {
        let tag = admin.get(&path).await.header("etag").unwrap().to_owned();
        let change = |tag: String| (Method::PATCH, Some(patch.clone()), tag);
        let (method, body, first) = change(tag.clone());
        admin.call(method, &path, body, &[("if-match", &first)]).await.is(StatusCode::OK);
        let (method, body, second) = change(tag);
        admin.call(method, &path, body, &[("if-match", &second)]).await.is(StatusCode::PRECONDITION_FAILED);
        let (method, body, odd) = change("W/\"x\"".to_owned());
        admin.call(method, &path, body, &[("if-match", &odd)]).await.is(StatusCode::PRECONDITION_FAILED);
    }
}

#[tokio::test]
async fn names_are_judged_and_unknown_groups_and_permissions_are_refused() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let new = json!({ "username": "carol", "groups": ["nope", "neither"], "user_permissions": ["a.b", "not a name"] });
    let errors = admin.post("/v1/users", new).await.is(StatusCode::UNPROCESSABLE_ENTITY).errors();
    let expected = [
        ("groups/0", "unknown_group"),
        ("groups/1", "unknown_group"),
        ("user_permissions/0", "unknown_permission"),
        ("user_permissions/1", "permission_name"),
    ];
    assert_eq!(errors, expected.map(|(f, c)| (f.to_owned(), c.to_owned())));
    for name in ["", " ", "a\nb", "a,b", "x\r\nX-Auth-User: root"] {
        admin.post("/v1/groups", json!({ "name": name })).await.is(StatusCode::UNPROCESSABLE_ENTITY);
    }
    for name in ["polls", "polls.*", "a.b\r\n", "a.b.c", "a b.c"] {
        admin.post("/v1/permissions", json!({ "name": name })).await.is(StatusCode::UNPROCESSABLE_ENTITY);
    }
    server.group("editors", &[]).await;
    admin.post("/v1/groups", json!({ "name": " editors " })).await.is(StatusCode::CONFLICT).is_problem("taken");
    server.permissions(&["a.b"]).await;
    admin.post("/v1/permissions", json!({ "name": "a.b" })).await.is(StatusCode::CONFLICT).is_problem("taken");
    admin.post("/v1/users", json!({ "username": "Admin" })).await.is(StatusCode::CONFLICT).is_problem("taken");
    let (_, id) = server.user("dave", json!({})).await;
    admin.patch(&format!("/v1/users/{id}"), json!({ "username": "ADMIN" })).await.is(StatusCode::CONFLICT);
    // A change of case of one's own name is no conflict.
    admin.patch(&format!("/v1/users/{id}"), json!({ "username": "DAVE" })).await.is(StatusCode::OK);
}

#[tokio::test]
async fn types_are_strict() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let (_, id) = server.user("erin", json!({})).await;
    let path = format!("/v1/users/{id}");
    for value in [json!("true"), json!(1), json!(null), json!([]), json!({})] {
        for flag in ["is_staff", "is_superuser", "is_active"] {
            let mut patch = json!({});
            patch[flag] = value.clone();
            let errors = admin.patch(&path, patch).await.is(StatusCode::UNPROCESSABLE_ENTITY).errors();
            assert_eq!(errors, [(flag.to_owned(), "wrong_type".to_owned())]);
        }
    }
    for body in [json!([]), json!("x"), json!(7)] {
        admin.patch(&path, body).await.is(StatusCode::UNPROCESSABLE_ENTITY);
    }
    for member in ["password", "id", "version", "last_login", "generation", "Is_Staff"] {
        let mut patch = json!({});
        patch[member] = json!("x");
        let errors = admin.patch(&path, patch).await.is(StatusCode::UNPROCESSABLE_ENTITY).errors();
        assert_eq!(errors[0].1, "unknown_member", "{member}");
    }
}

#[tokio::test]
async fn staff_reaches_no_further_than_its_own_rights() {
    let server = Server::start().await;
    server.permissions(&["polls.vote", "polls.close"]).await;
    let strong = server.group("strong", &["polls.close"]).await;
    let weak = server.group("weak", &["polls.vote"]).await;
    server.group("hollow", &[]).await;
    let rights = json!({ "is_staff": true, "user_permissions": ["polls.vote"], "groups": ["weak"] });
    let (mut staff, own) = server.user("staff", rights).await;
    let (_, plain) = server.user("plain", json!({})).await;
    let (_, powerful) = server.user("powerful", json!({ "groups": ["strong"] })).await;
    let root = server.admin().await.get("/v1/me").await.text("id");
    let user = |id: &str| format!("/v1/users/{id}");

    // Within the own rights everything goes.
    staff
        .patch(&user(&plain), json!({ "user_permissions": ["polls.vote"], "groups": ["weak"] }))
        .await
        .is(StatusCode::OK);
    staff.patch(&user(&plain), json!({ "first_name": "P", "is_active": true })).await.is(StatusCode::OK);
    staff
        .post("/v1/users", json!({ "username": "made", "user_permissions": ["polls.vote"] }))
        .await
        .is(StatusCode::CREATED);
    staff.post("/v1/groups", json!({ "name": "own", "permissions": ["polls.vote"] })).await.is(StatusCode::CREATED);
    staff.patch(&user(&plain), json!({ "groups": [] })).await.is(StatusCode::OK);

    // Beyond them nothing does.
    let beyond = [
        (Method::PATCH, user(&own), json!({ "user_permissions": ["polls.vote", "polls.close"] })),
        (Method::PATCH, user(&own), json!({ "groups": ["strong"] })),
        (Method::PATCH, user(&own), json!({ "is_superuser": true })),
        // A group may be a right where its name is asked for, whatever it grants here.
        (Method::PATCH, user(&own), json!({ "groups": ["weak", "hollow"] })),
        (Method::PATCH, user(&own), json!({ "groups": ["weak", "own"] })),
        (Method::PATCH, user(&plain), json!({ "groups": ["hollow"] })),
        (Method::POST, "/v1/users".to_owned(), json!({ "username": "evil", "groups": ["hollow"] })),
        (Method::PATCH, format!("/v1/groups/{weak}"), json!({ "name": "admins" })),
        (Method::PATCH, user(&plain), json!({ "user_permissions": ["polls.close"] })),
        (Method::PATCH, user(&plain), json!({ "groups": ["strong"] })),
        (Method::PATCH, user(&plain), json!({ "is_staff": true })),
        (Method::PATCH, user(&powerful), json!({ "first_name": "X" })),
        (Method::PATCH, user(&powerful), json!({ "groups": [] })),
        (Method::PATCH, user(&powerful), json!({ "is_active": false })),
        (Method::DELETE, user(&powerful), Value::Null),
        (Method::DELETE, format!("{}/sessions", user(&powerful)), Value::Null),
        (Method::PATCH, user(&root), json!({ "first_name": "X" })),
        (Method::PATCH, user(&root), json!({ "is_superuser": false })),
        (Method::DELETE, user(&root), Value::Null),
        (Method::DELETE, format!("{}/sessions", user(&root)), Value::Null),
        (Method::POST, "/v1/users".to_owned(), json!({ "username": "evil", "is_superuser": true })),
        (Method::POST, "/v1/users".to_owned(), json!({ "username": "evil", "is_staff": true })),
        (Method::POST, "/v1/users".to_owned(), json!({ "username": "evil", "groups": ["strong"] })),
        (Method::POST, "/v1/users".to_owned(), json!({ "username": "evil", "user_permissions": ["polls.close"] })),
        (Method::POST, "/v1/groups".to_owned(), json!({ "name": "evil", "permissions": ["polls.close"] })),
        (Method::PATCH, format!("/v1/groups/{strong}"), json!({ "name": "x" })),
        (Method::PATCH, format!("/v1/groups/{strong}"), json!({ "permissions": [] })),
        (Method::PATCH, format!("/v1/groups/{weak}"), json!({ "permissions": ["polls.vote", "polls.close"] })),
        (Method::DELETE, format!("/v1/groups/{strong}"), Value::Null),
        (Method::POST, "/v1/permissions".to_owned(), json!({ "name": "evil.do" })),
        (Method::PATCH, "/v1/permissions/polls.vote".to_owned(), json!({ "description": "x" })),
        (Method::DELETE, "/v1/permissions/polls.vote".to_owned(), Value::Null),
        (Method::POST, "/v1/epoch".to_owned(), Value::Null),
    ];
    let mut admin = server.admin().await;
    let everything = |admin: &mut crate::harness::Client| {
        let mut admin = admin.clone();
        async move {
            let mut seen = Vec::new();
            for list in ["/v1/users", "/v1/groups", "/v1/permissions"] {
                let mut page = admin.get(list).await.json();
                for item in page["items"].as_array_mut().unwrap() {
                    item["last_login"] = Value::Null;
                }
                seen.push(page);
            }
            seen
        }
    };
    let before = everything(&mut admin).await;
    for (method, path, body) in beyond {
        let answer = staff.call(method.clone(), &path, Some(body.clone()), &[]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path} {body}");
        answer.is_problem("forbidden");
    }
    assert_eq!(everything(&mut admin).await, before, "nothing was changed");
}

/// Whoever finds an open session of staff does not know the password, and could have a link for a new one sent.
#[tokio::test]
async fn staff_changes_its_own_address_with_its_password_only() {
    let server = Server::start().await;
    let flags = json!({ "is_staff": true, "email": "anna@example.com" });
    let (mut anna, id) = server.user("anna", flags).await;
    let path = format!("/v1/users/{id}");
    let address = async |client: &mut Client| client.get("/v1/me").await.is(StatusCode::OK).text("email");
    for change in [json!({ "email": "other@example.com" }), json!({ "email": "", "first_name": "Anna" })] {
        let refused = anna.patch(&path, change).await.is(StatusCode::FORBIDDEN);
        assert!(refused.is_problem("forbidden").text("detail").contains("PATCH /v1/me"));
    }
    assert_eq!(address(&mut anna).await, "anna@example.com");
    // What stays as it is may be sent along.
    let same = json!({ "email": "anna@example.com", "first_name": "Anna" });
    assert_eq!(anna.patch(&path, same).await.is(StatusCode::OK).text("first_name"), "Anna");
    let proven = json!({ "email": "other@example.com", "old_password": PASSWORD });
    anna.patch("/v1/me", proven).await.is(StatusCode::OK);
    assert_eq!(address(&mut anna).await, "other@example.com");
    // A superuser is no exception, and changes that of others.
    let mut admin = server.admin().await;
    let own = admin.get("/v1/me").await.text("id");
    let other = json!({ "email": "root@example.com" });
    admin.patch(&format!("/v1/users/{own}"), other.clone()).await.is(StatusCode::FORBIDDEN);
    admin.patch(&path, other).await.is(StatusCode::OK);
}

#[tokio::test]
async fn the_last_active_superuser_stays_one() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let path = format!("/v1/users/{}", admin.get("/v1/me").await.text("id"));
    for body in [json!({ "is_superuser": false }), json!({ "is_active": false })] {
        admin.patch(&path, body).await.is(StatusCode::CONFLICT).is_problem("last_superuser");
    }
    admin.delete(&path).await.is(StatusCode::CONFLICT).is_problem("last_superuser");
    // A disabled superuser does not count.
    server.user("sleeper", json!({ "is_superuser": true, "is_staff": true })).await;
    let found = admin.get("/v1/users?search=sleeper").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    admin.patch(&format!("/v1/users/{found}"), json!({ "is_active": false })).await.is(StatusCode::OK);
    admin.patch(&path, json!({ "is_superuser": false })).await.is(StatusCode::CONFLICT);
    admin.patch(&format!("/v1/users/{found}"), json!({ "is_active": true })).await.is(StatusCode::OK);
    admin.patch(&path, json!({ "is_superuser": false })).await.is(StatusCode::OK);
}

#[tokio::test]
async fn parallel_changes_of_one_user_all_happen() {
    let server = Server::start().await;
    let names: Vec<String> = (0..12).map(|n| format!("app.right{n}")).collect();
    server.permissions(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (mut client, id) = server.user("busy", json!({})).await;
    let admin = server.admin().await;
    let statuses = at_once(12, |n| {
        let mut admin = admin.clone();
        let path = format!("/v1/users/{id}");
        let body =
            if n % 2 == 0 { json!({ "first_name": format!("n{n}") }) } else { json!({ "last_name": format!("n{n}") }) };
        Box::pin(async move { admin.patch(&path, body).await.status })
    })
    .await;
    assert!(statuses.iter().all(StatusCode::is_success), "{statuses:?}");
    let me = client.get("/v1/me").await.json();
    assert!(me["first_name"].as_str().unwrap().starts_with('n') && me["last_name"].as_str().unwrap().starts_with('n'));
}

#[tokio::test]
async fn what_a_group_does_not_grant_any_more_is_not_granted_by_who_was_let_in_before() {
    let server = Server::start().await;
    server.permissions(&["polls.vote"]).await;
    let group = server.group("voters", &["polls.vote"]).await;
    let (staff, _) = server.user("staff", json!({ "is_staff": true, "groups": ["voters"] })).await;
    // Let in, with all of its body there; a password is still to be hashed.
    let session = session::authenticate(&server.app, staff.cookie.as_deref()).await.unwrap();
    let client = signet::audit::Client::default();
    let at_work = Staff::new(&server.app, &session, &client);
    at_work.create_group("before", &["polls.vote".to_owned()]).await.unwrap();
    let path = format!("/v1/groups/{group}");
    server.admin().await.patch(&path, json!({ "permissions": [] })).await.is(StatusCode::OK);
    let refused = at_work.create_group("after", &["polls.vote".to_owned()]).await;
    assert!(matches!(refused, Err(Error::BeyondOwnRights(_))), "{refused:?}");
}

#[tokio::test]
async fn a_group_is_not_deleted_under_somebody_whom_one_may_not_touch() {
    let server = Server::start().await;
    let group = server.group("finance", &[]).await;
    let path = format!("/v1/groups/{group}");
    let mut admin = server.admin().await;
    let own = format!("/v1/users/{}", admin.get("/v1/me").await.text("id"));
    admin.patch(&own, json!({ "groups": ["finance"] })).await.is(StatusCode::OK);
    let (mut staff, _) = server.user("staff", json!({ "is_staff": true })).await;
    staff.delete(&path).await.is_problem("forbidden");
    assert_eq!(admin.get("/v1/me").await.json()["groups"], json!(["finance"]));
    admin.patch(&own, json!({ "groups": [] })).await.is(StatusCode::OK);
    staff.delete(&path).await.is(StatusCode::NO_CONTENT);
}

/// The members of a user's record, as it is shown and as it is kept, and what others call them.
const OF_THE_RECORD: [&str; 27] = [
    "id",
    "username",
    "password",
    "password_hash",
    "first_name",
    "last_name",
    "email",
    "email_verified",
    "is_active",
    "is_staff",
    "is_superuser",
    "has_usable_password",
    "groups",
    "group_ids",
    "user_permissions",
    "permissions",
    "roles",
    "generation",
    "gen",
    "rights_version",
    "rev",
    "version",
    "last_login",
    "date_joined",
    "IS_STAFF",
    "isStaff",
    "is_staff ",
];

/// Each member of the record at each operation that has a body: taken where the document offers it, and nowhere else.
#[tokio::test]
async fn no_member_of_the_record_is_taken_where_it_is_not_offered() {
    let server = Server::start().await;
    let document = signet::api::document::document();
    let (mut bob, id) = server.user("bob", json!({ "email": "bob@example.com" })).await;
    let mut admin = server.admin().await;
    let path = format!("/v1/users/{id}");
    let mut record = async || {
        let mut user = admin.get(&path).await.is(StatusCode::OK).json();
        user["last_login"] = Value::Null;
        user
    };
    let before = record().await;
    let somebody = server.admin().await;
    let mut offered = Vec::new();
    for (template, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Some(content) = operation.pointer("/requestBody/content/application~1json") else { continue };
            let Some(schema) = content["schema"]["$ref"].as_str() else { continue };
            let schema = document.pointer(schema.trim_start_matches('#')).unwrap();
            let name = operation["operationId"].as_str().unwrap();
            for member in OF_THE_RECORD {
                if schema["properties"].get(member).is_some() {
                    offered.push(format!("{name} {member}"));
                    continue;
                }
                let mut body = content["example"].clone();
                for value in [json!(true), json!(["x"])] {
                    body[member] = value;
                    let real = template.replace("{id}", &id).replace("{name}", "a.b").replace("{key}", "k");
                    let verb: Method = method.to_uppercase().parse().unwrap();
                    // By somebody who may do all of it.
                    let mut client = if real == "/v1/me" { bob.clone() } else { server.anonymous() };
                    if operation["security"] == json!([{ "sessionCookie": [] }]) && real != "/v1/me" {
                        client = somebody.clone();
                    }
                    let answer = client.call(verb, &real, Some(body.clone()), &[]).await;
                    let answer = answer.is(StatusCode::UNPROCESSABLE_ENTITY).is_problem("invalid");
                    let errors = answer.errors();
                    assert!(
                        errors.contains(&(String::new(), "unknown_member".to_owned())),
                        "{name} {member}: {errors:?}"
                    );
                }
            }
        }
    }
    assert_eq!(record().await, before);
    // What is offered, to whom: nobody can give themselves a right.
    let to = |name: &str| {
        let of_it = offered.iter().filter_map(|text| text.strip_prefix(name)?.strip_prefix(' '));
        of_it.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(to("register_account"), "username password email");
    assert_eq!(to("login_account"), "username password");
    assert_eq!(to("update_me"), "first_name last_name email");
    assert_eq!(to("create_token"), "permissions");
    let rights = "is_active is_staff is_superuser groups user_permissions";
    assert_eq!(to("create_user"), format!("username password first_name last_name email {rights}"));
    assert_eq!(to("update_user"), format!("username first_name last_name email {rights}"), "no password");
    // Deeper down either.
    for body in [json!({ "first_name": { "is_superuser": true } }), json!({ "user": { "is_superuser": true } })] {
        bob.patch("/v1/me", body).await.is(StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(record().await, before);
}

#[tokio::test]
async fn nothing_hidden_sorts_filters_or_is_found() {
    let server = Server::start().await;
    for name in ["alice", "bob", "carol"] {
        server.user(name, json!({ "email": format!("{name}@example.com") })).await;
    }
    let mut admin = server.admin().await;
    let plain = admin.get("/v1/users").await.is(StatusCode::OK).body;
    let orders = ["username", "date_joined", "last_login"];
    for member in OF_THE_RECORD {
        let member = member.trim();
        for sign in ["", "-"] {
            let answer = admin.get(&format!("/v1/users?order={sign}{member}")).await;
            if orders.contains(&member) {
                answer.is(StatusCode::OK);
            } else {
                answer.is(StatusCode::BAD_REQUEST).is_problem("invalid_parameter");
            }
        }
        if ["is_active", "is_staff", "is_superuser"].contains(&member) {
            continue;
        }
        // A parameter that there is not changes nothing, whatever it is named after.
        for query in ["$=x", "$__startswith=%24argon2", "filter[$]=%24", "sort=$", "fields=$", "include=$", "$[]=a"] {
            let path = format!("/v1/users?{}", query.replace('$', member));
            assert!(admin.get(&path).await.is(StatusCode::OK).body == plain, "{path}");
        }
    }
    // A search looks at what is shown.
    let hash = server.app.store().user_named("alice").await.unwrap().unwrap().password;
    for text in ["argon2", "%24argon2id", "v=19", &hash[hash.len() - 20..], "true", "AAAA"] {
        let text = text.replace('+', "%2B").replace('/', "%2F");
        let page = admin.get(&format!("/v1/users?search={text}")).await.is(StatusCode::OK).json();
        assert_eq!(page["items"], json!([]), "{text}");
    }
    for list in ["/v1/groups", "/v1/permissions", "/v1/sessions", "/v1/tokens", "/v1/audit"] {
        let items = admin.get(list).await.is(StatusCode::OK).json()["items"].as_array().unwrap().len();
        let again = admin.get(&format!("{list}?order=password&sort=secret&fields=password")).await.is(StatusCode::OK);
        assert_eq!(again.json()["items"].as_array().unwrap().len(), items, "{list}");
        assert!(!String::from_utf8(again.body).unwrap().contains("argon2"), "{list}");
    }
}
